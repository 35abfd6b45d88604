// Makes EL1 big-endian, prints and reads its command line by semihosting, and executes what is no instruction in a
// function with two callers.

        .equ    STACK, 0x4400
        .equ    BLOCK, 0x4410
        .equ    BUFFER, 0x4420
        .equ    EE, 1 << 25
        .equ    SYS_WRITE0, 0x04
        .equ    SYS_GET_CMDLINE, 0x15

        .global _start
        .type   _start, %function
_start:
        movz    x0, #STACK, lsl #16
        mov     sp, x0
        mov     x29, xzr
        mov     x30, xzr
        mrs     x0, SCTLR_EL1
        orr     x0, x0, #EE
        msr     SCTLR_EL1, x0
        isb
        mov     w0, #SYS_WRITE0
        adr     x1, hello
        hlt     #0xf000
        bl      outer
        b       .
        .size   _start, . - _start

        .type   outer, %function
outer:
        stp     x29, x30, [sp, #-16]!
        mov     x29, sp
        bl      inner
        nop
        .size   outer, . - outer

        .type   inner, %function
inner:
        stp     x29, x30, [sp, #-16]!
        mov     x29, sp
        movz    x1, #BLOCK, lsl #16
        movz    x2, #BUFFER, lsl #16
        mov     x3, #128
        stp     x2, x3, [x1]
        mov     w0, #SYS_GET_CMDLINE
        hlt     #0xf000
        ldp     x4, x5, [x1]
        add     x4, x4, x5
        movz    w6, #'\n' << 8
        strh    w6, [x4]
        mov     w0, #SYS_WRITE0
        mov     x1, x2
        hlt     #0xf000
        bl      leaf
        nop
        .size   inner, . - inner

        .type   leaf, %function
leaf:
        stp     x29, x30, [sp, #-16]!
        mov     x29, sp
        bl      nothing
        nop
        .size   leaf, . - leaf

        .type   nothing, %function
nothing:
        udf     #0
        .size   nothing, . - nothing

hello:  .asciz  "big-endian\n"
