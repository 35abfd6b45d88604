/*
 * The program that runs at EL0.  The linker script gives this file pages of its
 * own, so nothing here may use data or functions of another file.
 */

#include "user.h"

#define STRING(x) #x
#define SVC(number) "svc #" STRING(number)

static long syscall_write(const char *text)
{
    register long x0 __asm__("x0") = (long)text;

    __asm__ volatile(SVC(SYSCALL_WRITE) : "+r"(x0) : : "memory");
    return x0;
}

static unsigned long syscall_number(void)
{
    register unsigned long x0 __asm__("x0");

    __asm__ volatile(SVC(SYSCALL_NUMBER) : "=r"(x0));
    return x0;
}

_Noreturn static void syscall_exit(void)
{
    for (;;)
        __asm__ volatile(SVC(SYSCALL_EXIT));
}

static void write_number(unsigned long value)
{
    char digits[21];
    char *first = digits + sizeof digits - 1;

    *first = '\0';
    do {
        *--first = '0' + value % 10;
        value /= 10;
    } while (value);
    syscall_write(first);
}

/* EL1 skips the load when it faults; the result is then what it was before. */
static unsigned long load(unsigned long address)
{
    unsigned long value = 0;

    __asm__ volatile("ldr %0, [%1]" : "+r"(value) : "r"(address) : "memory");
    return value;
}

_Noreturn void user_main(unsigned long kernel_address)
{
    syscall_write("EL0: hello\n");
    syscall_write("EL0: the number is ");
    write_number(syscall_number());
    syscall_write("\n");
    if (syscall_write((const char *)kernel_address) != 0)
        syscall_write("EL0: a string of the kernel is refused\n");

    load(USER_UNMAPPED);
    load(kernel_address);
    ((void (*)(void))USER_STACK)();
    syscall_exit();
}
