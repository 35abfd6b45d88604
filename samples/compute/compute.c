/*
 * compute: a guest that only computes.  It sorts 256 KiB of pseudo-random words
 * 40 times, about 456 million instructions without a single exit, and prints
 * a checksum.
 *
 *   checksum 0x051073369fbc6bdc
 */

#include "kernel.h"
#include "smccc.h"
#include "uart.h"

#define WORDS 32768
#define ROUNDS 40

static uint64_t words[WORDS];

void main(void)
{
    uart_init();
    uart_printf("checksum 0x%016lx\n", compute(words, WORDS, ROUNDS));
    psci_system_off();
}
