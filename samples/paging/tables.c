#include "tables.h"

#include "exception.h"
#include "sysreg.h"

#define ENTRIES 512
#define BLOCK_SIZE (2UL << 20)

#define DESCRIPTOR_BLOCK 1UL
#define DESCRIPTOR_TABLE 3UL
#define DESCRIPTOR_PAGE 3UL
#define DESCRIPTOR_ADDRESS 0x0000fffffffff000UL
#define DESCRIPTOR_AF (1UL << 10)

#define TCR_T0SZ_39_BITS (64UL - 39)
#define TCR_IRGN0_WRITE_BACK (1UL << 8)
#define TCR_ORGN0_WRITE_BACK (1UL << 10)
#define TCR_SH0_INNER (3UL << 12)
#define TCR_EPD1 (1UL << 23)
#define TCR_IPS(range) ((unsigned long)(range) << 32)

#define SCTLR_M (1UL << 0)
#define SCTLR_C (1UL << 2)
#define SCTLR_I (1UL << 12)

/* 48 bits: the largest output size without 52-bit addresses. */
#define LARGEST_IPS 5

/* The root, two tables below it for each of RAM, devices and user memory, and a spare. */
static uint64_t pool[8][ENTRIES] __attribute__((aligned(4096)));
static unsigned used = 1;

static uint64_t *next_level(uint64_t *entry)
{
    if (!(*entry & 1)) {
        if (used == sizeof pool / sizeof pool[0])
            __builtin_trap();
        *entry = (uint64_t)pool[used++] | DESCRIPTOR_TABLE;
    }
    return (uint64_t *)(*entry & DESCRIPTOR_ADDRESS);
}

static unsigned index_at(unsigned level, uint64_t va)
{
    return va >> (39 - 9 * level) & (ENTRIES - 1);
}

void tables_map(uint64_t va, uint64_t pa, uint64_t size, uint64_t attributes)
{
    attributes |= DESCRIPTOR_AF;
    while (size) {
        uint64_t *level2 = next_level(&pool[0][index_at(1, va)]);
        uint64_t step;

        if ((va | pa) % BLOCK_SIZE == 0 && size >= BLOCK_SIZE) {
            level2[index_at(2, va)] = pa | attributes | DESCRIPTOR_BLOCK;
            step = BLOCK_SIZE;
        } else {
            uint64_t *level3 = next_level(&level2[index_at(2, va)]);

            level3[index_at(3, va)] = pa | attributes | DESCRIPTOR_PAGE;
            step = PAGE_SIZE;
        }
        va += step;
        pa += step;
        size -= step;
    }
}

void tables_enable(void)
{
    unsigned long range = READ_SYSREG(id_aa64mmfr0_el1) & 0xf;

    WRITE_SYSREG(mair_el1, MAIR_VALUE);
    WRITE_SYSREG(tcr_el1, TCR_T0SZ_39_BITS | TCR_IRGN0_WRITE_BACK | TCR_ORGN0_WRITE_BACK | TCR_SH0_INNER | TCR_EPD1 |
                              TCR_IPS(range < LARGEST_IPS ? range : LARGEST_IPS));
    WRITE_SYSREG(ttbr0_el1, pool[0]);
    __asm__ volatile("dsb ish\n\t"
                     "isb\n\t"
                     "tlbi vmalle1\n\t"
                     "ic iallu\n\t"
                     "dsb ish\n\t"
                     "isb" : : : "memory");
    WRITE_SYSREG(sctlr_el1, READ_SYSREG(sctlr_el1) | SCTLR_M | SCTLR_C | SCTLR_I);
    __asm__ volatile("isb" : : : "memory");
}
