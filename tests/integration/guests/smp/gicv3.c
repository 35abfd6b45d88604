/*
 * gicv3: the GICv3 (affinity routing, one security state, Group 1) with 1 to 8 CPUs: redistributors and their state at
 * reset, SGIs by affinity, IROUTER, priorities, preemption, masks, binary point, EOImode, accesses by byte. Skips itself on a
 * GICv2.
 *
 * One line a check, "ok NAME" or "FAIL NAME got G expected E"; the last line is "gicv3: N ok, M failed", and the status of
 * the run is 1 if any failed.
 *
 * QEMU 7.2 differs where its line ends in "(as QEMU 7.2)": it does not look at the range selector of ICC_SGI1R_EL1 (and says
 * so, RSS is 0). Its redistributors are asleep at reset, as the architecture has it; it has no 1 of N (GICD_TYPER.No1N).
 */

#include "gic_checks.h"

#define SGI 5
#define IRM (1UL << 40)
#define AFF1(n) ((u64)(n) << 16)
#define AFF2(n) ((u64)(n) << 32)
#define AFF3(n) ((u64)(n) << 48)
#define RANGE(n) ((u64)(n) << 44)
#define IROUTER_IRM (1UL << 31)
#define TYPER_NO_1_OF_N (1u << 25)
#define TYPER_RSS (1u << 26)

void smp_came_up(unsigned cpu)
{
    if (cpu)
        gic_init_cpu();
    gic_set_priority(SGI, 0x80);
    gic_set_priority(SGI + 1, 0x80);
    gic_enable(SGI);
    gic_enable(SGI + 1);
}

static u64 write_sgi1r(u64 value)
{
    DSB(ish);
    WRITE_ICC(ICC_SGI1R, value);
    ISB();
    return 0;
}

static u64 to(u64 list)
{
    return (u64)SGI << 24 | list;
}

static u64 read_igrpen1(u64 unused)
{
    (void)unused;
    return READ_ICC(ICC_IGRPEN1);
}

static u64 write_igrpen1(u64 value)
{
    WRITE_ICC(ICC_IGRPEN1, value);
    ISB();
    return 0;
}

static void check_at_reset(void)
{
    u32 typer = read32(GICD + GICD_TYPER);

    smp_printf("note: GICD_TYPER 0x%x: %u INTIDs; GICD_CTLR at reset 0x%x; ICC_CTLR_EL1 0x%lx\n", typer,
               ((typer & 0x1f) + 1) * 32, read32(GICD + GICD_CTLR), READ_ICC(ICC_CTLR));
    smp_check("pidr2-architecture", read32(GICD + GICD_PIDR2) >> 4 & 0xf, 3);
    smp_check("sre", READ_ICC(ICC_SRE) & 1, 1);
    /* The architecture says asleep, and KVM and firmware leave it awake: both are right here. */
    smp_printf("note: GICR_WAKER at reset 0x%x\n", read32(GICR(0) + GICR_WAKER));
    smp_check("igrpen1-at-reset", READ_ICC(ICC_IGRPEN1), 0);
}

