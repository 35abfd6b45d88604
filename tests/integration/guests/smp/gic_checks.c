/* Checks that GICv2 and GICv3 have in common; see gicv2.c and gicv3.c. */

#include "gic_checks.h"

static struct {
    volatile u32 count, first, second;
    u32 padding[29];
} taken[MAX_CPUS] __attribute__((aligned(128)));

void smp_irq(struct frame *frame)
{
    unsigned self = smp_self();
    u32 interrupt = gic_acknowledge();

    (void)frame;
    if (gic_intid(interrupt) == SPURIOUS)
        return;
    if (!taken[self].count++)
        taken[self].first = interrupt;
    else
        taken[self].second = interrupt;
}

u32 take(void)
{
    unsigned self = smp_self();

    taken[self].count = 0;
    taken[self].second = NONE;
    DSB(sy);
    IRQS_ON();
    ISB();
    for (volatile unsigned i = 0; i < 20; i++)
        ;
    IRQS_OFF();
    return taken[self].count ? taken[self].first : NONE;
}

u32 also_taken(void)
{
    return taken[smp_self()].second;
}

u32 take_within(u64 us)
{
    u32 interrupt;

    SMP_UNTIL((interrupt = take()) != NONE, us);
    return interrupt;
}

u64 take_and_end(u64 us)
{
    u32 interrupt = take_within(us);

    if (interrupt != NONE)
        gic_end(interrupt);
    return interrupt;
}

u64 take_none(u64 unused)
{
    (void)unused;
    return take_and_end(SHORT_US);
}

void set_up_spi(u32 spi)
{
    gic_disable(spi);
    gic_set_edge(spi);
    gic_clear_pending(spi);
    gic_clear_active(spi);
    gic_set_priority(spi, 0x80);
    gic_route(spi, 0);
    gic_enable(spi);
}

/* Takes an interrupt and ends it, at once. */
static u32 now(void)
{
    return take_and_end(0);
}

static void check_one(void)
{
    smp_check("idle-iar", gic_intid(gic_acknowledge()), SPURIOUS);
    smp_check("idle-hppir", gic_intid(gic_highest_pending()), SPURIOUS);
    smp_check("idle-rpr", gic_running_priority(), 0xff);
    smp_check("idle-take", take(), NONE);

    gic_set_pending(SPI_A);
    smp_check("pending", gic_is_pending(SPI_A), true);
    smp_check("pending-not-active", gic_is_active(SPI_A), false);
    smp_check("pending-hppir", gic_highest_pending(), SPI_A);
    smp_check("taken", take(), SPI_A);
    smp_check("active", gic_is_active(SPI_A), true);
    smp_check("active-not-pending", gic_is_pending(SPI_A), false);
    smp_check("active-rpr", gic_running_priority(), 0x80);
    smp_check("active-apr", gic_active_priorities(), 1);
    gic_end(SPI_A);
    smp_check("ended", gic_is_active(SPI_A), false);
    smp_check("ended-rpr", gic_running_priority(), 0xff);
    smp_check("ended-apr", gic_active_priorities(), 0);
    smp_check("ended-take", take(), NONE);

    gic_set_pending(SPI_A);
    gic_clear_pending(SPI_A);
    smp_check("cleared", gic_is_pending(SPI_A), false);
    smp_check("cleared-take", take(), NONE);

    gic_disable(SPI_A);
    gic_set_pending(SPI_A);
    smp_check("disabled-take", take(), NONE);
    smp_check("disabled-pending", gic_is_pending(SPI_A), true);
    gic_enable(SPI_A);
    smp_check("enabled-take", now(), SPI_A);

    gic_set_pending(SPI_A);
    smp_check("active-and-pending-1", take(), SPI_A);
    gic_set_pending(SPI_A);
    smp_check("active-and-pending-2", gic_is_pending(SPI_A) && gic_is_active(SPI_A), true);
    smp_check("active-and-pending-not-taken", take(), NONE);
    gic_end(SPI_A);
    smp_check("active-and-pending-taken", now(), SPI_A);

    write32(gic_register(SPI_A, GICD_ISACTIVER) + SPI_A / 32 * 4, 1u << SPI_A % 32);
    gic_set_pending(SPI_A);
    smp_check("isactiver-not-taken", take(), NONE);
    gic_clear_active(SPI_A);
    smp_check("icactiver-taken", now(), SPI_A);
}

