/* Calls by the SMC Calling Convention (Arm DEN0028) and PSCI (Arm DEN0022). */

#ifndef SAMPLES_SMCCC_H
#define SAMPLES_SMCCC_H

enum {
    SMCCC_VERSION = 0x80000000,
    SMCCC_ARCH_FEATURES = 0x80000001,

    PSCI_VERSION = 0x84000000,
    PSCI_CPU_OFF = 0x84000002,
    PSCI_MIGRATE_INFO_TYPE = 0x84000006,
    PSCI_SYSTEM_OFF = 0x84000008,
    PSCI_SYSTEM_RESET = 0x84000009,
    PSCI_FEATURES = 0x8400000a,
    PSCI_CPU_ON_64 = 0xc4000003,
    PSCI_AFFINITY_INFO_64 = 0xc4000004,
};

struct smccc_result {
    unsigned long x0, x1, x2, x3;
};

struct smccc_result smccc_hvc(unsigned long function, unsigned long x1, unsigned long x2, unsigned long x3);
struct smccc_result smccc_smc(unsigned long function, unsigned long x1, unsigned long x2, unsigned long x3);

_Noreturn void psci_system_off(void);

#endif
