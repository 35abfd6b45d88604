/* What the guests do with a GIC of either version. */

#include "gic.h"

unsigned gic_version;

#define GICD_CTLR_V3 (1 << 4 | 1 << 1) /* ARE, EnableGrp1 */
#define RWP (1u << 31)

static void wait_for_distributor(void)
{
    if (gic_version == 3)
        while (read32(GICD + GICD_CTLR) & RWP)
            ;
}

void gic_init(void)
{
    gic_version = READ_SYSREG(id_aa64pfr0_el1) >> 24 & 0xf ? 3 : 2;
    if (gic_version == 3) {
        write32(GICD + GICD_CTLR, GICD_CTLR_V3);
        wait_for_distributor();
        for (u32 word = 1; word <= (read32(GICD + GICD_TYPER) & 0x1f) && word < 31; word++)
            write32(GICD + GICD_IGROUPR + word * 4, ~0u);
    } else {
        write32(GICD + GICD_CTLR, 1);
    }
    gic_init_cpu();
}

void gic_init_cpu(void)
{
    unsigned self = smp_self();

    if (gic_version == 3) {
        write32(GICR(self) + GICR_WAKER, read32(GICR(self) + GICR_WAKER) & ~2u);
        while (read32(GICR(self) + GICR_WAKER) & 4)
            ;
        write32(GICR_SGI(self) + GICD_IGROUPR, ~0u);
        WRITE_ICC(ICC_SRE, 1);
        ISB();
        WRITE_ICC(ICC_IGRPEN1, 1);
    } else {
        write32(GICC + GICC_CTLR, 1);
    }
    gic_set_mask(0xff);
    gic_set_split_end(false);
    ISB();
}

/* The CPU interface ---------------------------------------------------------------------------------------------- */

u32 gic_acknowledge(void)
{
    u32 value = gic_version == 3 ? READ_ICC(ICC_IAR1) : read32(GICC + GICC_IAR);

    DSB(sy);
    return value;
}

void gic_end(u32 acknowledged)
{
    if (gic_version == 3)
        WRITE_ICC(ICC_EOIR1, acknowledged);
    else
        write32(GICC + GICC_EOIR, acknowledged);
    ISB();
}

void gic_deactivate(u32 acknowledged)
{
    if (gic_version == 3)
        WRITE_ICC(ICC_DIR, acknowledged);
    else
        write32(GICC + GICC_DIR, acknowledged);
    ISB();
}

u32 gic_intid(u32 acknowledged)
{
    return gic_version == 3 ? acknowledged & 0xffffff : acknowledged & 0x3ff;
}

u32 gic_highest_pending(void)
{
    return gic_version == 3 ? READ_ICC(ICC_HPPIR1) : read32(GICC + GICC_HPPIR);
}

u32 gic_running_priority(void)
{
    return gic_version == 3 ? READ_ICC(ICC_RPR) : read32(GICC + GICC_RPR);
}

static u32 bits_set(u32 value)
{
    u32 count = 0;

    for (; value; value &= value - 1)
        count++;
    return count;
}

u32 gic_active_priorities(void)
{
    u32 count = 0;

    if (gic_version == 3) {
        u32 priority_bits = (READ_ICC(ICC_CTLR) >> 8 & 7) + 1;

        /* There is one register for 5 bits, and twice as many for each more. */
        count = bits_set(READ_ICC(ICC_AP1R0));
        if (priority_bits >= 6)
            count += bits_set(READ_ICC(ICC_AP1R1));
        if (priority_bits >= 7)
            count += bits_set(READ_ICC(ICC_AP1R2)) + bits_set(READ_ICC(ICC_AP1R3));
        return count;
    }
    for (u32 word = 0; word < 4; word++)
        count += bits_set(read32(GICC + GICC_APR + word * 4));
    return count;
}

void gic_set_mask(u32 priority)
{
    if (gic_version == 3)
        WRITE_ICC(ICC_PMR, priority);
    else
        write32(GICC + GICC_PMR, priority);
    ISB();
}

u32 gic_mask(void)
{
    return gic_version == 3 ? READ_ICC(ICC_PMR) : read32(GICC + GICC_PMR);
}

void gic_set_binary_point(u32 value)
{
    if (gic_version == 3)
        WRITE_ICC(ICC_BPR1, value);
    else
        write32(GICC + GICC_BPR, value);
    ISB();
}

void gic_set_split_end(bool split)
{
    if (gic_version == 3)
        WRITE_ICC(ICC_CTLR, split ? 2 : 0);
    else
        write32(GICC + GICC_CTLR, split ? 1 | 1 << 9 : 1);
    ISB();
}

/* Interrupts ----------------------------------------------------------------------------------------------------- */

u64 gic_register(u32 intid, u32 offset)
{
    return (gic_version == 3 && intid < 32 ? GICR_SGI(smp_self()) : GICD) + offset;
}

static u64 word_of(u32 intid, u32 offset)
{
    return gic_register(intid, offset) + intid / 32 * 4;
}

static u32 bit_of(u32 intid)
{
    return 1u << intid % 32;
}

void gic_enable(u32 intid)
{
    write32(word_of(intid, GICD_ISENABLER), bit_of(intid));
}

void gic_disable(u32 intid)
{
    write32(word_of(intid, GICD_ICENABLER), bit_of(intid));
    wait_for_distributor();
}

void gic_set_priority(u32 intid, u8 priority)
{
    write8(gic_register(intid, GICD_IPRIORITYR) + intid, priority);
}

void gic_set_pending(u32 intid)
{
    write32(word_of(intid, GICD_ISPENDR), bit_of(intid));
    DSB(sy);
}

void gic_clear_pending(u32 intid)
{
    write32(word_of(intid, GICD_ICPENDR), bit_of(intid));
    DSB(sy);
}

bool gic_is_pending(u32 intid)
{
    return read32(word_of(intid, GICD_ISPENDR)) & bit_of(intid);
}

bool gic_is_active(u32 intid)
{
    return read32(word_of(intid, GICD_ISACTIVER)) & bit_of(intid);
}

void gic_clear_active(u32 intid)
{
    write32(word_of(intid, GICD_ICACTIVER), bit_of(intid));
    DSB(sy);
}

void gic_set_edge(u32 intid)
{
    u64 address = gic_register(intid, GICD_ICFGR) + intid / 16 * 4;

    write32(address, read32(address) | 2u << intid % 16 * 2);
}

void gic_route(u32 spi, unsigned cpu)
{
    if (gic_version == 3)
        write64(GICD + GICD_IROUTER + spi * 8, cpu);
    else
        write8(GICD + GICD_ITARGETSR + spi, 1u << cpu);
    DSB(sy);
}

void gic_send_sgi(unsigned cpu, u32 intid)
{
    DSB(ish);
    if (gic_version == 3)
        WRITE_ICC(ICC_SGI1R, (u64)intid << 24 | 1u << cpu);
    else
        write32(GICD + GICD_SGIR, 1u << (16 + cpu) | intid);
    ISB();
}

void gic_send_sgi_to_others(u32 intid)
{
    DSB(ish);
    if (gic_version == 3)
        WRITE_ICC(ICC_SGI1R, (u64)intid << 24 | 1UL << 40);
    else
        write32(GICD + GICD_SGIR, 1u << 24 | intid);
    ISB();
}
