/*
 * float: planets and a set of Mandelbrot in scalar double precision, and a dot
 * product in vectors of four single precision numbers.
 */

#include "flops.h"
#include "mmu.h"
#include "sysreg.h"
#include "uart.h"

#define CPACR_FPEN (3UL << 20)

#define STEPS 600000
#define WIDTH 480
#define PRODUCTS 2000

void main(void)
{
    uint64_t *space = mmu_space();
    uint64_t planets, set, product;

    uart_init();
    mmu_map_image(space);
    mmu_enable(space);
    WRITE_SYSREG(cpacr_el1, CPACR_FPEN);
    __asm__ volatile("isb" : : : "memory");
    planets = flops_planets(STEPS);
    set = flops_mandelbrot(WIDTH);
    product = flops_product(PRODUCTS);
    uart_printf("float 0x%016lx %lu 0x%lx\n", planets, set, product);
}
