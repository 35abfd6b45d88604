// Writes to the first byte of memory at 0x1000_0000, then reads it back and ends with it as its status.

        .global _start
        .type   _start, %function
_start:
        movz    x1, #0x1000, lsl #16
        mov     w2, #0x5a
        .global store
        .type   store, %function
store:
        strb    w2, [x1]
        .size   store, . - store
        ldrb    w2, [x1]
        adr     x1, block
        str     x2, [x1, #8]
        mov     w0, #0x18               // SYS_EXIT
        hlt     #0xf000

        .balign 8
block:
        .quad   0x20026, 0
