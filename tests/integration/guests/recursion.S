// Recurses a thousand times and then executes what is no instruction, with no handler for it.

        .equ    STACK, 0x44000000
        .equ    DEPTH, 1000

        .global _start
        .type   _start, %function
_start:
        ldr     x0, =STACK
        mov     sp, x0
        mov     x29, xzr
        mov     x30, xzr
        mov     x0, #DEPTH
        bl      recurse
        b       .
        .size   _start, . - _start

        .type   recurse, %function
recurse:
        stp     x29, x30, [sp, #-32]!
        mov     x29, sp
        subs    x0, x0, #1
        b.eq    1f
        bl      recurse
        ldp     x29, x30, [sp], #32
        ret
1:      udf     #0
        .size   recurse, . - recurse
        .ltorg
