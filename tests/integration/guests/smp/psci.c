/*
 * psci: PSCI by HVC with up to 4 CPUs (2 or more for what needs another CPU, 3 for two callers that race): turning on and
 * off, what a fresh CPU finds, AFFINITY_INFO, both kinds of CPU_SUSPEND, FEATURES, SMC32 calls with garbage above.
 *
 * One line a check, "ok NAME" or "FAIL NAME got G expected E"; the last line is "psci: N ok, M failed", and the status of
 * the run is 1 if any failed. Status codes are shown as PSCI has them, -2 for INVALID_PARAMETERS.
 *
 * QEMU 7.2 differs from the documents where its lines end in "(as QEMU 7.2)":
 *   FAIL suspend-powerdown-entry       a power-down state is treated as standby (which PSCI allows)
 *   FAIL race-*                        with threads, both callers may be told SUCCESS (not in every run); ON_PENDING is
 *                                      never answered
 *   FAIL affinity-info-level-4         every level above 0 is on
 *   FAIL *-garbage*                    SMC32 calls are decided by all 64 bits of their arguments, and of x0
 *   FAIL on-entry-outside-ram          entry points are not looked at; the CPU is lost, which is why this comes last
 */

#include "gic.h"

#define GARBAGE 0xdeadbeef00000000UL
#define CONTEXT 0x0123456789abcdefUL
#define OUTSIDE_RAM 0x1000000000UL
#define SGI 1
#define RACES 20

static struct smp_barrier barrier;
static u32 before_suspend, after_suspend;
static u64 suspend_result;

void smp_came_up(unsigned cpu)
{
    struct smp_cpu *self = &smp_cpus[cpu];

    if (gic_version == 3) {
        self->boot_igrpen1 = READ_ICC(ICC_IGRPEN1);
        self->boot_pmr = READ_ICC(ICC_PMR);
    }
    gic_init_cpu();
    gic_set_priority(SGI, 0x80);
    gic_enable(SGI);
}

static void acknowledge_all(void)
{
    u32 interrupt;

    while (gic_intid(interrupt = gic_acknowledge()) != SPURIOUS)
        gic_end(interrupt);
}

/* On and off ----------------------------------------------------------------------------------------------------- */

static u64 go_off(u64 function)
{
    smp_cpus[smp_self()].function = 0; /* or it would be called again when the CPU is back */
    return psci(function, 0, 0, 0);
}

static bool turn_off(unsigned cpu)
{
    smp_call(cpu, go_off, PSCI_CPU_OFF);
    return SMP_UNTIL(psci_affinity_info(cpu) == PSCI_OFF, LONG_US);
}

/* Waits for the next start of a CPU that has started `boots` times. */
static bool came_up(unsigned cpu, u64 boots)
{
    return SMP_UNTIL(LOAD_ACQUIRE(&smp_cpus[cpu].boots) == boots + 1, LONG_US);
}

static void check_fresh(unsigned cpu, u64 context)
{
    struct smp_cpu *it = &smp_cpus[cpu];

    smp_check("fresh-x0-is-context", it->boot_x0, context);
    smp_check("fresh-mpidr", it->boot_mpidr & 0xff00ffffffUL, cpu);
    smp_check("fresh-mpidr-bit-31", it->boot_mpidr >> 31 & 1, 1);
    smp_check("fresh-sctlr-m-c-i", it->boot_sctlr & 0x1005, 0);
    smp_check("fresh-daif", it->boot_daif, 0x3c0);
    smp_check("fresh-el", it->boot_el, 4);
    smp_check("fresh-spsel", it->boot_spsel, 1);
    if (gic_version == 3) {
        smp_check("fresh-icc-igrpen1", it->boot_igrpen1, 0);
        smp_check("fresh-icc-pmr", it->boot_pmr, 0);
    }
}

static u64 race_on(u64 target)
{
    smp_meet(&barrier, 2);
    return psci_cpu_on(target, CONTEXT);
}

