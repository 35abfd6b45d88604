#include "semihosting.h"

#define SYS_EXIT_EXTENDED 0x20
#define ADP_STOPPED_APPLICATION_EXIT 0x20026

void semihosting_exit(unsigned long status)
{
    const unsigned long block[2] = {ADP_STOPPED_APPLICATION_EXIT, status};
    register unsigned long x0 __asm__("x0") = SYS_EXIT_EXTENDED;
    register const unsigned long *x1 __asm__("x1") = block;

    __asm__ volatile("hlt #0xf000" : "+r"(x0) : "r"(x1) : "memory");
}
