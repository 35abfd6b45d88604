#include "kernel.h"

/* The compiler may reorder functions and top-level assembler; the linker script sorts these sections. */
__asm__(".pushsection .text.compute.1, \"ax\"\n"
        ".balign 16\n"
        ".global compute_start\n"
        "compute_start:\n"
        ".popsection\n"
        ".pushsection .text.compute.3, \"ax\"\n"
        ".global compute_end\n"
        "compute_end:\n"
        ".popsection\n");

__attribute__((section(".text.compute.2"))) uint64_t compute(uint64_t *words, uint64_t count, uint64_t rounds)
{
    uint64_t random = 0x9e3779b97f4a7c15;
    uint64_t checksum = 0xcbf29ce484222325;

    for (uint64_t round = 0; round < rounds; round++) {
        for (uint64_t i = 0; i < count; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            words[i] = random;
        }

        /* Shell sort; 5/11 is close to the best ratio of gaps. */
        for (uint64_t gap = count / 2; gap > 0; gap = gap == 2 ? 1 : gap * 5 / 11) {
            for (uint64_t i = gap; i < count; i++) {
                uint64_t word = words[i];
                uint64_t at = i;

                for (; at >= gap && words[at - gap] > word; at -= gap)
                    words[at] = words[at - gap];
                words[at] = word;
            }
        }

        for (uint64_t i = 0; i < count; i++)
            checksum = (checksum ^ words[i]) * 0x100000001b3;
    }
    return checksum;
}
