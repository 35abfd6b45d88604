/* What EL1 and the program at EL0 agree on. */

#ifndef SAMPLES_PAGING_USER_H
#define SAMPLES_PAGING_USER_H

/* The number of a system call is the immediate of the SVC. */
#define SYSCALL_EXIT 0   /* does not return */
#define SYSCALL_WRITE 1  /* x0 = address of a string; x0 = 0, or -1 if it can't be read */
#define SYSCALL_NUMBER 2 /* x0 = a number */

/* The stack, readable and writable at EL0 and never executable. */
#define USER_STACK 0x1000000000UL

/* Never mapped, but in reach of the tables that map the stack. */
#define USER_UNMAPPED 0x1000100000UL

_Noreturn void user_main(unsigned long kernel_address);

#endif
