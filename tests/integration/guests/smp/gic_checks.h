/* What gicv2 and gicv3 share: taking interrupts one at a time, and the checks that both versions have to pass. */

#ifndef GIC_CHECKS_H
#define GIC_CHECKS_H

#include "gic.h"

#define NONE 0xffffffffu

/* Interrupts with nothing behind them on QEMU's virt machine. */
enum { SPI_A = 90, SPI_B = 91, PPI_A = 20, PPI_B = 21 };

/*
 * Unmasks IRQs for a moment. The first interrupt that is taken is acknowledged, not ended, and what IAR said is the
 * result; NONE if there is none. A second one in the same moment is in `also_taken`.
 */
u32 take(void);
u32 also_taken(void);
u32 take_within(u64 us);

/* To be called on any CPU: takes an interrupt, ends it, and returns what IAR said. The argument is take_within()'s. */
u64 take_and_end(u64 us);
u64 take_none(u64 unused);

void set_up_spi(u32 spi);
void check_interface(void);
void check_routes(void);

#endif
