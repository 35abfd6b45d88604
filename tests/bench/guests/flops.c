/* Compiled with FP registers, and without contraction: what is written is what is computed. */

#include "flops.h"

#include <arm_neon.h>

#define BODIES 3
#define STEP 0.001

#define MOST_ITERATIONS 200

#define NUMBERS 4096

struct body {
    double x, y, vx, vy, mass;
};

static double square_root(double value)
{
    double root;

    __asm__("fsqrt %d0, %d1" : "=w"(root) : "w"(value));
    return root;
}

static uint64_t bits_of(double value)
{
    uint64_t bits;

    __asm__("fmov %0, %d1" : "=r"(bits) : "w"(value));
    return bits;
}

static double energy(const struct body *bodies)
{
    double sum = 0;

    for (unsigned i = 0; i < BODIES; i++) {
        const struct body *one = &bodies[i];

        sum += 0.5 * one->mass * (one->vx * one->vx + one->vy * one->vy);
        for (unsigned j = i + 1; j < BODIES; j++) {
            double dx = one->x - bodies[j].x, dy = one->y - bodies[j].y;

            sum -= one->mass * bodies[j].mass / square_root(dx * dx + dy * dy);
        }
    }
    return sum;
}

uint64_t flops_planets(uint64_t steps)
{
    struct body bodies[BODIES] = {
        {.mass = 10},
        {.x = 4, .vy = 1.5, .mass = 0.5},
        {.x = -9, .vy = -1.1, .mass = 0.25},
    };

    for (uint64_t step = 0; step < steps; step++) {
        for (unsigned i = 0; i < BODIES; i++) {
            struct body *one = &bodies[i];

            for (unsigned j = 0; j < BODIES; j++) {
                if (j == i)
                    continue;

                double dx = bodies[j].x - one->x, dy = bodies[j].y - one->y;
                double square = dx * dx + dy * dy;
                double factor = STEP * bodies[j].mass / (square * square_root(square));

                one->vx += dx * factor;
                one->vy += dy * factor;
            }
        }
        for (unsigned i = 0; i < BODIES; i++) {
            bodies[i].x += STEP * bodies[i].vx;
            bodies[i].y += STEP * bodies[i].vy;
        }
    }
    return bits_of(energy(bodies));
}

uint64_t flops_mandelbrot(uint64_t width)
{
    uint64_t iterations = 0;

    for (uint64_t row = 0; row < width; row++) {
        for (uint64_t column = 0; column < width; column++) {
            double cx = (double)column * 3 / (double)width - 2.25, cy = (double)row * 3 / (double)width - 1.5;
            double x = 0, y = 0;
            unsigned i = 0;

            for (; i < MOST_ITERATIONS && x * x + y * y < 4; i++) {
                double next = x * x - y * y + cx;

                y = 2 * x * y + cy;
                x = next;
            }
            iterations += i;
        }
    }
    return iterations;
}

uint64_t flops_product(uint64_t rounds)
{
    static float first[NUMBERS], second[NUMBERS];
    float32x4_t sum = vdupq_n_f32(0);

    for (unsigned i = 0; i < NUMBERS; i++) {
        first[i] = (float)(i % 17) * 0.25f;
        second[i] = (float)(i % 13) * 0.5f;
    }
    for (uint64_t round = 0; round < rounds; round++)
        for (unsigned i = 0; i < NUMBERS; i += 4)
            sum = vfmaq_f32(sum, vld1q_f32(&first[i]), vmulq_n_f32(vld1q_f32(&second[i]), 0.125f));
    return bits_of((double)vaddvq_f32(sum));
}
