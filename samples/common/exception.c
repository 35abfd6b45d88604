#include "exception.h"

#include "semihosting.h"
#include "smccc.h"
#include "sysreg.h"
#include "uart.h"

static volatile bool fault_is_expected;
static struct fault last_fault;

_Noreturn void exception_panic(const struct exception_frame *frame, unsigned long vector)
{
    static bool panicking;

    /* Where semihosting is off, its HLT comes back to here as an undefined instruction. */
    if (!panicking) {
        panicking = true;
        uart_printf("unexpected exception: vector %lu ESR 0x%08lx ELR 0x%016lx FAR 0x%016lx\n", vector,
                    READ_SYSREG(esr_el1), frame->elr, READ_SYSREG(far_el1));
        semihosting_exit(1);
    }
    psci_system_off();
}

void fault_expect(void)
{
    last_fault.taken = false;
    fault_is_expected = true;
}

struct fault fault_taken(void)
{
    fault_is_expected = false;
    return last_fault;
}

__attribute__((weak)) void exception_handler(struct exception_frame *frame, unsigned long vector)
{
    unsigned long esr = READ_SYSREG(esr_el1);

    if (vector != VECTOR_CURRENT_SPX_SYNC || !fault_is_expected || last_fault.taken)
        exception_panic(frame, vector);
    last_fault = (struct fault){.taken = true, .esr = esr, .far = READ_SYSREG(far_el1), .elr = frame->elr};
    if (exception_class(esr) == EC_INSTRUCTION_ABORT_SAME)
        frame->elr = frame->x[30];
    else
        frame->elr += 4;
}
