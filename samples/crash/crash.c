/*
 * crash: a guest that goes wrong.  It installs no exception vectors (VBAR_EL1
 * is 0, where there is no memory), so the data abort of a store to an address
 * that nothing backs leads to an instruction abort at 0x200, and that one to
 * the next, for ever.
 *
 *   Storing to 0xdead0000
 *
 * is all that it prints.  The call chain of the store is
 * _start -> main -> outer -> inner, kept in frame records.
 */

#include "uart.h"

#define UNBACKED 0xdead0000UL

__attribute__((noipa)) unsigned long inner(unsigned long address, unsigned long value)
{
    *(volatile unsigned long *)address = value;
    return value + 1;
}

__attribute__((noipa)) unsigned long outer(unsigned long address)
{
    return inner(address, 0x5a) * 2;
}

void main(void)
{
    uart_init();
    uart_printf("Storing to 0x%lx\n", UNBACKED);
    unsigned long result = outer(UNBACKED);
    uart_printf("outer returned 0x%lx\n", result);
}
