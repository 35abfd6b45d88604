/*
 * poll: waits in the way of a delay loop, by reading the counter until time has
 * passed; the virtual counter first, then the physical one.  How often it is read
 * is fixed and what time has passed is not looked at, so that the work is the
 * same wherever the guest runs.
 */

#include "mmu.h"
#include "sysreg.h"
#include "uart.h"

#define WAITS 8000UL
#define READS_PER_WAIT 500UL

/* A delay loop with reads for its end; returns how many times the counter did not run backwards. */
#define WAIT(counter)                                           \
    ({                                                          \
        unsigned long before_ = READ_SYSREG(counter);           \
        unsigned long forward_ = 0;                             \
                                                                \
        for (unsigned long i = 0; i < READS_PER_WAIT; i++) {    \
            unsigned long now_;                                 \
                                                                \
            __asm__ volatile("isb" : : : "memory");             \
            now_ = READ_SYSREG(counter);                        \
            forward_ += now_ >= before_;                        \
            before_ = now_;                                     \
        }                                                       \
        forward_;                                               \
    })

void main(void)
{
    uint64_t *space = mmu_space();
    unsigned long by_virtual = 0, by_physical = 0;

    uart_init();
    mmu_map_image(space);
    mmu_enable(space);
    for (unsigned long wait = 0; wait < WAITS; wait++)
        by_virtual += WAIT(cntvct_el0);
    for (unsigned long wait = 0; wait < WAITS; wait++)
        by_physical += WAIT(cntpct_el0);
    uart_printf("poll %lu %lu\n", by_virtual, by_physical);
}
