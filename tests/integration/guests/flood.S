// Writes "0123456789\n" to the UART for ever: one exit a byte, and nothing but those.

        .global _start
        .type   _start, %function
_start:
        movz    x1, #0x0900, lsl #16
1:      mov     w0, #'0'
2:      strb    w0, [x1]
        add     w0, w0, #1
        cmp     w0, #'9'
        b.ls    2b
        mov     w0, #'\n'
        strb    w0, [x1]
        b       1b
        .size   _start, . - _start
