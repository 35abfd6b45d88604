// Stretches of code with a known value in every register, of many short blocks, at any of which a CPU may be stopped.

#include "context.h"

        .macro  blocks
        .rept   32
        b       1f
1:
        .endr
        yield
        .rept   32
        b       1f
1:
        .endr
        .endm

        .text
        .global context_stretch
        .type   context_stretch, %function
context_stretch:
        stp     x29, x30, [sp, #-96]!
        stp     x19, x20, [sp, #16]
        stp     x21, x22, [sp, #32]
        stp     x23, x24, [sp, #48]
        stp     x25, x26, [sp, #64]
        stp     x27, x28, [sp, #80]
        mov     x1, sp
        str     x1, [x0, #OLD_SP]
        mov     sp, x0
        ldr     x1, [sp, #IN_FPCR]
        msr     fpcr, x1
        ldr     x1, [sp, #IN_FPSR]
        msr     fpsr, x1
        ldr     x1, [sp, #IN_NZCV]
        msr     nzcv, x1
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
        ldr     q\n, [sp, #(IN_Q + 16 * \n)]
        .endr
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
        ldr     x\n, [sp, #(IN_X + 8 * \n)]
        .endr
        blocks
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
        str     x\n, [sp, #(OUT_X + 8 * \n)]
        .endr
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
        str     q\n, [sp, #(OUT_Q + 16 * \n)]
        .endr
        mrs     x1, nzcv
        str     x1, [sp, #OUT_NZCV]
        mrs     x1, fpcr
        str     x1, [sp, #OUT_FPCR]
        mrs     x1, fpsr
        str     x1, [sp, #OUT_FPSR]
        ldr     x1, [sp, #OLD_SP]
        mov     sp, x1
        ldp     x19, x20, [sp, #16]
        ldp     x21, x22, [sp, #32]
        ldp     x23, x24, [sp, #48]
        ldp     x25, x26, [sp, #64]
        ldp     x27, x28, [sp, #80]
        ldp     x29, x30, [sp], #96
        ret
        .size   context_stretch, . - context_stretch

        .arch_extension sve
        .global context_sve_length
        .type   context_sve_length, %function
context_sve_length:
        rdvl    x0, #1
        ret
        .size   context_sve_length, . - context_sve_length

        .global context_sve_stretch
        .type   context_sve_stretch, %function
context_sve_stretch:
        addvl   x2, x0, #31
        addvl   x2, x2, #1
        ldr     p0, [x2, #16, mul vl]
        wrffr   p0.b
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        ldr     p\n, [x2, #\n, mul vl]
        .endr
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
        ldr     z\n, [x0, #\n, mul vl]
        .endr
        blocks
        addvl   x2, x1, #31
        addvl   x2, x2, #1
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        str     p\n, [x2, #\n, mul vl]
        .endr
        rdffr   p0.b
        str     p0, [x2, #16, mul vl]
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
        str     z\n, [x1, #\n, mul vl]
        .endr
        ret
        .size   context_sve_stretch, . - context_sve_stretch
