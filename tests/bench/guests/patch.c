/*
 * patch: code that is written, made visible and called, over and over: first in
 * the page that the writing loop runs in, then in a page that nothing else runs
 * in.  Each call must return the number that the last instruction written has.
 */

#include "mmu.h"
#include "uart.h"

#define PATCHES 60000UL

/* Both return the sum of the numbers that the patched function returned. */
uint64_t patch_same_page(uint64_t count);
uint64_t patch_other_page(uint64_t count);

void main(void)
{
    uint64_t *space = mmu_space();
    uint64_t same, other;

    uart_init();
    mmu_map_image(space);
    mmu_enable(space);
    same = patch_same_page(PATCHES);
    other = patch_other_page(PATCHES);
    uart_printf("patch 0x%lx 0x%lx\n", same, other);
}
