#include "mmu.h"

#include "sysreg.h"
#include "uart.h"

#define ENTRIES 512

#define DESCRIPTOR_BLOCK 1UL
#define DESCRIPTOR_TABLE 3UL
#define DESCRIPTOR_PAGE 3UL
#define DESCRIPTOR_ADDRESS 0x0000fffffffff000UL
#define DESCRIPTOR_AF (1UL << 10)

/* The two entries of MAIR_EL1 that AttrIndx chooses from: Device-nGnRE, normal write-back. */
#define MAIR_VALUE 0xff04UL

#define TCR_T0SZ_39_BITS (64UL - 39)
#define TCR_IRGN0_WRITE_BACK (1UL << 8)
#define TCR_ORGN0_WRITE_BACK (1UL << 10)
#define TCR_SH0_INNER (3UL << 12)
#define TCR_EPD1 (1UL << 23)
#define TCR_IPS_40_BITS (2UL << 32)

#define SCTLR_M (1UL << 0)
#define SCTLR_C (1UL << 2)
#define SCTLR_I (1UL << 12)
#define SCTLR_WXN (1UL << 19)

static uint64_t pool[32][ENTRIES] __attribute__((aligned(4096)));
static unsigned used;

uint64_t *mmu_space(void)
{
    if (used == sizeof pool / sizeof pool[0])
        __builtin_trap();
    return pool[used++];
}

static uint64_t *next_level(uint64_t *entry)
{
    if (!(*entry & 1))
        *entry = (uint64_t)mmu_space() | DESCRIPTOR_TABLE;
    return (uint64_t *)(*entry & DESCRIPTOR_ADDRESS);
}

static uint64_t *entry_at(uint64_t *table, unsigned level, uint64_t va)
{
    return &table[va >> (39 - 9 * level) & (ENTRIES - 1)];
}

void mmu_map(uint64_t *space, uint64_t va, uint64_t pa, uint64_t size, uint64_t step, uint64_t attributes)
{
    attributes |= DESCRIPTOR_AF;
    for (uint64_t at = 0; at < size; at += step) {
        uint64_t *entry = entry_at(next_level(entry_at(space, 1, va + at)), 2, va + at);

        if (step == BLOCK_SIZE)
            *entry = (pa + at) | attributes | DESCRIPTOR_BLOCK;
        else
            *entry_at(next_level(entry), 3, va + at) = (pa + at) | attributes | DESCRIPTOR_PAGE;
    }
}

void mmu_map_image(uint64_t *space)
{
    mmu_map(space, UART_BASE, UART_BASE, PAGE_SIZE, PAGE_SIZE, ATTRIBUTE_DEVICE | ATTRIBUTE_PXN | ATTRIBUTE_UXN);
    mmu_map(space, RAM_BASE, RAM_BASE, BLOCK_SIZE, BLOCK_SIZE, ATTRIBUTE_NORMAL);
}

void mmu_enable(const uint64_t *space)
{
    WRITE_SYSREG(mair_el1, MAIR_VALUE);
    WRITE_SYSREG(tcr_el1, TCR_T0SZ_39_BITS | TCR_IRGN0_WRITE_BACK | TCR_ORGN0_WRITE_BACK | TCR_SH0_INNER | TCR_EPD1 |
                              TCR_IPS_40_BITS);
    WRITE_SYSREG(ttbr0_el1, space);
    __asm__ volatile("dsb ish\n\t"
                     "isb\n\t"
                     "tlbi vmalle1\n\t"
                     "ic iallu\n\t"
                     "dsb ish\n\t"
                     "isb" : : : "memory");
    WRITE_SYSREG(sctlr_el1, (READ_SYSREG(sctlr_el1) & ~SCTLR_WXN) | SCTLR_M | SCTLR_C | SCTLR_I);
    __asm__ volatile("isb" : : : "memory");
}
