/*
 * The program that both processes of switch run at EL0.  It is mapped at another
 * address than it is linked at, so nothing here may hold an address.
 */

#include "switch.h"

#define TURNS 100000UL
#define WORDS 16

static void yield(void)
{
    __asm__ volatile("svc %0" : : "i"(CALL_YIELD) : "memory");
}

static unsigned long number(void)
{
    register unsigned long x0 __asm__("x0");

    __asm__ volatile("svc %1" : "=r"(x0) : "i"(CALL_NUMBER) : "memory");
    return x0;
}

_Noreturn static void leave(unsigned long checksum)
{
    register unsigned long x0 __asm__("x0") = checksum;

    for (;;)
        __asm__ volatile("svc %1" : "+r"(x0) : "i"(CALL_EXIT) : "memory");
}

void user_main(unsigned long seed)
{
    volatile unsigned long words[WORDS]; /* on the stack: at the same address in both processes */
    unsigned long checksum = 0xcbf29ce484222325 + seed;

    for (unsigned i = 0; i < WORDS; i++)
        words[i] = seed;
    for (unsigned long turn = 0; turn < TURNS; turn++) {
        words[turn % WORDS] += number();
        yield();
        for (unsigned i = 0; i < WORDS; i++)
            checksum = (checksum ^ words[i]) * 0x100000001b3;
    }
    leave(checksum);
}
