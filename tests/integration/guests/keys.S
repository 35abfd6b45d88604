// Says "ready", then answers each byte that arrives with its two hexadecimal digits on a line; "q" powers off.

        .global _start
        .type   _start, %function
_start:
        movz    x1, #0x0900, lsl #16
        adr     x2, greeting
1:      ldrb    w0, [x2], #1
        cbz     w0, 2f
        strb    w0, [x1]
        b       1b
2:      ldr     w0, [x1, #0x18]         // UARTFR
        tbnz    w0, #4, 2b              // RXFE
        ldr     w3, [x1]
        lsr     w0, w3, #4
        bl      digit
        and     w0, w3, #0xf
        bl      digit
        mov     w0, #'\n'
        strb    w0, [x1]
        cmp     w3, #'q'
        b.ne    2b
        movz    x0, #0x8400, lsl #16
        movk    x0, #8                  // SYSTEM_OFF
        hvc     #0
        .size   _start, . - _start

digit:
        cmp     w0, #10
        add     w4, w0, #'0'
        add     w5, w0, #'a' - 10
        csel    w0, w4, w5, lo
        strb    w0, [x1]
        ret

greeting:
        .asciz  "ready\n"
