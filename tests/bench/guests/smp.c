/*
 * smp: the kernel of samples/compute, 100 times on each CPU that there is, with the MMU off. Each CPU has its own
 * memory, and the first waits for the others in WFE.
 */

#include "kernel.h"
#include "smccc.h"
#include "uart.h"

#define WORDS 32768
#define ROUNDS 100
#define MAX_CPUS 8
#define STACK 4096

static uint64_t words[MAX_CPUS][WORDS];
static volatile uint64_t results[MAX_CPUS];
char secondary_stacks[MAX_CPUS][STACK] __attribute__((aligned(16)));

void secondary(void);

static void work(uint64_t cpu)
{
    uint64_t result = compute(words[cpu], WORDS, ROUNDS);

    __atomic_store_n(&results[cpu], result, __ATOMIC_RELEASE);
    __asm__ volatile("dsb ish; sev" : : : "memory");
}

void secondary_main(uint64_t cpu)
{
    work(cpu);
    smccc_hvc(PSCI_CPU_OFF, 0, 0, 0);
}

void main(void)
{
    uint64_t count = 1;

    uart_init();
    while (count < MAX_CPUS && !smccc_hvc(PSCI_CPU_ON_64, count, (unsigned long)secondary, count).x0)
        count++;
    work(0);
    for (uint64_t cpu = 0; cpu < count; cpu++) {
        while (!__atomic_load_n(&results[cpu], __ATOMIC_ACQUIRE))
            __asm__ volatile("wfe" : : : "memory");
        uart_printf("compute 0x%016lx\n", results[cpu]);
    }
}