static void check_race(void)
{
    unsigned one_success = 0, other_allowed = 0, up = 0, pending = 0;

    for (unsigned round = 0; round < RACES; round++) {
        u64 boots = smp_cpus[2].boots;
        long results[2];

        if (!turn_off(2))
            break;
        smp_call(1, race_on, 2);
        results[0] = race_on(2);
        results[1] = smp_join(1);
        one_success += (results[0] == PSCI_SUCCESS) + (results[1] == PSCI_SUCCESS) == 1;
        for (unsigned i = 0; i < 2; i++) {
            if (results[i] == PSCI_SUCCESS)
                results[i] = results[!i];
            other_allowed += results[i] == PSCI_ALREADY_ON || results[i] == PSCI_ON_PENDING;
            pending += results[i] == PSCI_ON_PENDING;
        }
        up += came_up(2, boots) && smp_cpus[2].boots == boots + 1;
    }
    smp_check_qemu("race-one-success", one_success, RACES, one_success);
    smp_check_qemu("race-other-already-on-or-pending", other_allowed, RACES * 2, other_allowed);
    smp_check("race-started-once", up, RACES);
    smp_printf("note: ON_PENDING in %u of %u races\n", pending / 2, RACES);
}

static void check_on_and_off(void)
{
    u64 boots;

    smp_check("on-self", psci_cpu_on(0, 0), PSCI_ALREADY_ON);
    smp_check("on-bad-target", psci_cpu_on(0x00ff00, 0), PSCI_INVALID_PARAMETERS);
    smp_check("on-bad-aff3", psci_cpu_on(1UL << 32, 0), PSCI_INVALID_PARAMETERS);
    smp_check("on-bit-31", psci_cpu_on(1UL << 31, 0), PSCI_INVALID_PARAMETERS);
    smp_check("on-bits-63-40", psci_cpu_on(1UL << 40, 0), PSCI_INVALID_PARAMETERS);
    if (smp_count < 2)
        return;
    smp_check("on-already-on", psci_cpu_on(1, 0), PSCI_ALREADY_ON);
    check_fresh(1, 1); /* started by smp_start_all() with its number as context */

    boots = smp_cpus[1].boots;
    smp_check("off", turn_off(1), true);
    smp_check("off-affinity-info", psci_affinity_info(1), PSCI_OFF);
    smp_check("off-does-not-return", smp_cpus[1].boots == boots, true);
    smp_check("on-again", psci_cpu_on(1, CONTEXT), PSCI_SUCCESS);
    smp_check("on-again-comes-up", came_up(1, boots), true);
    smp_check("on-again-affinity-info", psci_affinity_info(1), PSCI_ON);
    check_fresh(1, CONTEXT);
    if (smp_count >= 3)
        check_race();
}

static void check_affinity_info(void)
{
    smp_check("affinity-info-self", psci_affinity_info(0), PSCI_ON);
    smp_check("affinity-info-bad-target", psci_affinity_info(0x00ff00), PSCI_INVALID_PARAMETERS);
    smp_check("affinity-info-bit-31", psci_affinity_info(1UL << 31), PSCI_INVALID_PARAMETERS);
    /* Levels above 0 are optional: on, as one CPU there is, or refused. */
    for (u64 level = 1; level <= 3; level++) {
        long result = psci(PSCI_AFFINITY_INFO | PSCI_64, 0, level, 0);

        smp_printf("note: AFFINITY_INFO at level %lu: %ld\n", level, result);
        smp_check("affinity-info-level", result == PSCI_ON || result == PSCI_INVALID_PARAMETERS, true);
    }
    smp_check_qemu("affinity-info-level-4", psci(PSCI_AFFINITY_INFO | PSCI_64, 0, 4, 0), PSCI_INVALID_PARAMETERS, PSCI_ON);
}

/* Suspend -------------------------------------------------------------------------------------------------------- */

static u64 suspend(u64 power_state)
{
    struct smp_cpu *self = &smp_cpus[smp_self()];

    self->function = 0;
    STORE_RELEASE(&before_suspend, 1);
    suspend_result = psci(PSCI_CPU_SUSPEND | PSCI_64, power_state, (u64)smp_entry, CONTEXT);
    acknowledge_all();
    STORE_RELEASE(&after_suspend, 1);
    SEV();
    return 0;
}

