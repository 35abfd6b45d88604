/*
 * echo: reads the PL011 by polling and sends back each byte, letters in upper
 * case.  A line that is just "quit", or the end-of-transmission byte (Ctrl-D,
 * 0x04) at any place, powers the machine off; both CR and LF end a line.
 *
 *   Type lines; "quit" ends.
 *   HELLO
 *   QUIT
 *   2 lines
 *
 * is what the input "hello\nquit\n" gives.
 */

#include "smccc.h"
#include "uart.h"

#include <stdbool.h>

#define END_OF_TRANSMISSION 0x04

void main(void)
{
    static const char quit[] = "quit";
    unsigned long lines = 0;
    unsigned long length = 0;
    bool is_quit = true; /* so far the line is the start of "quit" */
    bool after_cr = false;

    uart_init();
    uart_puts("Type lines; \"quit\" ends.\n");
    for (;;) {
        char c = uart_getc();

        if (c == END_OF_TRANSMISSION) {
            if (length > 0)
                uart_putc('\n');
            break;
        }
        if (c == '\n' && after_cr) {
            after_cr = false;
            continue;
        }
        after_cr = c == '\r';
        if (c == '\n' || c == '\r') {
            uart_putc('\n');
            lines++;
            if (is_quit && length == sizeof quit - 1)
                break;
            length = 0;
            is_quit = true;
            continue;
        }
        is_quit = is_quit && length < sizeof quit - 1 && c == quit[length];
        length++;
        uart_putc(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    }
    uart_printf("%lu lines\n", lines);
    psci_system_off();
}
