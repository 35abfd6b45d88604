/*
 * exits: one exit of every kind that a machine with one CPU and no interrupt
 * controller has, a line for each.  Run it on the machine of exits.toml, which
 * adds a read-only region for the permission fault and traps writes to the
 * virtual memory registers (HCR_EL2.TVM).
 *
 *   MmioWrite        the PL011, as every line of this output
 *   MmioRead         the PL011's flags: a word, a byte with sign extension, and
 *                    a load with write-back, which has no valid syndrome
 *   Hypercall        two numbers that nobody implements: -1
 *   PSCI             through HVC: what the hypervisor answers by itself
 *   SMC              forwarded to the secure monitor
 *   SysRegRead       ID registers (HCR_EL2.TID3)
 *   SysRegWrite      CONTEXTIDR_EL1 (HCR_EL2.TVM), read back
 *   SendIPI          ICC_SGI1R_EL1; undefined where there is no GICv3
 *   NestedPageFault  a write to read-only memory, an access to an address that
 *                    nothing backs
 *
 * The last exit is chosen by a word in the boot arguments: end=halt (Halt, by
 * WFI with nothing that could end it), end=cpu-off (CpuDown), end=reset
 * (SYSTEM_RESET); without one it is SystemDown.
 */

#include "devicetree.h"
#include "exception.h"
#include "smccc.h"
#include "sysreg.h"
#include "uart.h"

#include <stdint.h>

#define ROM_BASE 0x10000000UL
#define UNBACKED 0x20000000UL

#define MPIDR_AFFINITY 0xff00ffffffUL
#define UNKNOWN_MPIDR 5

#define HYPERCALL_UNKNOWN 0x100
#define HYPERCALL_VENDOR 0xc6000001
#define SMC_UNKNOWN 0xc20000ff

/* INTID 1 to the CPU with affinity 0.0.0.0. */
#define SGI1_TO_CPU0 (1UL << 24 | 1)

extern const char _start[];

/* A line has the kind of exit, what was done, and the outcome. */
static void print_status(const char *what, struct smccc_result result)
{
    uart_printf("%s %ld\n", what, (long)(int)result.x0);
}

static void print_value(const char *what, unsigned long value)
{
    uart_printf("%s 0x%lx\n", what, value);
}

static void print_fault(const char *what)
{
    struct fault fault = fault_taken();

    if (fault.taken)
        uart_printf("%s abort, ESR 0x%08lx FAR 0x%lx\n", what, fault.esr, fault.far);
    else
        uart_printf("%s done\n", what);
}

static void mmio(void)
{
    unsigned long base = UART_BASE;
    unsigned long flags;

    uart_puts("MmioWrite        UARTDR\n");

    __asm__ volatile("ldr %w0, [%1, %2]" : "=r"(flags) : "r"(base), "i"(UARTFR));
    print_value("MmioRead         UARTFR, ldr w", flags);
    __asm__ volatile("ldrsb %0, [%1, %2]" : "=r"(flags) : "r"(base), "i"(UARTFR));
    print_value("MmioRead         UARTFR, ldrsb x", flags);
    __asm__ volatile("ldr %w0, [%1, %2]!" : "=&r"(flags), "+r"(base) : "i"(UARTFR));
    uart_printf("MmioRead         UARTFR, ldr w with write-back 0x%lx, base 0x%lx\n", flags, base);
}