/* CPU 1 suspends, does not come back by itself, and does after an SGI. */
static void start_suspend(u64 power_state)
{
    before_suspend = after_suspend = 0;
    suspend_result = ~0UL;
    smp_call(1, suspend, power_state);
    SMP_UNTIL(LOAD_ACQUIRE(&before_suspend), LONG_US);
    smp_delay_us(SHORT_US);
}

static void check_suspend_of_another(void)
{
    u64 boots = smp_cpus[1].boots;

    start_suspend(0);
    smp_check("suspend-standby-waits", LOAD_ACQUIRE(&after_suspend), 0);
    smp_check("suspend-standby-affinity-info", psci_affinity_info(1), PSCI_ON);
    gic_send_sgi(1, SGI);
    smp_check("suspend-standby-woken-by-sgi", SMP_UNTIL(LOAD_ACQUIRE(&after_suspend), LONG_US), true);
    smp_check("suspend-standby-result", suspend_result, PSCI_SUCCESS);
    smp_check("suspend-standby-keeps-state", smp_cpus[1].boots, boots);

    smp_cpus[1].boot_x0 = 0;
    start_suspend(0x00010000);
    smp_check("suspend-powerdown-waits", LOAD_ACQUIRE(&after_suspend) || smp_cpus[1].boots != boots, 0);
    smp_check("suspend-powerdown-affinity-info", psci_affinity_info(1), PSCI_ON);
    gic_send_sgi(1, SGI);
    SMP_UNTIL(LOAD_ACQUIRE(&after_suspend) || smp_cpus[1].boots != boots, LONG_US);
    smp_check_qemu("suspend-powerdown-entry", smp_cpus[1].boots, boots + 1, boots);
    if (smp_cpus[1].boots != boots) {
        smp_check("suspend-powerdown-context", smp_cpus[1].boot_x0, CONTEXT);
        smp_check("suspend-powerdown-mmu-off", smp_cpus[1].boot_sctlr & 0x1005, 0);
        smp_check("suspend-powerdown-daif", smp_cpus[1].boot_daif, 0x3c0);
        /* It has not acknowledged what woke it. */
        smp_call_and_join(1, (smp_function)acknowledge_all, 0);
    }
}

static void check_suspend(void)
{
    u64 start, ticks = READ_SYSREG(cntfrq_el0) / 2000;

    /* With an interrupt pending, so that who does not refuse it comes back too. */
    gic_send_sgi(0, SGI);
    smp_check("suspend-reserved-bit-31", psci(PSCI_CPU_SUSPEND | PSCI_64, 1UL << 31, 0, 0), PSCI_INVALID_PARAMETERS);
    if (!(psci(PSCI_FEATURES, PSCI_CPU_SUSPEND, 0, 0) & 2))
        smp_check("suspend-reserved-bit-17", psci(PSCI_CPU_SUSPEND | PSCI_64, 1UL << 17, 0, 0), PSCI_INVALID_PARAMETERS);

    acknowledge_all();

    /* An interrupt that is pending ends standby at once, masked or not. */
    gic_send_sgi(0, SGI);
    smp_check("suspend-pending", psci(PSCI_CPU_SUSPEND | PSCI_64, 0, 0, 0), PSCI_SUCCESS);
    acknowledge_all();
    gic_send_sgi(0, SGI);
    smp_check("suspend-32-garbage-arguments", psci(PSCI_CPU_SUSPEND, GARBAGE, GARBAGE, GARBAGE), PSCI_SUCCESS);
    acknowledge_all();

    gic_set_priority(VIRTUAL_TIMER, 0x80);
    gic_enable(VIRTUAL_TIMER);
    start = READ_SYSREG(cntvct_el0);
    WRITE_SYSREG(cntv_cval_el0, start + ticks);
    WRITE_SYSREG(cntv_ctl_el0, 1);
    ISB();
    smp_check("suspend-timer", psci(PSCI_CPU_SUSPEND | PSCI_64, 0, 0, 0), PSCI_SUCCESS);
    ISB();
    smp_check("suspend-timer-time-is-over", READ_SYSREG(cntvct_el0) - start >= ticks, true);
    smp_check("suspend-timer-istatus", READ_SYSREG(cntv_ctl_el0), 5);
    WRITE_SYSREG(cntv_ctl_el0, 0);
    ISB();
    acknowledge_all();
    if (smp_count >= 2)
        check_suspend_of_another();
}

