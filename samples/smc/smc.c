/*
 * smc: calls into the secure monitor by SMC.  The machine file smc.toml gives
 * the monitor two SiP functions; the other answers are the monitor's own.  One
 * line a call, with x0 to x3 as they come back:
 *
 *   SMCCC_VERSION       -> x0 0x10002 ...
 *   SMCCC_ARCH_FEATURES -> x0 0x0 ...
 *   SiP 0xc2000001      -> x0 0x11 x1 0x22 x2 0x33 x3 0x44
 *   SiP 0x82000002      -> x0 0x1234 ...
 *   unknown 0xc20000ff  -> x0 0xffffffffffffffff ...
 */

#include "smccc.h"
#include "uart.h"

#define SIP_FOUR_VALUES 0xc2000001UL
#define SIP_ONE_VALUE 0x82000002UL
#define SIP_UNKNOWN 0xc20000ffUL

static void call(const char *name, unsigned long function, unsigned long argument)
{
    struct smccc_result result = smccc_smc(function, argument, 0, 0);

    uart_printf("%s -> x0 0x%lx x1 0x%lx x2 0x%lx x3 0x%lx\n", name, result.x0, result.x1, result.x2, result.x3);
}

void main(void)
{
    uart_init();
    call("SMCCC_VERSION      ", SMCCC_VERSION, 0);
    call("SMCCC_ARCH_FEATURES", SMCCC_ARCH_FEATURES, SMCCC_VERSION);
    call("SiP 0xc2000001     ", SIP_FOUR_VALUES, 0);
    call("SiP 0x82000002     ", SIP_ONE_VALUE, 0);
    call("unknown 0xc20000ff ", SIP_UNKNOWN, 0);
    psci_system_off();
}
