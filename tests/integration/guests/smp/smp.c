/* CPUs, exceptions and translation of the guests with several CPUs. */

#include "smp.h"

#define SYS_EXIT_EXTENDED 0x20
#define ADP_STOPPED_APPLICATION_EXIT 0x20026

struct smp_cpu smp_cpus[MAX_CPUS];
unsigned smp_count = 1;
volatile u32 smp_use_mmu = 1;
u64 smp_level1[512] __attribute__((aligned(4096)));

u64 smp_semihosting(u64 operation, const u64 *parameters);
void smp_first(unsigned cpu);
_Noreturn void smp_other(unsigned cpu);
void smp_exception(struct frame *frame, u64 vector);

/* Ends ----------------------------------------------------------------------------------------------------------- */

_Noreturn void smp_power_off(void)
{
    smp_hvc(PSCI_SYSTEM_OFF, 0, 0, 0);
    for (;;)
        WFI();
}

_Noreturn void smp_exit(u64 status)
{
    const u64 block[2] = {ADP_STOPPED_APPLICATION_EXIT, status};

    /* Where there is no semihosting, its HLT is undefined. */
    smp_cpus[smp_self()].fault_expected = true;
    smp_cpus[smp_self()].fault_taken = false;
    smp_semihosting(SYS_EXIT_EXTENDED, block);
    smp_power_off();
}

/* CPUs ----------------------------------------------------------------------------------------------------------- */

long psci_cpu_on(u64 target, u64 context)
{
    return psci(PSCI_CPU_ON | PSCI_64, target, (u64)smp_entry, context);
}

long psci_affinity_info(u64 target)
{
    return psci(PSCI_AFFINITY_INFO | PSCI_64, target, 0, 0);
}

__attribute__((weak)) void smp_came_up(unsigned cpu)
{
    (void)cpu;
}

void smp_first(unsigned cpu)
{
    smp_level1[0] = 0UL << 30 | PTE_DEVICE | PTE_AF | PTE_VALID;
    smp_level1[1] = 1UL << 30 | PTE_NORMAL | PTE_AF | PTE_VALID;
    DSB(ish);
    if (smp_use_mmu)
        smp_mmu_on(smp_level1);
    smp_cpus[cpu].boots = 1;
    smp_exit(main());
}

_Noreturn void smp_other(unsigned cpu)
{
    struct smp_cpu *self = &smp_cpus[cpu];

    if (smp_use_mmu)
        smp_mmu_on(smp_level1);
    smp_came_up(cpu);
    STORE_RELEASE(&self->boots, self->boots + 1);
    SEV();
    for (;;) {
        smp_function function;

        while (!(function = LOAD_ACQUIRE(&self->function)))
            WFE();
        self->result = function(self->argument);
        STORE_RELEASE(&self->function, 0);
        SEV();
    }
}

unsigned smp_start_all(void)
{
    for (smp_count = 1; smp_count < MAX_CPUS; smp_count++) {
        long result = psci_cpu_on(smp_count, smp_count);

        if (result == PSCI_INVALID_PARAMETERS)
            break;
        if (result != PSCI_SUCCESS) {
            smp_printf("CPU_ON %u: %ld\n", smp_count, result);
            smp_exit(1);
        }
        while (!LOAD_ACQUIRE(&smp_cpus[smp_count].boots))
            WFE();
    }
    return smp_count;
}

void smp_call(unsigned cpu, smp_function function, u64 argument)
{
    smp_cpus[cpu].argument = argument;
    STORE_RELEASE(&smp_cpus[cpu].function, function);
    SEV();
}

u64 smp_join(unsigned cpu)
{
    while (LOAD_ACQUIRE(&smp_cpus[cpu].function))
        WFE();
    return smp_cpus[cpu].result;
}

u64 smp_call_and_join(unsigned cpu, smp_function function, u64 argument)
{
    if (cpu == smp_self())
        return function(argument);
    smp_call(cpu, function, argument);
    return smp_join(cpu);
}

