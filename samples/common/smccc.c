#include "smccc.h"

/* A callee may change x4 to x17 too (SMCCC 1.1 keeps x4 up, 1.0 does not). */
#define SMCCC_CLOBBERS                                                                                      \
    "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17", "memory", "cc"

#define SMCCC_CALL(instruction, function, a1, a2, a3)                           \
    ({                                                                          \
        register unsigned long x0_ __asm__("x0") = (function);                  \
        register unsigned long x1_ __asm__("x1") = (a1);                        \
        register unsigned long x2_ __asm__("x2") = (a2);                        \
        register unsigned long x3_ __asm__("x3") = (a3);                        \
        __asm__ volatile(instruction " #0"                                      \
                         : "+r"(x0_), "+r"(x1_), "+r"(x2_), "+r"(x3_)           \
                         :                                                      \
                         : SMCCC_CLOBBERS);                                     \
        (struct smccc_result){x0_, x1_, x2_, x3_};                              \
    })

struct smccc_result smccc_hvc(unsigned long function, unsigned long x1, unsigned long x2, unsigned long x3)
{
    return SMCCC_CALL("hvc", function, x1, x2, x3);
}

struct smccc_result smccc_smc(unsigned long function, unsigned long x1, unsigned long x2, unsigned long x3)
{
    return SMCCC_CALL("smc", function, x1, x2, x3);
}

_Noreturn void psci_system_off(void)
{
    smccc_hvc(PSCI_SYSTEM_OFF, 0, 0, 0);
    for (;;)
        __asm__ volatile("wfi");
}
