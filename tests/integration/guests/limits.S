// Meets limits, and waits for ever: it enables LPIs, which do not exist, and a breakpoint and a watchpoint with the OS
// Lock set.

        .equ    REDISTRIBUTOR, 0x080A0000
        .equ    BREAKPOINT, 0x1E5               // BAS, EL0 and EL1, E
        .equ    WATCHPOINT, 0x1FFD              // BAS, loads and stores, EL1, E

        .global _start
        .type   _start, %function
_start:
        movz    x0, #(REDISTRIBUTOR >> 16), lsl #16
        mov     w1, #1
        str     w1, [x0]                        // GICR_CTLR.EnableLPIs
        msr     OSLAR_EL1, x1
        adr     x0, nowhere
        msr     DBGBVR0_EL1, x0
        mov     x1, #BREAKPOINT
        msr     DBGBCR0_EL1, x1
        msr     DBGWVR0_EL1, x0
        mov     x1, #WATCHPOINT
        msr     DBGWCR0_EL1, x1
        mrs     x1, MDSCR_EL1
        orr     x1, x1, #(1 << 15)              // MDE
        msr     MDSCR_EL1, x1
        isb
        wfi
        .size   _start, . - _start

        .type   nowhere, %function
nowhere:
        b       .
        .size   nowhere, . - nowhere
