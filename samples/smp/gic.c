#include "gic.h"

#include <stdbool.h>
#include <stdint.h>

#include "sysreg.h"

#define GICD_BASE 0x08000000UL
#define GICC_BASE 0x08010000UL
#define GICR_BASE(cpu) (0x080a0000UL + (cpu) * 0x20000UL)

enum {
    GICD_CTLR = 0x0,
    GICD_CTLR_ENABLE = 1 << 0,
    GICD_CTLR_GROUP1 = 1 << 1,
    GICD_CTLR_ARE = 1 << 4,
    GICD_ISENABLER0 = 0x100,
    GICD_SGIR = 0xf00,
    GICC_CTLR = 0x0,
    GICC_PMR = 0x4,
    GICC_IAR = 0xc,
    GICC_EOIR = 0x10,
    GICR_WAKER = 0x14,
    GICR_WAKER_PROCESSOR_SLEEP = 1 << 1,
    GICR_WAKER_CHILDREN_ASLEEP = 1 << 2,
    GICR_IGROUPR0 = 0x10080,
    GICR_ISENABLER0 = 0x10100,
    SPURIOUS = 1023,
};

static bool is_v3;

static volatile uint32_t *reg32(unsigned long address)
{
    return (volatile uint32_t *)address;
}

unsigned gic_init(void)
{
    is_v3 = READ_SYSREG(id_aa64pfr0_el1) >> 24 & 0xf; /* ID_AA64PFR0_EL1.GIC: system registers */
    *reg32(GICD_BASE + GICD_CTLR) = is_v3 ? GICD_CTLR_ARE | GICD_CTLR_GROUP1 : GICD_CTLR_ENABLE;
    return is_v3 ? 3 : 2;
}

void gic_init_cpu(unsigned cpu, unsigned sgi)
{
    if (is_v3) {
        *reg32(GICR_BASE(cpu) + GICR_WAKER) &= ~GICR_WAKER_PROCESSOR_SLEEP;
        while (*reg32(GICR_BASE(cpu) + GICR_WAKER) & GICR_WAKER_CHILDREN_ASLEEP)
            ;
        *reg32(GICR_BASE(cpu) + GICR_IGROUPR0) = 1u << sgi;
        *reg32(GICR_BASE(cpu) + GICR_ISENABLER0) = 1u << sgi;
        WRITE_SYSREG(S3_0_C12_C12_5, 1);  /* ICC_SRE_EL1 */
        __asm__ volatile("isb");
        WRITE_SYSREG(S3_0_C4_C6_0, 0xff); /* ICC_PMR_EL1 */
        WRITE_SYSREG(S3_0_C12_C12_7, 1);  /* ICC_IGRPEN1_EL1 */
        __asm__ volatile("isb");
    } else {
        *reg32(GICD_BASE + GICD_ISENABLER0) = 1u << sgi; /* each CPU has its own */
        *reg32(GICC_BASE + GICC_PMR) = 0xff;
        *reg32(GICC_BASE + GICC_CTLR) = 1;
    }
}

void gic_send_sgi(unsigned cpu, unsigned sgi)
{
    __asm__ volatile("dsb ish" ::: "memory");
    if (is_v3)
        WRITE_SYSREG(S3_0_C12_C11_5, (unsigned long)sgi << 24 | 1u << cpu); /* ICC_SGI1R_EL1 */
    else
        *reg32(GICD_BASE + GICD_SGIR) = 1u << (16 + cpu) | sgi;
    __asm__ volatile("isb");
}

unsigned gic_wait(void)
{
    for (;;) {
        unsigned acknowledged, interrupt;

        acknowledged = is_v3 ? READ_SYSREG(S3_0_C12_C12_0) : *reg32(GICC_BASE + GICC_IAR); /* ICC_IAR1_EL1 */
        interrupt = acknowledged & 0x3ff;                                                  /* GICv2: above is the sender */
        if (interrupt == SPURIOUS) {
            __asm__ volatile("wfi" ::: "memory");
            continue;
        }
        if (is_v3)
            WRITE_SYSREG(S3_0_C12_C12_1, acknowledged); /* ICC_EOIR1_EL1 */
        else
            *reg32(GICC_BASE + GICC_EOIR) = acknowledged;
        __asm__ volatile("dsb sy" ::: "memory"); /* what the sender wrote before is seen after */
        return interrupt;
    }
}