static void check_redistributors(void)
{
    for (unsigned cpu = 0; cpu < smp_count; cpu++) {
        u64 typer = read64(GICR(cpu) + GICR_TYPER);

        smp_check("typer-affinity", typer >> 32, cpu);
        smp_check("typer-number", typer >> 8 & 0xffff, cpu);
        smp_check("typer-last", typer >> 4 & 1, cpu == smp_count - 1);
        smp_check("typer-high-word", read32(GICR(cpu) + GICR_TYPER + 4), cpu);
        smp_check("waker-awake", read32(GICR(cpu) + GICR_WAKER) & 6, 0);
        smp_check("redistributor-pidr2", read32(GICR(cpu) + GICD_PIDR2) >> 4 & 0xf, 3);
    }
    smp_check("icfgr0-sgis-are-edges", read32(GICR_SGI(0) + GICD_ICFGR), 0xaaaaaaaa);

    /* With affinity routing the distributor has no private interrupts and no targets. */
    write32(GICD + GICD_ISENABLER, ~0u);
    smp_check("distributor-isenabler0", read32(GICD + GICD_ISENABLER), 0);
    write32(GICD + GICD_IPRIORITYR, 0x40404040);
    smp_check("distributor-ipriorityr0", read32(GICD + GICD_IPRIORITYR), 0);
    write32(GICD + GICD_ITARGETSR + 92, 0x01010101);
    smp_check("distributor-itargetsr", read32(GICD + GICD_ITARGETSR + 92), 0);

    /* Bytes of a redistributor's priorities. */
    write32(GICR_SGI(0) + GICD_IPRIORITYR + PPI_A, 0x40302010);
    write8(GICR_SGI(0) + GICD_IPRIORITYR + PPI_B, 0xa0);
    smp_check("redistributor-priority-byte", read32(GICR_SGI(0) + GICD_IPRIORITYR + PPI_A), 0x4030a010);
    smp_check("redistributor-priority-byte-reads", read8(GICR_SGI(0) + GICD_IPRIORITYR + PPI_A), 0x10);
    if (smp_count < 2)
        return;

    /* Another CPU's private interrupts, from here. */
    write8(GICR_SGI(1) + GICD_IPRIORITYR + PPI_A, 0x60);
    write32(GICR_SGI(1) + GICD_ISENABLER, 1u << PPI_A);
    smp_check("banked-priority-0", read8(GICR_SGI(0) + GICD_IPRIORITYR + PPI_A), 0x10);
    smp_check("banked-priority-1", read8(GICR_SGI(1) + GICD_IPRIORITYR + PPI_A), 0x60);
    smp_check("banked-enable-0", read32(GICR_SGI(0) + GICD_ISENABLER) >> PPI_A & 1, 0);
    smp_check("banked-enable-1", read32(GICR_SGI(1) + GICD_ISENABLER) >> PPI_A & 1, 1);
    write32(GICR_SGI(1) + GICD_ISPENDR, 1u << PPI_A);
    DSB(sy);
    smp_check("banked-taken-0", take_none(0), NONE);
    smp_check("banked-taken-1", smp_call_and_join(1, take_and_end, LONG_US), PPI_A);
    write32(GICR_SGI(1) + GICD_ISPENDR, 1u << SGI);
    DSB(sy);
    smp_check("sgi-by-ispendr-of-1", smp_call_and_join(1, take_and_end, LONG_US), SGI);

    /* The group enable is each CPU's own. */
    smp_call_and_join(1, write_igrpen1, 0);
    smp_check("igrpen1-own", READ_ICC(ICC_IGRPEN1), 1);
    smp_check("igrpen1-of-1", smp_call_and_join(1, read_igrpen1, 0), 0);
    gic_send_sgi(1, SGI);
    smp_check("igrpen1-0-not-taken", smp_call_and_join(1, take_none, 0), NONE);
    smp_call_and_join(1, write_igrpen1, 1);
    smp_check("igrpen1-1-taken", smp_call_and_join(1, take_and_end, LONG_US), SGI);
}

