/* GICv2 and GICv3 at the addresses of QEMU's virt machine; all interrupts in the group that is signalled as IRQ. */

#ifndef GIC_H
#define GIC_H

#include "smp.h"

#define GICD 0x08000000UL
#define GICC 0x08010000UL
#define GICR(cpu) (0x080a0000UL + (cpu) * 0x20000UL)
#define GICR_SGI(cpu) (GICR(cpu) + 0x10000)

enum {
    GICD_CTLR = 0x000,
    GICD_TYPER = 0x004,
    GICD_IGROUPR = 0x080,
    GICD_ISENABLER = 0x100,
    GICD_ICENABLER = 0x180,
    GICD_ISPENDR = 0x200,
    GICD_ICPENDR = 0x280,
    GICD_ISACTIVER = 0x300,
    GICD_ICACTIVER = 0x380,
    GICD_IPRIORITYR = 0x400,
    GICD_ITARGETSR = 0x800,
    GICD_ICFGR = 0xc00,
    GICD_SGIR = 0xf00,
    GICD_CPENDSGIR = 0xf10,
    GICD_SPENDSGIR = 0xf20,
    GICD_IROUTER = 0x6000,
    GICD_PIDR2 = 0xffe8,

    GICC_CTLR = 0x00,
    GICC_PMR = 0x04,
    GICC_BPR = 0x08,
    GICC_IAR = 0x0c,
    GICC_EOIR = 0x10,
    GICC_RPR = 0x14,
    GICC_HPPIR = 0x18,
    GICC_APR = 0xd0,
    GICC_DIR = 0x1000,

    GICR_TYPER = 0x08,
    GICR_WAKER = 0x14,

    SPURIOUS = 1023,
    VIRTUAL_TIMER = 27,
};

#define ICC_PMR S3_0_C4_C6_0
#define ICC_AP1R0 S3_0_C12_C9_0
#define ICC_AP1R1 S3_0_C12_C9_1
#define ICC_AP1R2 S3_0_C12_C9_2
#define ICC_AP1R3 S3_0_C12_C9_3
#define ICC_DIR S3_0_C12_C11_1
#define ICC_RPR S3_0_C12_C11_3
#define ICC_SGI1R S3_0_C12_C11_5
#define ICC_SGI0R S3_0_C12_C11_7
#define ICC_IAR1 S3_0_C12_C12_0
#define ICC_EOIR1 S3_0_C12_C12_1
#define ICC_HPPIR1 S3_0_C12_C12_2
#define ICC_BPR1 S3_0_C12_C12_3
#define ICC_CTLR S3_0_C12_C12_4
#define ICC_SRE S3_0_C12_C12_5
#define ICC_IGRPEN1 S3_0_C12_C12_7

/* The names above are expanded before they are made text. */
#define READ_ICC(name) READ_SYSREG(name)
#define WRITE_ICC(name, value) WRITE_SYSREG(name, value)

extern unsigned gic_version; /* 2 or 3, after gic_init() */

void gic_init(void);     /* the distributor, and the interface of the CPU that calls */
void gic_init_cpu(void); /* that of another CPU */

u32 gic_acknowledge(void); /* the whole of IAR: with the source of an SGI in GICv2 */
void gic_end(u32 acknowledged);
void gic_deactivate(u32 acknowledged);
u32 gic_intid(u32 acknowledged);
u32 gic_highest_pending(void);
u32 gic_running_priority(void);
u32 gic_active_priorities(void); /* how many bits of APR are set */
void gic_set_mask(u32 priority);
u32 gic_mask(void);
void gic_set_binary_point(u32 value);
void gic_set_split_end(bool split); /* EOImode */

/* Of an SPI, or of the caller's own PPIs and SGIs. */
void gic_enable(u32 intid);
void gic_disable(u32 intid);
void gic_set_priority(u32 intid, u8 priority);
void gic_set_pending(u32 intid);
void gic_clear_pending(u32 intid);
bool gic_is_pending(u32 intid);
bool gic_is_active(u32 intid);
void gic_clear_active(u32 intid);
void gic_set_edge(u32 intid);

void gic_route(u32 spi, unsigned cpu);
void gic_send_sgi(unsigned cpu, u32 intid);
void gic_send_sgi_to_others(u32 intid);

/* Where the registers of an interrupt are, for those above. */
u64 gic_register(u32 intid, u32 offset);

#endif