void smp_meet(struct smp_barrier *barrier, unsigned count)
{
    unsigned round = LOAD_ACQUIRE(&barrier->round);

    if (ATOMIC_ADD(&barrier->arrived, 1) == count) {
        barrier->arrived = 0;
        STORE_RELEASE(&barrier->round, round + 1);
        SEV();
    }
    while (LOAD_ACQUIRE(&barrier->round) == round)
        WFE();
}

u64 smp_lock(u32 *lock)
{
    u64 daif = READ_SYSREG(daif);
    u32 value;

    IRQS_OFF();
    __asm__ volatile("   sevl\n"
                     "1: wfe\n"
                     "2: ldaxr %w0, [%1]\n"
                     "   cbnz %w0, 1b\n"
                     "   stxr %w0, %w2, [%1]\n"
                     "   cbnz %w0, 2b\n"
                     : "=&r"(value)
                     : "r"(lock), "r"(1)
                     : "memory");
    return daif;
}

void smp_unlock(u32 *lock, u64 daif)
{
    STORE_RELEASE(lock, 0);
    SEV();
    WRITE_SYSREG(daif, daif);
}

/* Time ----------------------------------------------------------------------------------------------------------- */

u64 smp_now_us(void)
{
    ISB();
    return READ_SYSREG(cntvct_el0) * 1000 / (READ_SYSREG(cntfrq_el0) / 1000);
}

void smp_delay_us(u64 us)
{
    u64 end = smp_now_us() + us;

    while (smp_now_us() < end)
        YIELD();
}

/* Exceptions ----------------------------------------------------------------------------------------------------- */

static _Noreturn void panic(const struct frame *frame, u64 vector)
{
    smp_printf_unlocked("\ncpu %u: unexpected exception: vector %lu ESR 0x%lx ELR 0x%lx FAR 0x%lx\n", smp_self(), vector,
                        READ_SYSREG(esr_el1), frame->elr, READ_SYSREG(far_el1));
    smp_exit(1);
}

__attribute__((weak)) void smp_irq(struct frame *frame)
{
    panic(frame, 5);
}

void smp_exception(struct frame *frame, u64 vector)
{
    struct smp_cpu *self = &smp_cpus[smp_self()];

    if (vector == 5) {
        smp_irq(frame);
        return;
    }
    if (vector != 4 || !self->fault_expected || self->fault_taken)
        panic(frame, vector);
    self->fault_taken = true;
    self->fault_esr = READ_SYSREG(esr_el1);
    self->fault_far = READ_SYSREG(far_el1);
    frame->elr += 4;
}

void smp_expect_fault(void)
{
    struct smp_cpu *self = &smp_cpus[smp_self()];

    self->fault_taken = false;
    self->fault_expected = true;
    __asm__ volatile("" : : : "memory");
}

bool smp_fault_taken(u64 *esr)
{
    struct smp_cpu *self = &smp_cpus[smp_self()];

    __asm__ volatile("" : : : "memory");
    self->fault_expected = false;
    if (esr)
        *esr = self->fault_esr;
    return self->fault_taken;
}

/* Translation ---------------------------------------------------------------------------------------------------- */

void smp_mmu_on(u64 *level1)
{
    u64 t0sz = 25, inner_wb = 1UL << 8, outer_wb = 1UL << 10, inner_shareable = 3UL << 12, no_ttbr1 = 1UL << 23;
    u64 bits_40 = 2UL << 32;

    WRITE_SYSREG(mair_el1, MAIR_VALUE);
    WRITE_SYSREG(tcr_el1, t0sz | inner_wb | outer_wb | inner_shareable | no_ttbr1 | bits_40);
    WRITE_SYSREG(ttbr0_el1, level1);
    ISB();
    __asm__ volatile("tlbi vmalle1; dsb nsh; isb" : : : "memory");
    WRITE_SYSREG(sctlr_el1, READ_SYSREG(sctlr_el1) | 1 | 1 << 2 | 1 << 12);
    ISB();
}
