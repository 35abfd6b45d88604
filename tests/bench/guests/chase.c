/*
 * chase: a chain of pointers through 16 MiB, one cyclic permutation of all cache
 * lines there, followed so that every load waits for the one before.  The memory
 * is mapped in pages of 4 KiB: 4096 entries of a TLB.
 */

#include "mmu.h"
#include "uart.h"

#define SIZE (16UL << 20)
#define BASE (RAM_BASE + (16UL << 20))
#define LINE 64
#define LINES (SIZE / LINE)
#define LOADS (LINES * 12)

struct line {
    struct line *next;
    uint64_t number;
    uint64_t padding[LINE / sizeof(uint64_t) - 2];
};

/* Sattolo's shuffle: the result is a single cycle. */
static void shuffle(struct line *lines)
{
    uint64_t random = 1;

    for (uint64_t i = 0; i < LINES; i++)
        lines[i] = (struct line){.next = &lines[i], .number = i};
    for (uint64_t i = LINES - 1; i > 0; i--) {
        struct line *next = lines[i].next;
        uint64_t other;

        random = random * 6364136223846793005 + 1442695040888963407;
        other = (random >> 33) % i;
        lines[i].next = lines[other].next;
        lines[other].next = next;
    }
}

void main(void)
{
    uint64_t *space = mmu_space();
    struct line *lines = (struct line *)BASE;
    const struct line *line = lines;
    uint64_t checksum = 0;

    uart_init();
    mmu_map_image(space);
    mmu_map(space, BASE, BASE, SIZE, PAGE_SIZE, ATTRIBUTE_DATA);
    mmu_enable(space);
    shuffle(lines);
    for (uint64_t i = 0; i < LOADS; i++) {
        line = line->next;
        checksum = checksum * 3 + line->number;
    }
    uart_printf("chase 0x%016lx\n", checksum);
}
