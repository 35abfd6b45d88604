/*
 * hello: the smallest guest that says something.  It writes to the PL011, reads
 * three identification registers and powers the machine off through PSCI.
 *
 *   Hello from EL1!
 *   CurrentEL 0x4  MIDR_EL1 0x410fd083  MPIDR_EL1 0x80000000
 *
 * The last two values depend on the CPU model.
 */

#include "smccc.h"
#include "sysreg.h"
#include "uart.h"

void main(void)
{
    uart_init();
    uart_puts("Hello from EL1!\n");
    uart_printf("CurrentEL 0x%lx  MIDR_EL1 0x%lx  MPIDR_EL1 0x%lx\n", READ_SYSREG(CurrentEL),
                READ_SYSREG(midr_el1), READ_SYSREG(mpidr_el1));
    psci_system_off();
}
