/*
 * copy: 64 MiB from one place to another and back, 64 bytes at a time, in memory
 * that is mapped as a kernel maps its data: in blocks, writable, not executable.
 * A word of each page changes between two copies, so that no copy can be left out.
 */

#include "mmu.h"
#include "uart.h"

#define SIZE (64UL << 20)
#define FIRST (RAM_BASE + (64UL << 20))
#define SECOND (FIRST + SIZE)
#define ROUNDS 12

#define WORDS_PER_PAGE (PAGE_SIZE / sizeof(uint64_t))

static void copy(uint64_t *to, const uint64_t *from, uint64_t size)
{
    const uint64_t *end = from + size / sizeof *from;

    __asm__ volatile("1: ldp x9, x10, [%1]\n\t"
                     "ldp x11, x12, [%1, #16]\n\t"
                     "ldp x13, x14, [%1, #32]\n\t"
                     "ldp x15, x16, [%1, #48]\n\t"
                     "add %1, %1, #64\n\t"
                     "stp x9, x10, [%0]\n\t"
                     "stp x11, x12, [%0, #16]\n\t"
                     "stp x13, x14, [%0, #32]\n\t"
                     "stp x15, x16, [%0, #48]\n\t"
                     "add %0, %0, #64\n\t"
                     "cmp %1, %2\n\t"
                     "b.lo 1b"
                     : "+r"(to), "+r"(from)
                     : "r"(end)
                     : "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "cc", "memory");
}

static void change(uint64_t *words, uint64_t round)
{
    for (uint64_t page = 0; page < SIZE / PAGE_SIZE; page++)
        words[page * WORDS_PER_PAGE + (page + round) % WORDS_PER_PAGE] += page * round + 1;
}

static uint64_t fold(const uint64_t *words)
{
    uint64_t checksum = 0xcbf29ce484222325;

    for (uint64_t page = 0; page < SIZE / PAGE_SIZE; page++)
        for (uint64_t round = 0; round < ROUNDS; round++)
            checksum = (checksum ^ words[page * WORDS_PER_PAGE + (page + round) % WORDS_PER_PAGE]) * 0x100000001b3;
    return checksum;
}

void main(void)
{
    uint64_t *space = mmu_space();
    uint64_t *from = (uint64_t *)FIRST, *to = (uint64_t *)SECOND;

    uart_init();
    mmu_map_image(space);
    mmu_map(space, FIRST, FIRST, 2 * SIZE, BLOCK_SIZE, ATTRIBUTE_DATA);
    mmu_enable(space);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t *copied = to;

        change(from, round);
        copy(to, from, SIZE);
        to = from;
        from = copied;
    }
    uart_printf("copy 0x%016lx\n", fold(from));
}
