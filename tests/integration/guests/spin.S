// Says "spinning", then computes for ever without a single exit.

        .global _start
        .type   _start, %function
_start:
        movz    x1, #0x0900, lsl #16
        adr     x2, greeting
1:      ldrb    w0, [x2], #1
        cbz     w0, 2f
        strb    w0, [x1]
        b       1b
2:      add     x3, x3, #1
        b       2b
        .size   _start, . - _start

greeting:
        .asciz  "spinning\n"
