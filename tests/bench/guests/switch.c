/*
 * switch: what a small kernel does all the time.  Two processes, each with an
 * address space and an ASID of its own, run the same program at EL0 and make
 * system calls; every other one is a yield, at which the kernel goes to the
 * other address space, and now and then invalidates a page or an ASID as after a
 * change of the tables.  Everything is mapped writable and executable, the
 * kernel at EL1 and the program at EL0.
 */

#include "exception.h"
#include "mmu.h"
#include "smccc.h"
#include "switch.h"
#include "sysreg.h"
#include "uart.h"

#define PROCESSES 2

#define USER_TEXT 0x1000000000UL
#define USER_STACK 0x1000100000UL

/* How many switches there are from one invalidation to the next. */
#define SWITCHES_PER_PAGE 16
#define SWITCHES_PER_ASID 256

#define ESR_IMMEDIATE 0xffffUL
#define SPSR_EL0_MASKED 0x3c0UL /* EL0t with D, A, I and F masked */
#define ASID_SHIFT 48

struct process {
    struct exception_frame frame;
    unsigned long ttbr0;
    unsigned long numbers;
    unsigned long checksum;
};

extern char __user_start[], __user_end[];

static char stacks[PROCESSES][PAGE_SIZE] __attribute__((aligned(4096)));
static struct process processes[PROCESSES];
static unsigned current, running = PROCESSES;
static unsigned long switches;

static unsigned long asid_of(unsigned process)
{
    return process + 1UL;
}

static void invalidate(unsigned process)
{
    unsigned long asid = asid_of(process) << ASID_SHIFT;

    if (switches % SWITCHES_PER_ASID == 0)
        __asm__ volatile("dsb ishst\n\ttlbi aside1, %0\n\tdsb ish\n\tisb" : : "r"(asid) : "memory");
    else if (switches % SWITCHES_PER_PAGE == 0)
        __asm__ volatile("dsb ishst\n\ttlbi vae1, %0\n\tdsb ish\n\tisb" : : "r"(asid | USER_STACK >> 12) : "memory");
}

static void go_to(unsigned process)
{
    switches++;
    current = process;
    WRITE_SYSREG(ttbr0_el1, processes[process].ttbr0);
    __asm__ volatile("isb" : : : "memory");
    invalidate(process);
}

/* By words: an assignment would be a call of memcpy(), which is not there. */
static void copy_frame(struct exception_frame *to, const struct exception_frame *from)
{
    unsigned long *words = (unsigned long *)to;

    for (unsigned i = 0; i < sizeof *to / sizeof *words; i++)
        words[i] = ((const unsigned long *)from)[i];
}

static void switch_to(struct exception_frame *frame, unsigned process)
{
    copy_frame(&processes[current].frame, frame);
    go_to(process);
    copy_frame(frame, &processes[process].frame);
}

void exception_handler(struct exception_frame *frame, unsigned long vector)
{
    unsigned long esr = READ_SYSREG(esr_el1);

    if (vector != VECTOR_LOWER_AARCH64_SYNC || exception_class(esr) != EC_SVC64)
        exception_panic(frame, vector);
    switch (esr & ESR_IMMEDIATE) {
    case CALL_EXIT:
        processes[current].checksum = frame->x[0];
        if (--running == 0) {
            uart_printf("switch %lu 0x%016lx 0x%016lx\n", switches, processes[0].checksum, processes[1].checksum);
            psci_system_off();
        }
        switch_to(frame, !current);
        break;
    case CALL_YIELD:
        if (running == PROCESSES)
            switch_to(frame, !current);
        break;
    case CALL_NUMBER:
        frame->x[0] = ++processes[current].numbers;
        break;
    default:
        exception_panic(frame, vector);
    }
}

static void make_process(unsigned number)
{
    struct process *process = &processes[number];
    const uint64_t attributes = ATTRIBUTE_NORMAL | ATTRIBUTE_EL0 | ATTRIBUTE_NOT_GLOBAL;
    uint64_t *space = mmu_space();

    mmu_map_image(space);
    mmu_map(space, USER_TEXT, (uint64_t)__user_start, __user_end - __user_start, PAGE_SIZE, attributes);
    mmu_map(space, USER_STACK, (uint64_t)stacks[number], PAGE_SIZE, PAGE_SIZE, attributes);
    process->ttbr0 = (uint64_t)space | asid_of(number) << ASID_SHIFT;
    process->frame.x[0] = number;
    process->frame.sp_el0 = USER_STACK + PAGE_SIZE;
    process->frame.elr = USER_TEXT + ((uint64_t)user_main - (uint64_t)__user_start);
    process->frame.spsr = SPSR_EL0_MASKED;
}

_Noreturn static void enter_el0(const struct exception_frame *frame)
{
    register unsigned long x0 __asm__("x0") = frame->x[0];

    WRITE_SYSREG(sp_el0, frame->sp_el0);
    WRITE_SYSREG(elr_el1, frame->elr);
    WRITE_SYSREG(spsr_el1, frame->spsr);
    __asm__ volatile("mov x29, xzr\n\t"
                     "mov x30, xzr\n\t"
                     "eret" : : "r"(x0) : "memory");
    __builtin_unreachable();
}

void main(void)
{
    uint64_t *first = mmu_space();

    uart_init();
    for (unsigned number = 0; number < PROCESSES; number++)
        make_process(number);
    mmu_map_image(first);
    mmu_enable(first);
    go_to(0);
    enter_el0(&processes[0].frame);
}
