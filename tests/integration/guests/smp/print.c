/* Printing on the PL011, and checks. */

#include <stdarg.h>

#include "smp.h"

#define UARTDR 0x09000000UL
#define UARTFR 0x09000018UL
#define UARTFR_TXFF (1u << 5)

static u32 print_lock;
static u32 ok, failed;

static void put(char c)
{
    while (read32(UARTFR) & UARTFR_TXFF)
        ;
    write32(UARTDR, (u8)c);
}

static void put_number(u64 value, unsigned base, unsigned width, char padding)
{
    char digits[20];
    unsigned count = 0;

    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    for (; width > count; width--)
        put(padding);
    while (count)
        put(digits[--count]);
}

static void print(const char *format, va_list arguments)
{
    for (; *format; format++) {
        char padding = ' ';
        unsigned width = 0;
        bool is_long = false;

        if (*format != '%') {
            put(*format);
            continue;
        }
        if (*++format == '0')
            padding = '0';
        for (; *format >= '0' && *format <= '9'; format++)
            width = width * 10 + (*format - '0');
        if (*format == 'l') {
            is_long = true;
            format++;
        }
        if (*format == 'c') {
            put(va_arg(arguments, int));
        } else if (*format == 's') {
            for (const char *text = va_arg(arguments, const char *); *text; text++)
                put(*text);
        } else if (*format == 'd') {
            long value = is_long ? va_arg(arguments, long) : va_arg(arguments, int);

            if (value < 0)
                put('-');
            put_number(value < 0 ? -(u64)value : (u64)value, 10, width, padding);
        } else if (*format == 'u' || *format == 'x') {
            u64 value = is_long ? va_arg(arguments, u64) : va_arg(arguments, unsigned);

            put_number(value, *format == 'x' ? 16 : 10, width, padding);
        } else {
            put('%');
        }
    }
}

void smp_printf_unlocked(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print(format, arguments);
    va_end(arguments);
}

void smp_printf(const char *format, ...)
{
    va_list arguments;
    u64 daif = smp_lock(&print_lock);

    va_start(arguments, format);
    print(format, arguments);
    va_end(arguments);
    smp_unlock(&print_lock, daif);
}

/* Small negative numbers are the errors of PSCI. */
static void put_value(u64 value)
{
    if ((long)value < 0 && (long)value > -4096)
        smp_printf_unlocked("%ld", (long)value);
    else
        smp_printf_unlocked("0x%lx", value);
}

static bool check(const char *name, u64 got, u64 expected, bool like_qemu)
{
    u64 daif = smp_lock(&print_lock);
    bool right = got == expected;

    if (right) {
        ok++;
        smp_printf_unlocked("ok %s\n", name);
    } else {
        failed++;
        smp_printf_unlocked("FAIL %s got ", name);
        put_value(got);
        smp_printf_unlocked(" expected ");
        put_value(expected);
        smp_printf_unlocked("%s\n", like_qemu ? " (as QEMU 7.2)" : "");
    }
    smp_unlock(&print_lock, daif);
    return right;
}

bool smp_check(const char *name, u64 got, u64 expected)
{
    return check(name, got, expected, false);
}

bool smp_check_qemu(const char *name, u64 got, u64 expected, u64 of_qemu)
{
    return check(name, got, expected, got == of_qemu);
}

u64 smp_summary(const char *guest)
{
    smp_printf("%s: %u ok, %u failed\n", guest, ok, failed);
    return failed ? 1 : 0;
}
