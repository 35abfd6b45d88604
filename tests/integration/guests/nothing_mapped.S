// Switches on stage 1 with tables that map nothing: the next instruction cannot be fetched, nor can the vectors.

        .global _start
        .type   _start, %function
_start:
        adr     x0, tables
        msr     ttbr0_el1, x0
        msr     ttbr1_el1, x0
        adr     x0, vectors
        msr     vbar_el1, x0
        movz    x0, #25                 // T0SZ: 39 bits
        movk    x0, #25, lsl #16        // T1SZ
        msr     tcr_el1, x0
        isb
        mrs     x0, sctlr_el1
        orr     x0, x0, #1              // M
        msr     sctlr_el1, x0
        isb
        b       .
        .size   _start, . - _start

        .balign 0x800
        .global vectors
        .type   vectors, %object
vectors:
        .rept   512
        b       .
        .endr
        .size   vectors, . - vectors

        .balign 4096
tables:
        .skip   4096