static void check_sgis(void)
{
    u32 takers;
    u64 esr;

    for (unsigned cpu = 0; cpu < smp_count; cpu++) {
        write_sgi1r(to(1u << cpu));
        if (cpu)
            smp_check("sgi-not-to-self", take_none(0), NONE);
        smp_check("sgi-to-one", smp_call_and_join(cpu, take_and_end, LONG_US), SGI);
        smp_call_and_join(cpu, write_sgi1r, to(1));
        smp_check("sgi-from-one-has-no-source", take_and_end(LONG_US), SGI);
        smp_call_and_join(cpu, write_sgi1r, to(1u << cpu));
        smp_check("sgi-to-self", smp_call_and_join(cpu, take_and_end, LONG_US), SGI);

        smp_call_and_join(cpu, write_sgi1r, to(IRM));
        for (unsigned other = 0; other < smp_count; other++)
            if (other == cpu)
                smp_check("sgi-to-others-not-self", smp_call_and_join(cpu, take_none, 0), NONE);
            else
                smp_check("sgi-to-others", smp_call_and_join(other, take_and_end, LONG_US), SGI);
    }

    write_sgi1r(to(0xffff));
    for (unsigned cpu = 0; cpu < smp_count; cpu++)
        smp_check("sgi-to-a-list", smp_call_and_join(cpu, take_and_end, LONG_US), SGI);
    write_sgi1r(to(0));
    smp_check("sgi-to-an-empty-list", take_none(0), NONE);
    write_sgi1r(to(0xffff | AFF1(1)));
    smp_check("sgi-other-aff1", take_none(0), NONE);
    write_sgi1r(to(0xffff | AFF2(1)));
    smp_check("sgi-other-aff2", take_none(0), NONE);
    write_sgi1r(to(0xffff | AFF3(1)));
    smp_check("sgi-other-aff3", take_none(0), NONE);
    smp_printf("note: range selector: GICD_TYPER.RSS %u, ICC_CTLR_EL1.RSS %lu\n", !!(read32(GICD + GICD_TYPER) & TYPER_RSS),
               READ_ICC(ICC_CTLR) >> 18 & 1);
    /* Aff0 16 and up; without RSS it is for the implementation whether the field is looked at. */
    write_sgi1r(to(0xffff | RANGE(1)));
    for (unsigned cpu = takers = 0; cpu < smp_count; cpu++)
        takers += smp_call_and_join(cpu, take_none, 0) != NONE;
    smp_check_qemu("sgi-other-range", takers, 0, smp_count);

    gic_send_sgi(0, SGI);
    gic_send_sgi(0, SGI);
    smp_check("sgi-twice-1", take_and_end(LONG_US), SGI);
    smp_check("sgi-twice-2", take_none(0), NONE);
    if (smp_count >= 2) {
        /* One ID of two sources is one interrupt. */
        gic_send_sgi(0, SGI);
        smp_call_and_join(1, write_sgi1r, to(1));
        smp_check("sources-1", take_and_end(LONG_US), SGI);
        smp_check("sources-2", take_none(0), NONE);
    }
    gic_set_pending(SGI);
    smp_check("sgi-ispendr", take_and_end(LONG_US), SGI);
    gic_send_sgi(0, SGI);
    gic_clear_pending(SGI);
    smp_check("sgi-icpendr", take_none(0), NONE);
    WRITE_ICC(ICC_SGI0R, to(1));
    ISB();
    smp_check("sgi-of-group-0-to-group-1", take_none(0), NONE);

    smp_expect_fault();
    READ_ICC(ICC_SGI1R);
    smp_check("sgi1r-read-is-undefined", smp_fault_taken(&esr), true);
    smp_check("sgi1r-read-esr", esr >> 26, 0);
    smp_expect_fault();
    READ_ICC(ICC_EOIR1);
    smp_check("eoir1-read-is-undefined", smp_fault_taken(&esr), true);
    smp_expect_fault();
    WRITE_ICC(ICC_IAR1, 0);
    smp_check("iar1-write-is-undefined", smp_fault_taken(&esr), true);
}

static void check_irouter(void)
{
    u32 takers = 0;

    set_up_spi(SPI_A);
    write64(GICD + GICD_IROUTER + SPI_A * 8, 0x1200000003UL);
    smp_check("irouter-reads-back", read64(GICD + GICD_IROUTER + SPI_A * 8), 0x1200000003UL);
    smp_check("irouter-low-word", read32(GICD + GICD_IROUTER + SPI_A * 8), 3);
    smp_check("irouter-high-word", read32(GICD + GICD_IROUTER + SPI_A * 8 + 4), 0x12);
    gic_set_pending(SPI_A);
    for (unsigned cpu = 0; cpu < smp_count; cpu++)
        takers += smp_call_and_join(cpu, take_none, 0) != NONE;
    smp_check("irouter-to-nobody", takers, 0);
    gic_route(SPI_A, smp_count - 1);
    smp_check("irouter-while-pending", smp_call_and_join(smp_count - 1, take_and_end, LONG_US), SPI_A);

    if (read32(GICD + GICD_TYPER) & TYPER_NO_1_OF_N) {
        smp_printf("note: no 1 of N: GICD_TYPER.No1N is 1\n");
    } else {
        write64(GICD + GICD_IROUTER + SPI_A * 8, IROUTER_IRM);
        gic_set_pending(SPI_A);
        for (unsigned cpu = 1; cpu < smp_count; cpu++)
            smp_call(cpu, take_and_end, 5 * SHORT_US);
        takers = take_and_end(5 * SHORT_US) != NONE;
        for (unsigned cpu = 1; cpu < smp_count; cpu++)
            takers += smp_join(cpu) != NONE;
        smp_check("irouter-any-is-taken-by-one", takers, 1);
    }
    gic_route(SPI_A, 0);
}

int main(void)
{
    if (!(READ_SYSREG(id_aa64pfr0_el1) >> 24 & 0xf)) {
        smp_printf("gicv3: skipped: the machine has a GICv2\n");
        return 0;
    }
    check_at_reset();
    gic_init();
    smp_came_up(0);
    smp_start_all();
    smp_printf("gicv3: %u CPUs\n", smp_count);
    check_redistributors();
    check_interface();
    check_sgis();
    check_routes();
    check_irouter();
    return smp_summary("gicv3");
}