static void hypercalls(void)
{
    unsigned long self = READ_SYSREG(mpidr_el1) & MPIDR_AFFINITY;

    print_status("Hypercall        0x100", smccc_hvc(HYPERCALL_UNKNOWN, 1, 2, 3));
    print_status("Hypercall        0xc6000001", smccc_hvc(HYPERCALL_VENDOR, 1, 2, 3));
    print_value("PSCI             VERSION", smccc_hvc(PSCI_VERSION, 0, 0, 0).x0);
    print_status("PSCI             FEATURES(CPU_ON)", smccc_hvc(PSCI_FEATURES, PSCI_CPU_ON_64, 0, 0));
    print_status("PSCI             FEATURES(SMCCC_VERSION)", smccc_hvc(PSCI_FEATURES, SMCCC_VERSION, 0, 0));
    print_status("PSCI             AFFINITY_INFO(self)", smccc_hvc(PSCI_AFFINITY_INFO_64, self, 0, 0));
    print_status("PSCI             MIGRATE_INFO_TYPE", smccc_hvc(PSCI_MIGRATE_INFO_TYPE, 0, 0, 0));
    print_status("PSCI             CPU_ON(self)", smccc_hvc(PSCI_CPU_ON_64, self, (unsigned long)_start, 0));
    print_status("PSCI             CPU_ON(5)", smccc_hvc(PSCI_CPU_ON_64, UNKNOWN_MPIDR, (unsigned long)_start, 0));
    print_value("SMCCC            VERSION", smccc_hvc(SMCCC_VERSION, 0, 0, 0).x0);
}

static void secure_monitor_call(const char *what, unsigned long function, unsigned long argument)
{
    fault_expect();
    struct smccc_result result = smccc_smc(function, argument, 0, 0);
    struct fault fault = fault_taken();

    if (fault.taken)
        uart_printf("%s undefined, ESR 0x%08lx\n", what, fault.esr);
    else
        print_status(what, result);
}

static void system_registers(void)
{
    print_value("SysRegRead       ID_AA64PFR0_EL1", READ_SYSREG(id_aa64pfr0_el1));
    print_value("SysRegRead       ID_AA64MMFR0_EL1", READ_SYSREG(id_aa64mmfr0_el1));

    WRITE_SYSREG(contextidr_el1, 0x1234abcd);
    print_value("SysRegWrite      CONTEXTIDR_EL1", READ_SYSREG(contextidr_el1));

    fault_expect();
    WRITE_SYSREG(S3_0_C12_C11_5, SGI1_TO_CPU0); /* ICC_SGI1R_EL1 */
    struct fault fault = fault_taken();
    if (fault.taken)
        uart_printf("SendIPI          undefined, ESR 0x%08lx\n", fault.esr);
    else
        uart_puts("SendIPI          done\n");
}

static void page_faults(void)
{
    fault_expect();
    *(volatile uint32_t *)ROM_BASE = 1;
    print_fault("NestedPageFault  write to ROM");

    fault_expect();
    (void)*(volatile uint32_t *)UNBACKED;
    print_fault("NestedPageFault  read of unbacked memory");

    fault_expect();
    *(volatile uint32_t *)UNBACKED = 1;
    print_fault("NestedPageFault  write to unbacked memory");
}

_Noreturn static void end(unsigned long devicetree)
{
    if (devicetree_contains(devicetree, "end=halt")) {
        uart_puts("Halt             WFI\n");
        for (;;)
            __asm__ volatile("wfi");
    }
    if (devicetree_contains(devicetree, "end=cpu-off")) {
        uart_puts("CpuDown          CPU_OFF\n");
        smccc_hvc(PSCI_CPU_OFF, 0, 0, 0);
    }
    if (devicetree_contains(devicetree, "end=reset")) {
        uart_puts("SystemReset      SYSTEM_RESET\n");
        smccc_hvc(PSCI_SYSTEM_RESET, 0, 0, 0);
    }
    uart_puts("SystemDown       SYSTEM_OFF\n");
    psci_system_off();
}

void main(unsigned long devicetree)
{
    uart_init();
    mmio();
    hypercalls();
    secure_monitor_call("SMC              SMCCC_ARCH_FEATURES(SMCCC_VERSION)", SMCCC_ARCH_FEATURES, SMCCC_VERSION);
    secure_monitor_call("SMC              0xc20000ff", SMC_UNKNOWN, 0);
    system_registers();
    page_faults();
    end(devicetree);
}
