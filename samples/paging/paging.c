/*
 * paging: a guest with stage-1 translation on top of the hypervisor's stage 2.
 * It maps itself with the permissions of its segments, turns on the MMU and the
 * caches, and drops to EL0, where a program makes system calls, reads an address
 * that is not mapped and one that is not its own, and jumps to a page that is
 * not executable.
 *
 *   EL1: MMU on, SCTLR_EL1 0x30c51835 TTBR0_EL1 0x...
 *   EL0: hello
 *   EL0: the number is 42
 *   EL0: a string of the kernel is refused
 *   EL1: data abort from EL0: ESR 0x92000007 FAR 0x0000001000100000
 *   EL1: data abort from EL0: ESR 0x9200000f FAR 0x...
 *   EL1: instruction abort from EL0: ESR 0x8200000f FAR 0x0000001000000000
 *   EL1: 8 system calls, 2 data aborts, 1 instruction abort
 */

#include "exception.h"
#include "smccc.h"
#include "sysreg.h"
#include "tables.h"
#include "uart.h"
#include "user.h"

#define RAM_BASE 0x40000000UL
#define RAM_MAPPED (64UL << 20) /* RAM may have more; the guest needs no more */

#define THE_NUMBER 42

#define ESR_IMMEDIATE 0xffffUL
#define PAR_F 1UL
#define SPSR_EL0_MASKED 0x3c0UL /* EL0t with D, A, I and F masked */

extern char __text_start[], __text_end[], __user_start[], __user_end[], __rodata_start[], __rodata_end[];

static const char kernel_string[] = "must not be printed\n";
static char user_stack[PAGE_SIZE] __attribute__((aligned(4096)));

static unsigned syscalls, data_aborts, instruction_aborts;

/* Asks the MMU, by the address translation instruction for a read at EL0. */
static int user_may_read(unsigned long address)
{
    __asm__ volatile("at s1e0r, %0\n\tisb" : : "r"(address) : "memory");
    return !(READ_SYSREG(par_el1) & PAR_F);
}

static long write_user_string(unsigned long address)
{
    for (;; address++) {
        if (!user_may_read(address))
            return -1;

        char c = *(const char *)address;

        if (!c)
            return 0;
        uart_putc(c);
    }
}

static void system_call(struct exception_frame *frame, unsigned number)
{
    syscalls++;
    switch (number) {
    case SYSCALL_EXIT:
        uart_printf("EL1: %u system calls, %u data aborts, %u instruction abort\n", syscalls, data_aborts,
                    instruction_aborts);
        psci_system_off();
    case SYSCALL_WRITE:
        frame->x[0] = write_user_string(frame->x[0]);
        break;
    case SYSCALL_NUMBER:
        frame->x[0] = THE_NUMBER;
        break;
    default:
        frame->x[0] = -1;
    }
}

static void print_abort(const char *kind, unsigned long esr)
{
    uart_printf("EL1: %s abort from EL0: ESR 0x%08lx FAR 0x%016lx\n", kind, esr, READ_SYSREG(far_el1));
}

void exception_handler(struct exception_frame *frame, unsigned long vector)
{
    unsigned long esr = READ_SYSREG(esr_el1);

    if (vector != VECTOR_LOWER_AARCH64_SYNC)
        exception_panic(frame, vector);
    switch (exception_class(esr)) {
    case EC_SVC64:
        system_call(frame, esr & ESR_IMMEDIATE);
        break;
    case EC_DATA_ABORT_LOWER:
        data_aborts++;
        print_abort("data", esr);
        frame->elr += 4;
        break;
    case EC_INSTRUCTION_ABORT_LOWER:
        instruction_aborts++;
        print_abort("instruction", esr);
        frame->elr = frame->x[30]; /* back to where the jump came from */
        break;
    default:
        exception_panic(frame, vector);
    }
}

static void map_identity(const char *start, const char *end, uint64_t attributes)
{
    tables_map((uint64_t)start, (uint64_t)start, end - start, attributes);
}

static void map_all(void)
{
    const uint64_t never_execute = ATTRIBUTE_PXN | ATTRIBUTE_UXN;
    const char *ram = (const char *)RAM_BASE;

    map_identity(ram, __text_start, ATTRIBUTE_NORMAL | never_execute);
    map_identity(__text_start, __text_end, ATTRIBUTE_NORMAL | ATTRIBUTE_READ_ONLY | ATTRIBUTE_UXN);
    map_identity(__user_start, __user_end, ATTRIBUTE_NORMAL | ATTRIBUTE_READ_ONLY | ATTRIBUTE_EL0 | ATTRIBUTE_PXN);
    map_identity(__rodata_start, __rodata_end, ATTRIBUTE_NORMAL | ATTRIBUTE_READ_ONLY | never_execute);
    map_identity(__rodata_end, ram + RAM_MAPPED, ATTRIBUTE_NORMAL | never_execute);
    tables_map(UART_BASE, UART_BASE, PAGE_SIZE, ATTRIBUTE_DEVICE | never_execute);
    tables_map(USER_STACK, (uint64_t)user_stack, sizeof user_stack, ATTRIBUTE_NORMAL | ATTRIBUTE_EL0 | never_execute);
}

_Noreturn static void enter_el0(void)
{
    WRITE_SYSREG(sp_el0, USER_STACK + sizeof user_stack);
    WRITE_SYSREG(elr_el1, user_main);
    WRITE_SYSREG(spsr_el1, SPSR_EL0_MASKED);

    register unsigned long x0 __asm__("x0") = (unsigned long)kernel_string; /* user_main's argument */
    __asm__ volatile("mov x29, xzr\n\t"
                     "mov x30, xzr\n\t"
                     "eret" : : "r"(x0) : "memory");
    __builtin_unreachable();
}

void main(void)
{
    uart_init();
    map_all();
    tables_enable();
    uart_printf("EL1: MMU on, SCTLR_EL1 0x%lx TTBR0_EL1 0x%lx\n", READ_SYSREG(sctlr_el1), READ_SYSREG(ttbr0_el1));
    enter_el0();
}