static void check_priorities(void)
{
    /* Of two the more urgent one; the other does not interrupt it. */
    gic_set_priority(SPI_A, 0x90);
    gic_set_priority(SPI_B, 0x70);
    gic_set_pending(SPI_A);
    gic_set_pending(SPI_B);
    smp_check("priority-hppir", gic_highest_pending(), SPI_B);
    smp_check("priority-first", take(), SPI_B);
    smp_check("priority-not-both", also_taken(), NONE);
    smp_check("priority-hppir-while-active", gic_highest_pending(), SPI_A);
    gic_end(SPI_B);
    smp_check("priority-second", now(), SPI_A);

    gic_set_priority(SPI_A, 0x80);
    gic_set_priority(SPI_B, 0x80);
    gic_set_pending(SPI_B);
    gic_set_pending(SPI_A);
    smp_printf("note: of two with one priority %u comes first\n", now());
    smp_check("priority-equal-second", now() != NONE, true);

    /* Preemption. */
    gic_set_priority(SPI_B, 0x40);
    gic_set_pending(SPI_A);
    smp_check("preempt-first", take(), SPI_A);
    gic_set_pending(SPI_B);
    smp_check("preempt-second", take(), SPI_B);
    smp_check("preempt-rpr", gic_running_priority(), 0x40);
    smp_check("preempt-apr", gic_active_priorities(), 2);
    gic_end(SPI_B);
    smp_check("preempt-rpr-back", gic_running_priority(), 0x80);
    gic_end(SPI_A);
    smp_check("preempt-rpr-idle", gic_running_priority(), 0xff);
    for (u32 priority = 0x80; priority <= 0xa0; priority += 0x20) {
        gic_set_priority(SPI_B, priority);
        gic_set_pending(SPI_A);
        take();
        gic_set_pending(SPI_B);
        smp_check("preempt-not-by-equal-or-lower", take(), NONE);
        gic_end(SPI_A);
        smp_check("preempt-after-end", now(), SPI_B);
    }

    /* The mask: what is to be taken has to be below it. */
    gic_set_mask(0x80);
    smp_check("mask-reads-back", gic_mask(), 0x80);
    gic_set_priority(SPI_A, 0x80);
    gic_set_pending(SPI_A);
    smp_check("mask-equal", take(), NONE);
    gic_set_mask(0x88);
    smp_check("mask-below", now(), SPI_A);
    gic_set_mask(0);
    gic_set_priority(SPI_A, 0);
    gic_set_pending(SPI_A);
    smp_check("mask-0", take(), NONE);
    gic_set_mask(0xff);
    smp_check("mask-highest-priority", now(), SPI_A);
    gic_set_priority(SPI_A, 0xff); /* the lowest that is implemented, which 0xff lets pass if bits are missing */
    smp_printf("note: priority 0xff reads 0x%x, mask 0xff reads 0x%x\n", read8(gic_register(SPI_A, GICD_IPRIORITYR) + SPI_A),
               gic_mask());

    /* The binary point: groups of 16 by bits [7:4]; that of Group 1 in GICv3 counts from 1. */
    gic_set_binary_point(gic_version == 3 ? 4 : 3);
    gic_set_priority(SPI_A, 0x48);
    gic_set_priority(SPI_B, 0x40);
    gic_set_pending(SPI_A);
    smp_check("bpr-first", take(), SPI_A);
    smp_check("bpr-rpr-is-group", gic_running_priority(), 0x40);
    gic_set_pending(SPI_B);
    smp_check("bpr-same-group", take(), NONE);
    gic_set_priority(SPI_B, 0x38);
    smp_check("bpr-other-group", take(), SPI_B);
    gic_end(SPI_B);
    gic_end(SPI_A);
    gic_set_priority(SPI_B, 0x40);
    gic_set_pending(SPI_A);
    gic_set_pending(SPI_B);
    smp_check("bpr-subpriority-orders", take(), SPI_B);
    smp_check("bpr-subpriority-does-not-preempt", also_taken(), NONE);
    gic_end(SPI_B);
    smp_check("bpr-subpriority-second", now(), SPI_A);
    gic_set_binary_point(0);
}

/* EOImode 1: EOIR drops the priority, DIR deactivates. */
static void check_split_end(void)
{
    gic_set_priority(SPI_A, 0x80);
    gic_set_priority(SPI_B, 0x80);
    gic_set_split_end(true);
    gic_set_pending(SPI_A);
    smp_check("split-taken", take(), SPI_A);
    gic_end(SPI_A);
    smp_check("split-dropped", gic_running_priority(), 0xff);
    smp_check("split-still-active", gic_is_active(SPI_A), true);
    gic_set_pending(SPI_A);
    smp_check("split-not-taken-again", take(), NONE);
    gic_set_pending(SPI_B);
    smp_check("split-another", take(), SPI_B);
    gic_end(SPI_B);
    gic_deactivate(SPI_B);
    smp_check("split-deactivated", gic_is_active(SPI_B), false);
    gic_deactivate(SPI_A);
    smp_check("split-taken-then", take(), SPI_A);
    gic_end(SPI_A);
    gic_deactivate(SPI_A);
    gic_set_split_end(false);
    smp_check("split-over", gic_is_active(SPI_A), false);
}