/* System suspend, features --------------------------------------------------------------------------------------- */

static void check_system_suspend(void)
{
    bool there = psci(PSCI_FEATURES, PSCI_SYSTEM_SUSPEND | PSCI_64, 0, 0) >= 0;

    smp_printf("note: SYSTEM_SUSPEND is %s\n", there ? "there" : "not there");
    if (!there || smp_count >= 2)
        smp_check("system-suspend-while-others-are-on", psci(PSCI_SYSTEM_SUSPEND | PSCI_64, (u64)smp_entry, 0, 0),
                  there ? PSCI_DENIED : PSCI_NOT_SUPPORTED);
}

static void check_features(void)
{
    static const struct {
        const char *name;
        u32 function;
    } mandatory[] = {
        {"features-version", PSCI_VERSION},
        {"features-cpu-suspend-32", PSCI_CPU_SUSPEND},
        {"features-cpu-suspend-64", PSCI_CPU_SUSPEND | PSCI_64},
        {"features-cpu-off", PSCI_CPU_OFF},
        {"features-cpu-on-32", PSCI_CPU_ON},
        {"features-cpu-on-64", PSCI_CPU_ON | PSCI_64},
        {"features-affinity-info-32", PSCI_AFFINITY_INFO},
        {"features-affinity-info-64", PSCI_AFFINITY_INFO | PSCI_64},
        {"features-system-off", PSCI_SYSTEM_OFF},
        {"features-system-reset", PSCI_SYSTEM_RESET},
        {"features-psci-features", PSCI_FEATURES},
    };
    static const u32 absent[] = {0x8400001f, PSCI_CPU_OFF | PSCI_64, PSCI_VERSION | PSCI_64, 0x8400003f, 0x12345678};
    u64 version = psci(PSCI_VERSION, 0, 0, 0);

    smp_printf("note: PSCI_VERSION %lu.%lu\n", version >> 16, version & 0xffff);
    smp_check("version-major", version >> 16, 1);
    for (u32 i = 0; i < sizeof mandatory / sizeof *mandatory; i++) {
        bool is_suspend = (mandatory[i].function & ~PSCI_64) == PSCI_CPU_SUSPEND;

        smp_check(mandatory[i].name, psci(PSCI_FEATURES, mandatory[i].function, 0, 0) & (is_suspend ? ~3L : ~0L), 0);
    }
    for (u32 i = 0; i < sizeof absent / sizeof *absent; i++)
        smp_check("features-absent", psci(PSCI_FEATURES, absent[i], 0, 0), PSCI_NOT_SUPPORTED);
    for (u32 function = 0x84000000; function <= 0x84000020; function++) {
        long narrow = psci(PSCI_FEATURES, function, 0, 0), wide = psci(PSCI_FEATURES, function | PSCI_64, 0, 0);

        if (narrow >= 0 || wide >= 0)
            smp_printf("note: FEATURES 0x%x: %ld, 0x%lx: %ld\n", function, narrow, function | (u64)PSCI_64, wide);
    }
    smp_check("absent-function", psci(0x8400001f, 0, 0, 0), PSCI_NOT_SUPPORTED);
}

/* Garbage above the 32 bits of an SMC32 call --------------------------------------------------------------------- */

