/*
 * ticks: sets up a GICv3 and the virtual timer, sleeps in WFI, and prints a line
 * for each of three interrupts.
 *
 *   tick 1
 *   tick 2
 *   tick 3
 */

#include "exception.h"
#include "sysreg.h"
#include "uart.h"

#define GICD_BASE 0x08000000UL
#define GICR_BASE 0x080a0000UL
#define GICR_SGI_BASE (GICR_BASE + 0x10000)

enum {
    GICD_CTLR = 0x0,
    GICD_CTLR_ARE = 1 << 4,
    GICD_CTLR_GROUP1 = 1 << 1,
    GICR_WAKER = 0x14,
    GICR_WAKER_PROCESSOR_SLEEP = 1 << 1,
    GICR_WAKER_CHILDREN_ASLEEP = 1 << 2,
    GICR_IGROUPR0 = 0x80,
    GICR_ISENABLER0 = 0x100,
    VIRTUAL_TIMER = 27,
    TICKS = 3,
    TICKS_PER_SECOND = 100,
};

static volatile unsigned ticks;

static volatile unsigned *reg32(unsigned long address)
{
    return (volatile unsigned *)address;
}

static void gic_init(void)
{
    *reg32(GICD_BASE + GICD_CTLR) = GICD_CTLR_ARE | GICD_CTLR_GROUP1;
    *reg32(GICR_BASE + GICR_WAKER) &= ~GICR_WAKER_PROCESSOR_SLEEP;
    while (*reg32(GICR_BASE + GICR_WAKER) & GICR_WAKER_CHILDREN_ASLEEP)
        ;
    *reg32(GICR_SGI_BASE + GICR_IGROUPR0) = 1u << VIRTUAL_TIMER;
    *reg32(GICR_SGI_BASE + GICR_ISENABLER0) = 1u << VIRTUAL_TIMER;
    WRITE_SYSREG(S3_0_C12_C12_5, 1);    /* ICC_SRE_EL1 */
    WRITE_SYSREG(S3_0_C4_C6_0, 0xff);   /* ICC_PMR_EL1 */
    WRITE_SYSREG(S3_0_C12_C12_7, 1);    /* ICC_IGRPEN1_EL1 */
}

static void timer_arm(void)
{
    WRITE_SYSREG(cntv_tval_el0, READ_SYSREG(cntfrq_el0) / TICKS_PER_SECOND);
    WRITE_SYSREG(cntv_ctl_el0, 1);
}

void exception_handler(struct exception_frame *frame, unsigned long vector)
{
    unsigned long intid;

    if (vector != VECTOR_CURRENT_SPX_SYNC + 1)
        exception_panic(frame, vector);
    intid = READ_SYSREG(S3_0_C12_C12_0); /* ICC_IAR1_EL1 */
    if (intid == VIRTUAL_TIMER) {
        ticks++;
        timer_arm();
    }
    WRITE_SYSREG(S3_0_C12_C12_1, intid); /* ICC_EOIR1_EL1 */
}

void main(void)
{
    unsigned seen = 0;

    uart_init();
    gic_init();
    timer_arm();
    while (seen < TICKS) {
        /* Masked, an interrupt still ends WFI; it is taken once it is unmasked. */
        if (ticks == seen)
            __asm__ volatile("wfi" ::: "memory");
        __asm__ volatile("msr daifclr, #2; isb; msr daifset, #2" ::: "memory");
        while (seen < ticks)
            uart_printf("tick %u\n", ++seen);
    }
}