/* The virtual timer is level-sensitive: it comes again while its condition holds, and is not pending without. */
static void check_level(void)
{
    gic_set_priority(VIRTUAL_TIMER, 0x80);
    gic_enable(VIRTUAL_TIMER);
    WRITE_SYSREG(cntv_cval_el0, 0);
    WRITE_SYSREG(cntv_ctl_el0, 1);
    ISB();
    smp_check("level-taken", take(), VIRTUAL_TIMER);
    gic_end(VIRTUAL_TIMER);
    smp_check("level-taken-again", take(), VIRTUAL_TIMER);
    WRITE_SYSREG(cntv_ctl_el0, 0);
    ISB();
    gic_end(VIRTUAL_TIMER);
    smp_check("level-not-taken", take(), NONE);
    smp_check("level-not-pending", gic_is_pending(VIRTUAL_TIMER), false);
    gic_disable(VIRTUAL_TIMER);
}

static void check_registers(void)
{
    u64 priorities = GICD + GICD_IPRIORITYR + 92;
    u32 control = read32(GICD + GICD_CTLR);

    write32(priorities, 0x40302010);
    smp_check("ipriorityr-byte-0", read8(priorities), 0x10);
    smp_check("ipriorityr-byte-3", read8(priorities + 3), 0x40);
    write8(priorities + 1, 0xa0);
    smp_check("ipriorityr-byte-written", read32(priorities), 0x4030a010);
    write32(priorities, 0);
    gic_set_edge(92);
    smp_check("icfgr", read32(GICD + GICD_ICFGR + 92 / 16 * 4) >> 92 % 16 * 2 & 3, 2);

    gic_set_pending(SPI_A);
    write32(GICD + GICD_CTLR, control & ~3u);
    DSB(sy);
    smp_check("distributor-off", take_within(SHORT_US), NONE);
    write32(GICD + GICD_CTLR, control);
    DSB(sy);
    smp_check("distributor-on", now(), SPI_A);
}

void check_interface(void)
{
    set_up_spi(SPI_A);
    set_up_spi(SPI_B);
    check_one();
    check_priorities();
    check_split_end();
    check_level();
    check_registers();
}

static u64 take_only(u64 us)
{
    return take_within(us);
}

static u64 end_only(u64 interrupt)
{
    gic_end(interrupt);
    return 0;
}

static u64 set_mask(u64 mask)
{
    gic_set_mask(mask);
    return 0;
}

void check_routes(void)
{
    set_up_spi(SPI_A);
    set_up_spi(SPI_B);
    for (unsigned cpu = 0; cpu < smp_count; cpu++) {
        u32 right = 0;

        gic_route(SPI_A, cpu);
        gic_set_pending(SPI_A);
        for (unsigned other = 0; other < smp_count; other++)
            if (other != cpu)
                right += smp_call_and_join(other, take_none, 0) == NONE;
        smp_check("spi-not-to-others", right, smp_count - 1);
        smp_check("spi-to-its-cpu", smp_call_and_join(cpu, take_and_end, LONG_US), SPI_A);
    }
    if (smp_count < 2)
        return;

    gic_route(SPI_A, 1);
    gic_set_pending(SPI_A);
    gic_route(SPI_A, 0);
    smp_check_qemu("spi-rerouted-while-pending", take_and_end(LONG_US), SPI_A, gic_version == 2 ? NONE : SPI_A);
    smp_check("spi-rerouted-only-once", smp_call_and_join(1, take_none, 0), NONE);

    /* One is active on CPU 1; CPU 0 takes another of the same priority: running priorities are each CPU's own. */
    gic_route(SPI_A, 1);
    gic_set_pending(SPI_A);
    smp_check("spi-active-on-1", smp_call_and_join(1, take_only, LONG_US), SPI_A);
    gic_set_pending(SPI_B);
    smp_check("spi-meanwhile-on-0", take_and_end(LONG_US), SPI_B);
    smp_check("spi-active-seen-from-0", gic_is_active(SPI_A), true);
    smp_call_and_join(1, end_only, SPI_A);
    smp_check("spi-ended-on-1", gic_is_active(SPI_A), false);

    /* A mask of CPU 1 is not one of CPU 0. */
    smp_call_and_join(1, set_mask, 0);
    gic_set_pending(SPI_A);
    gic_set_pending(SPI_B);
    smp_check("mask-of-1-holds-on-1", smp_call_and_join(1, take_none, 0), NONE);
    smp_check("mask-of-1-not-on-0", take_and_end(LONG_US), SPI_B);
    smp_call_and_join(1, set_mask, 0xff);
    smp_check("mask-of-1-lifted", smp_call_and_join(1, take_and_end, LONG_US), SPI_A);
    gic_route(SPI_A, 0);
}
