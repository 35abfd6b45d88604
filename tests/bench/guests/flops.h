/* The kernels of float.  What they return is whole numbers, so that no caller needs the FP registers. */

#ifndef BENCH_FLOPS_H
#define BENCH_FLOPS_H

#include <stdint.h>

/* Three bodies that attract each other, for so many steps; the bits of the energy. */
uint64_t flops_planets(uint64_t steps);

/* The iterations over width * width points. */
uint64_t flops_mandelbrot(uint64_t width);

/* The bits of so many sums of the products of two vectors. */
uint64_t flops_product(uint64_t rounds);

#endif
