/* A polled PL011 (Arm DDI 0183) at the address it has on QEMU's virt board. */

#ifndef SAMPLES_UART_H
#define SAMPLES_UART_H

#define UART_BASE 0x09000000UL

enum {
    UARTDR = 0x00,
    UARTFR = 0x18,
    UARTLCR_H = 0x2c,
    UARTCR = 0x30,
};

/* Turns on the transmitter and the receiver, 8 bits, no parity. */
void uart_init(void);

void uart_putc(char c);
void uart_puts(const char *text);

/* Waits for a byte. */
char uart_getc(void);

/* %c %s %d %u %x %% with l, zero padding and a width. */
__attribute__((format(printf, 1, 2))) void uart_printf(const char *format, ...);

#endif
