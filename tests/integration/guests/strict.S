// Has alignment checked (SCTLR_EL1.A), makes an access that is not aligned, and dies of something else.

        .global _start
        .type   _start, %function
_start:
        mrs     x0, sctlr_el1
        orr     x0, x0, #2
        msr     sctlr_el1, x0
        isb
        adr     x1, _start
        ldur    x0, [x1, #1]
        udf     #0
        .size   _start, . - _start
