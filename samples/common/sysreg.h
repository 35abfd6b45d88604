/* Access to system registers by name, or by S<op0>_<op1>_C<n>_C<m>_<op2>. */

#ifndef SAMPLES_SYSREG_H
#define SAMPLES_SYSREG_H

#define READ_SYSREG(name)                                       \
    ({                                                          \
        unsigned long value_;                                   \
        __asm__ volatile("mrs %0, " #name : "=r"(value_));      \
        value_;                                                 \
    })

#define WRITE_SYSREG(name, value)                                               \
    __asm__ volatile("msr " #name ", %0" : : "r"((unsigned long)(value)) : "memory")

#endif
