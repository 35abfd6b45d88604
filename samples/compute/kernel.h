#ifndef SAMPLES_COMPUTE_KERNEL_H
#define SAMPLES_COMPUTE_KERNEL_H

#include <stdint.h>

/*
 * Fills words[0..count) with a xorshift sequence, sorts them and folds them into
 * the checksum, as often as rounds says.  Needs nothing but its arguments (x0 to
 * x2), a return address (x30) and a few words of stack, so that it runs on a bare CPU:
 * copy what lies between compute_start and compute_end anywhere and call it at
 * compute.
 */
uint64_t compute(uint64_t *words, uint64_t count, uint64_t rounds);

extern const char compute_start[], compute_end[];

#endif
