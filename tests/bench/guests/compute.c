/*
 * compute-nommu, compute-mmu: the kernel of samples/compute, 100 times, with the
 * MMU off, and with it on and all of the image writable and executable.
 */

#include "kernel.h"
#include "mmu.h"
#include "uart.h"

#define WORDS 32768
#define ROUNDS 100

static uint64_t words[WORDS];

void main(void)
{
    uart_init();
#ifdef WITH_MMU
    uint64_t *space = mmu_space();

    mmu_map_image(space);
    mmu_enable(space);
#endif
    uart_printf("compute 0x%016lx\n", compute(words, WORDS, ROUNDS));
}