static void check_garbage(void)
{
    u64 boots, version = psci(PSCI_VERSION, 0, 0, 0);
    long result;

    smp_check_qemu("version-garbage-x0", psci(GARBAGE | PSCI_VERSION, 0, 0, 0), version, PSCI_NOT_SUPPORTED);
    smp_check_qemu("affinity-info-64-garbage-x0", psci(GARBAGE | PSCI_AFFINITY_INFO | PSCI_64, 0, 0, 0), PSCI_ON,
                   PSCI_NOT_SUPPORTED);
    smp_check_qemu("features-garbage-arguments", psci(PSCI_FEATURES, GARBAGE | PSCI_CPU_OFF, 0, 0), 0, PSCI_NOT_SUPPORTED);
    smp_check_qemu("on-32-self-garbage-arguments", psci(PSCI_CPU_ON, GARBAGE, GARBAGE, GARBAGE), PSCI_ALREADY_ON,
                   PSCI_INVALID_PARAMETERS);
    if (smp_count < 2)
        return;
    boots = smp_cpus[1].boots;
    turn_off(1);
    smp_check_qemu("affinity-info-32-garbage-target", psci(PSCI_AFFINITY_INFO, GARBAGE | 1, 0, 0), PSCI_OFF,
                   PSCI_INVALID_PARAMETERS);
    smp_check_qemu("affinity-info-32-garbage-level", psci(PSCI_AFFINITY_INFO, 1, GARBAGE, 0), PSCI_OFF, PSCI_ON);
    result = psci(PSCI_CPU_ON, GARBAGE | 1, GARBAGE | (u32)(u64)smp_entry, GARBAGE | 0xfedcba98);
    smp_check_qemu("on-32-garbage-arguments", result, PSCI_SUCCESS, PSCI_INVALID_PARAMETERS);
    if (result == PSCI_SUCCESS) {
        smp_check("on-32-garbage-comes-up", came_up(1, boots), true);
        smp_check("on-32-garbage-context", smp_cpus[1].boot_x0, 0xfedcba98);
        boots = smp_cpus[1].boots;
        turn_off(1);
    }
    smp_check("on-32", psci(PSCI_CPU_ON, 1, (u64)smp_entry, 0xfedcba98), PSCI_SUCCESS);
    smp_check("on-32-comes-up", came_up(1, boots), true);
    smp_check("on-32-context", smp_cpus[1].boot_x0, 0xfedcba98);

    /* CPU_OFF has no arguments; the function of PSCI is in w0. */
    turn_off(1);
    boots = smp_cpus[1].boots;
    if (psci_cpu_on(1, 0) == PSCI_SUCCESS && came_up(1, boots)) {
        bool off;

        smp_call(1, go_off, GARBAGE | PSCI_CPU_OFF);
        off = SMP_UNTIL(psci_affinity_info(1) == PSCI_OFF, 20000);
        smp_check_qemu("off-garbage-x0", off, true, false);
        if (off)
            psci_cpu_on(1, 0);
    }
}

/* Loses the CPU where entry points are not checked. */
static void check_bad_entry(void)
{
    unsigned last = smp_count - 1;
    long result;

    if (smp_count < 2)
        return;
    if (!turn_off(last))
        return;
    result = psci(PSCI_CPU_ON | PSCI_64, last, OUTSIDE_RAM, 0);
    smp_check_qemu("on-entry-outside-ram", result, PSCI_INVALID_ADDRESS, PSCI_SUCCESS);
    if (result != PSCI_SUCCESS) {
        smp_check("on-entry-in-device", psci(PSCI_CPU_ON | PSCI_64, last, 0x09000000, 0), PSCI_INVALID_ADDRESS);
        smp_check("on-entry-refused-stays-off", psci_affinity_info(last), PSCI_OFF);
    }
}

int main(void)
{
    gic_init();
    smp_came_up(0);
    smp_start_all();
    if (smp_count > 4)
        smp_count = 4;
    smp_printf("psci: %u CPUs, GICv%u\n", smp_count, gic_version);
    check_features();
    check_on_and_off();
    check_affinity_info();
    check_suspend();
    check_system_suspend();
    check_garbage();
    check_bad_entry();
    return smp_summary("psci");
}
