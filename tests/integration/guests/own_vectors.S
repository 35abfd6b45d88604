// Overwrites its own exception vectors with zeros, then needs one of them.

        .global _start
        .type   _start, %function
_start:
        adr     x0, vectors
        msr     vbar_el1, x0
        isb
        svc     #0                      // they do work
        add     x1, x0, #0x800
1:      stp     xzr, xzr, [x0], #16
        cmp     x0, x1
        b.ne    1b
        .global broken
        .type   broken, %function
broken:
        svc     #1
        b       .
        .size   broken, . - broken

        .balign 0x800
        .global vectors
        .type   vectors, %object
vectors:
        .rept   16
        .balign 0x80
        eret
        .endr
        .balign 0x80
        .size   vectors, . - vectors
