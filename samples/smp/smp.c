/*
 * smp: starts all other CPUs by PSCI (up to 8 in all, with a GICv2 or a GICv3), lets each say that it is there, passes a
 * software-generated interrupt around, counts together with LDXR and STXR, and powers off.
 *
 *   cpu 0 is here
 *   cpu 1 is here
 *   cpu 2 is here
 *   cpu 3 is here
 *   4 CPUs, GICv3
 *   100 times around, 400 interrupts
 *   counted to 40000 of 40000
 *   cpu 1 is off
 *   cpu 2 is off
 *   cpu 3 is off
 */

#include <stdint.h>

#include "gic.h"
#include "smccc.h"
#include "sysreg.h"
#include "uart.h"

enum {
    MAX_CPUS = 8,
    STACK_SIZE = 4096,
    SGI = 1,
    LAPS = 100,
    COUNTS = 10000,
    PSCI_INVALID_PARAMETERS = -2,
    PSCI_AFFINITY_OFF = 1,
};

void secondary_entry(void);
_Noreturn void secondary_main(void);

static unsigned char stacks[MAX_CPUS][STACK_SIZE] __attribute__((aligned(16)));
static uint64_t level1[512] __attribute__((aligned(4096)));

static uint32_t print_lock;
static volatile unsigned cpus; /* how many there are */
static unsigned here;          /* how many have come up */
static unsigned interrupts;
static unsigned counter;
static unsigned finished;

static unsigned this_cpu(void)
{
    return READ_SYSREG(mpidr_el1) & 0xff;
}

/* LDXR and STXR need cacheable memory: an identity map of 1 GiB of devices and 1 GiB of RAM. */
static void mmu_on(void)
{
    WRITE_SYSREG(mair_el1, 0xff00);                                               /* 0: device, 1: write-back */
    WRITE_SYSREG(tcr_el1, 2UL << 32 | 1 << 23 | 3 << 12 | 1 << 10 | 1 << 8 | 25); /* 39 bits of TTBR0 */
    WRITE_SYSREG(ttbr0_el1, level1);
    __asm__ volatile("isb; tlbi vmalle1; dsb nsh; isb" ::: "memory");
    WRITE_SYSREG(sctlr_el1, READ_SYSREG(sctlr_el1) | 1 << 12 | 1 << 2 | 1);
    __asm__ volatile("isb" ::: "memory");
}

static void lock(uint32_t *word)
{
    uint32_t value;

    /* In WFE a CPU waits for the store that clears its exclusive monitor: that of unlock(). */
    __asm__ volatile("   sevl\n"
                     "1: wfe\n"
                     "2: ldaxr %w0, [%1]\n"
                     "   cbnz %w0, 1b\n"
                     "   stxr %w0, %w2, [%1]\n"
                     "   cbnz %w0, 2b\n"
                     : "=&r"(value)
                     : "r"(word), "r"(1)
                     : "memory");
}

static void unlock(uint32_t *word)
{
    __asm__ volatile("stlr wzr, [%0]" : : "r"(word) : "memory");
}

static void add_one(unsigned *number)
{
    unsigned value;
    uint32_t failed;

    __asm__ volatile("1: ldxr %w0, [%2]\n"
                     "   add %w0, %w0, #1\n"
                     "   stxr %w1, %w0, [%2]\n"
                     "   cbnz %w1, 1b\n"
                     "   dmb ish\n"
                     : "=&r"(value), "=&r"(failed)
                     : "r"(number)
                     : "memory");
}

/* Waits in WFE; whoever changes the number sends an event. */
static void wait_for(unsigned *number, unsigned value)
{
    while (__atomic_load_n(number, __ATOMIC_ACQUIRE) != value)
        __asm__ volatile("wfe" ::: "memory");
}

static void announce(unsigned *number)
{
    add_one(number);
    __asm__ volatile("dsb ish; sev" ::: "memory");
}

static void come_up(void)
{
    gic_init_cpu(this_cpu(), SGI);
    lock(&print_lock);
    uart_printf("cpu %u is here\n", this_cpu());
    unlock(&print_lock);
    announce(&here);
}

/* Each lap the interrupt goes from CPU to CPU; the last one's is for CPU 0. */
static void pass_around(void)
{
    unsigned next = (this_cpu() + 1) % cpus;

    for (unsigned lap = 0; lap < LAPS; lap++) {
        if (this_cpu() == 0)
            gic_send_sgi(next, SGI);
        if (gic_wait() == SGI)
            interrupts++; /* one CPU at a time is awake */
        if (this_cpu() != 0)
            gic_send_sgi(next, SGI);
    }
}

static void count(void)
{
    for (unsigned i = 0; i < COUNTS; i++)
        add_one(&counter);
    announce(&finished);
}

_Noreturn void secondary_main(void)
{
    mmu_on();
    come_up();
    while (!cpus)
        __asm__ volatile("wfe" ::: "memory");
    pass_around();
    count();
    smccc_hvc(PSCI_CPU_OFF, 0, 0, 0);
    for (;;)
        __asm__ volatile("wfi");
}

static unsigned start_all(void)
{
    unsigned cpu;

    for (cpu = 1; cpu < MAX_CPUS; cpu++) {
        unsigned long stack = (unsigned long)stacks[cpu] + STACK_SIZE;
        int result = smccc_hvc(PSCI_CPU_ON_64, cpu, (unsigned long)secondary_entry, stack).x0;

        if (result == PSCI_INVALID_PARAMETERS)
            break; /* there is no such CPU */
        if (result)
            uart_printf("cpu %u: %d\n", cpu, result);
        wait_for(&here, cpu + 1);
    }
    return cpu;
}

void main(void)
{
    unsigned version;

    uart_init();
    level1[0] = 0UL << 30 | 3UL << 53 | 1 << 10 | 0 << 2 | 1; /* never executed, accessed, devices */
    level1[1] = 1UL << 30 | 1 << 10 | 3 << 8 | 1 << 2 | 1;    /* accessed, inner shareable, write-back */
    mmu_on();
    version = gic_init();
    come_up();
    cpus = start_all();
    __asm__ volatile("dsb ish; sev" ::: "memory");
    uart_printf("%u CPUs, GICv%u\n", cpus, version);

    pass_around();
    uart_printf("%u times around, %u interrupts\n", LAPS, interrupts);
    count();
    wait_for(&finished, cpus);
    uart_printf("counted to %u of %u\n", counter, cpus * COUNTS);

    for (unsigned cpu = 1; cpu < cpus; cpu++) {
        while (smccc_hvc(PSCI_AFFINITY_INFO_64, cpu, 0, 0).x0 != PSCI_AFFINITY_OFF)
            __asm__ volatile("yield");
        uart_printf("cpu %u is off\n", cpu);
    }
    psci_system_off();
}
