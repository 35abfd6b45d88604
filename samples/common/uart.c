#include "uart.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#define UARTFR_RXFE (1u << 4)
#define UARTFR_TXFF (1u << 5)
#define UARTLCR_H_WLEN_8 (3u << 5)
#define UARTCR_UARTEN (1u << 0)
#define UARTCR_TXE (1u << 8)
#define UARTCR_RXE (1u << 9)

static volatile uint32_t *uart_register(unsigned long offset)
{
    return (volatile uint32_t *)(UART_BASE + offset);
}

void uart_init(void)
{
    /* Turning on the FIFOs would empty them, of input that has come already too. */
    *uart_register(UARTLCR_H) = UARTLCR_H_WLEN_8;
    *uart_register(UARTCR) = UARTCR_UARTEN | UARTCR_TXE | UARTCR_RXE;
}

void uart_putc(char c)
{
    while (*uart_register(UARTFR) & UARTFR_TXFF)
        ;
    *uart_register(UARTDR) = (unsigned char)c;
}

void uart_puts(const char *text)
{
    while (*text)
        uart_putc(*text++);
}

char uart_getc(void)
{
    while (*uart_register(UARTFR) & UARTFR_RXFE)
        ;
    return *uart_register(UARTDR) & 0xff;
}

static void put_number(unsigned long value, unsigned base, unsigned width, char padding)
{
    char digits[20]; /* enough for 2**64 - 1 in decimal */
    unsigned count = 0;

    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    for (; width > count; width--)
        uart_putc(padding);
    while (count)
        uart_putc(digits[--count]);
}

void uart_printf(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    for (; *format; format++) {
        if (*format != '%') {
            uart_putc(*format);
            continue;
        }

        char padding = ' ';
        unsigned width = 0;
        bool is_long = false;

        if (*++format == '0')
            padding = '0';
        for (; *format >= '0' && *format <= '9'; format++)
            width = width * 10 + (*format - '0');
        if (*format == 'l') {
            is_long = true;
            format++;
        }

        switch (*format) {
        case 'c':
            uart_putc(va_arg(arguments, int));
            break;
        case 's':
            uart_puts(va_arg(arguments, const char *));
            break;
        case 'd': {
            long value = is_long ? va_arg(arguments, long) : va_arg(arguments, int);

            if (value < 0)
                uart_putc('-');
            put_number(value < 0 ? -(unsigned long)value : (unsigned long)value, 10, width, padding);
            break;
        }
        case 'u':
        case 'x': {
            unsigned long value = is_long ? va_arg(arguments, unsigned long) : va_arg(arguments, unsigned);

            put_number(value, *format == 'x' ? 16 : 10, width, padding);
            break;
        }
        case '%':
            uart_putc('%');
            break;
        default: /* also a format that ends after its % sign */
            va_end(arguments);
            return;
        }
    }
    va_end(arguments);
}
