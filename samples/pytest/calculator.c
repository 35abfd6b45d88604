/*
 * calculator: a guest to be talked to.  It adds on request, and goes wrong on
 * request.
 *
 *   calculator on EL1, ready
 *   > sum 2 40
 *   = 42
 *   > crash
 *
 * stores to an address that nothing backs; "off" powers the machine off.  It
 * counts its sums in the variable "sums", at the start of its data.
 */

#include "smccc.h"
#include "sysreg.h"
#include "uart.h"

#define UNBACKED 0xdead0000UL
#define LINE 64

volatile unsigned long sums __attribute__((section(".data"))) = 0;

static unsigned read_line(char *line)
{
    unsigned length = 0;

    for (;;) {
        char c = uart_getc();

        if (c == '\n' || c == '\r')
            break;
        uart_putc(c);
        if (length < LINE - 1)
            line[length++] = c;
    }
    uart_putc('\n');
    line[length] = 0;
    return length;
}

static const char *skip(const char *text, const char *word)
{
    while (*word) {
        if (*text++ != *word++)
            return 0;
    }
    return text;
}

static unsigned long number(const char **text)
{
    unsigned long value = 0;

    while (**text == ' ')
        ++*text;
    while (**text >= '0' && **text <= '9')
        value = value * 10 + (unsigned long)(*(*text)++ - '0');
    return value;
}

__attribute__((noipa)) static void crash(void)
{
    *(volatile unsigned long *)UNBACKED = sums;
}

void main(void)
{
    char line[LINE];

    uart_init();
    uart_printf("calculator on EL%lu, ready\n", READ_SYSREG(CurrentEL) >> 2);
    for (;;) {
        const char *rest;

        uart_puts("> ");
        if (!read_line(line))
            continue;
        if ((rest = skip(line, "sum"))) {
            unsigned long first = number(&rest);

            sums++;
            uart_printf("= %lu\n", first + number(&rest));
        } else if (skip(line, "crash")) {
            crash();
        } else if (skip(line, "off")) {
            break;
        } else {
            uart_puts("? sum A B, crash, off\n");
        }
    }
    psci_system_off();
}
