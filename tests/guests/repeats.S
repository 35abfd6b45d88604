// One loop over all that an access to a device may be, repeated; a handler skips what aborts.
        .global launch
launch:
        adr     x0, vectors
        msr     vbar_el1, x0
        mov     x20, #0x0a100000        // a device of two pages that reads as written
        mov     x21, #0x09000000        // the UART
        mov     x22, #6
        isb
again:
        mov     w1, #'a'
        add     w1, w1, w22
        str     w1, [x21]
        ldr     w2, [x21, #0x18]
        str     x22, [x20, #8]
        ldr     x3, [x20, #8]
        strb    w1, [x20, #16]
        ldrsb   x4, [x20, #16]
        ldrsb   w4, [x20, #16]
        mov     w5, #-5
        strh    w5, [x20, #18]
        ldrsh   x6, [x20, #18]
        str     wzr, [x20, #24]
        ldr     wzr, [x20, #8]
        stp     x22, x3, [x20, #32]
        ldp     x7, x8, [x20, #32]
        str     x22, [x20], #8
        ldr     x9, [x20, #-8]!
        ldr     x30, [x20, #8]
        ldr     x29, [x20, #8]
        // The same instruction at an address that is a page's first, and at one just before it.
        add     x10, x20, #0x1000
        tst     x22, #1
        b.eq    1f
        sub     x10, x10, #2
1:      str     w22, [x10]
        ldr     w11, [x10]
        subs    x22, x22, #1
        b.ne    again
        ldr     x0, =0x84000008
        hvc     #0

        .balign 2048
vectors:
        .space  0x200
        mrs     x12, elr_el1
        add     x12, x12, #4
        msr     elr_el1, x12
        eret
