/* What the kernel and the user program of switch agree on. */

#ifndef BENCH_SWITCH_H
#define BENCH_SWITCH_H

/* Numbers of SVC. */
enum {
    CALL_EXIT,   /* x0 = the checksum of the process */
    CALL_YIELD,  /* to the other process */
    CALL_NUMBER, /* returns how many times the process has asked */
};

/* The user program; the kernel maps it at another address. */
void user_main(unsigned long seed);

#endif
