/*
 * hang: machines that get nowhere, each in a way of its own that a run has to be able to name. Built four times; all
 * say "hung: ..." first, and then nothing more comes, on QEMU neither: a run has to be ended from outside.
 *
 *   hang-lock   CPU 1 holds a lock and is in WFI for ever with interrupts masked; the others wait for it in WFE
 *   hang-wfi    every CPU is in WFI with nothing that could wake it
 *   hang-off    every CPU switches itself off, CPU 0 last
 *   hang-spin   every CPU branches to itself with interrupts masked
 */

#include "smp.h"

#if defined HANG_lock
#define NAME "lock"
#elif defined HANG_wfi
#define NAME "wfi"
#elif defined HANG_off
#define NAME "off"
#elif defined HANG_spin
#define NAME "spin"
#endif

u32 hang_lock __attribute__((aligned(64)));
static u32 held;

/* Functions with names that a report can give. */
__attribute__((noinline)) u64 hang_in_wfi(u64 unused)
{
    (void)unused;
    for (;;)
        WFI();
}

__attribute__((noinline)) u64 hang_holding(u64 unused)
{
    smp_lock(&hang_lock);
    STORE_RELEASE(&held, 1);
    SEV();
    return hang_in_wfi(unused);
}

__attribute__((noinline)) u64 hang_waiting(u64 unused)
{
    (void)unused;
    smp_lock(&hang_lock);
    smp_printf("got the lock\n");
    return 0;
}

__attribute__((noinline)) u64 hang_spinning(u64 unused)
{
    (void)unused;
    for (;;)
        __asm__ volatile("1: b 1b");
}

__attribute__((noinline)) u64 hang_switching_off(u64 unused)
{
    (void)unused;
    psci(PSCI_CPU_OFF, 0, 0, 0);
    smp_printf("CPU_OFF came back\n");
    return 0;
}

int main(void)
{
    smp_function hang = 0;

    smp_start_all();
    smp_printf("hung: " NAME ", %u CPUs\n", smp_count);
#if defined HANG_lock
    hang = hang_waiting;
    if (smp_count == 1)
        hang_holding(0);
    smp_call(1, hang_holding, 0);
    SMP_UNTIL(LOAD_ACQUIRE(&held), LONG_US);
#elif defined HANG_wfi
    hang = hang_in_wfi;
#elif defined HANG_off
    hang = hang_switching_off;
#elif defined HANG_spin
    hang = hang_spinning;
#endif
    for (unsigned cpu = 1; cpu < smp_count; cpu++)
        if (!LOAD_ACQUIRE(&smp_cpus[cpu].function))
            smp_call(cpu, hang, 0);
#if defined HANG_off
    for (unsigned cpu = 1; cpu < smp_count; cpu++)
        SMP_UNTIL(psci_affinity_info(cpu) == PSCI_OFF, LONG_US);
#endif
    hang(0);
    return 1;
}
