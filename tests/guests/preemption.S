// Work whose result shows an instruction that was left out or executed twice, to be stopped at any block.
//
// Each block begins at a label block_*, so that tests know where the engine may stop.
        .include "common.inc"

        .macro  block name
        .global block_\name
        .type   block_\name, %function
block_\name:
        .endm

        // x20 rounds. x1: a ring of nodes of 64 bytes {next, value, ...}; x2: 64 bytes of scratch; x3: an exclusive
        // counter. The result is in x0 and in memory.
        .global work
work:
        block   work
        mov     x0, #0
        mov     x4, x1
        mov     x9, #0
        b       block_round
        block   round
        // A chase through memory in which each load needs the one before, and a node changes as it is passed.
        mov     x5, #5
        block   chase
        ldr     x6, [x4, #8]
        eor     x0, x6, x0, ror #7
        add     x6, x6, #3
        str     x6, [x4, #8]
        ldr     x4, [x4]
        subs    x5, x5, #1
        b.ne    block_chase
        // Pairs, with a base that is written back: twice would be seen.
        block   pairs
        mov     x10, x2
        stp     x0, x4, [x10], #16
        ldp     x11, x12, [x10]
        add     x11, x11, #1
        eor     x12, x12, x0
        stp     x11, x12, [x10, #16]!
        ldp     x13, x14, [x10], #-32
        adds    x0, x0, x13
        adc     x9, x9, x14
        cbz     x10, block_never
        // An exclusive read-modify-write over two blocks; it may fail and is tried again, its effect happens once.
        block   exclusive
        ldxr    x15, [x3]
        add     x15, x15, #1
        b       block_store_exclusive
        block   store_exclusive
        stxr    w16, x15, [x3]
        cbnz    w16, block_exclusive
        block   exclusive_pair
        add     x17, x3, #16
        block   exclusive_pair_again
        ldaxp   x15, x16, [x17]
        add     x15, x15, #1
        sub     x16, x16, #2
        stlxp   w18, x15, x16, [x17]
        cbnz    w18, block_exclusive_pair_again
        // A call, a SIMD register, and flags that live across blocks.
        block   call
        fmov    d0, x0
        fmov    v1.d[1], x9
        add     v0.2d, v0.2d, v1.2d
        cmn     x0, x9
        bl      block_callee
        block   called
        adc     x9, x9, x0
        subs    x20, x20, #1
        b.ne    block_round
        block   end
        umov    x21, v0.d[1]
        hvc     #0x100
        block   never
        udf     #0

        block   callee
        fmov    x17, d0
        eor     x0, x0, x17, lsl #3
        ret

        // x0 rounds of two instructions.
        .global count
count:
        subs    x0, x0, #1
        b.ne    count
        hvc     #0x100

        // x0 times a hypercall, each an exit.
        .global count_calls
count_calls:
        mov     x1, x0
1:      hvc     #0x101
        subs    x1, x1, #1
        b.ne    1b
        hvc     #0x100
