/* Stage-1 translation through TTBR0_EL1: 4 KiB granule, 39-bit addresses, as many address spaces as wanted. */

#ifndef BENCH_MMU_H
#define BENCH_MMU_H

#include <stdint.h>

#define PAGE_SIZE 4096UL
#define BLOCK_SIZE (2UL << 20)

#define RAM_BASE 0x40000000UL

/* Lower and upper attributes of a block or page descriptor (Arm ARM D8.3); without any, EL1 may write and execute. */
#define ATTRIBUTE_DEVICE (0UL << 2)
#define ATTRIBUTE_NORMAL (1UL << 2 | 3UL << 8) /* inner shareable */
#define ATTRIBUTE_EL0 (1UL << 6)               /* AP[1] */
#define ATTRIBUTE_NOT_GLOBAL (1UL << 11)
#define ATTRIBUTE_PXN (1UL << 53)
#define ATTRIBUTE_UXN (1UL << 54)
#define ATTRIBUTE_DATA (ATTRIBUTE_NORMAL | ATTRIBUTE_PXN | ATTRIBUTE_UXN)

/* An address space without mappings: what goes into TTBR0_EL1. */
uint64_t *mmu_space(void);

/* Maps addresses that are multiples of the step, PAGE_SIZE or BLOCK_SIZE, in pieces of that size. */
void mmu_map(uint64_t *space, uint64_t va, uint64_t pa, uint64_t size, uint64_t step, uint64_t attributes);

/* Maps the UART, and the image writable and executable at EL1. */
void mmu_map_image(uint64_t *space);

/* Turns on the MMU and the caches, with this space and ASID 0. */
void mmu_enable(const uint64_t *space);

#endif
