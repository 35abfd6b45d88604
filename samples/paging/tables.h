/* Stage-1 tables: 4 KiB granule, 39-bit addresses, so that a walk starts at level 1. */

#ifndef SAMPLES_PAGING_TABLES_H
#define SAMPLES_PAGING_TABLES_H

#include <stdint.h>

#define PAGE_SIZE 4096UL

/* Lower and upper attributes of a block or page descriptor (Arm ARM D8.3). */
#define ATTRIBUTE_DEVICE (0UL << 2)
#define ATTRIBUTE_NORMAL (1UL << 2 | 3UL << 8) /* inner shareable */
#define ATTRIBUTE_EL0 (1UL << 6)               /* AP[1] */
#define ATTRIBUTE_READ_ONLY (1UL << 7)         /* AP[2] */
#define ATTRIBUTE_PXN (1UL << 53)
#define ATTRIBUTE_UXN (1UL << 54)

/* The two entries of MAIR_EL1 that AttrIndx chooses from: Device-nGnRE, normal write-back. */
#define MAIR_VALUE 0xff04UL

/* Maps addresses that are multiples of the page size, in 2 MiB blocks where they fit. */
void tables_map(uint64_t va, uint64_t pa, uint64_t size, uint64_t attributes);

/* Turns on the MMU and the caches with these tables for TTBR0_EL1; TTBR1_EL1 stays off. */
void tables_enable(void);

#endif
