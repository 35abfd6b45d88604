// Waits for an interrupt, and has forgotten something: a clock that masks its interrupt, or a timer that is on and set to
// a time that never comes. Nothing shows which.

        .equ    DISTRIBUTOR, 0x08000000
        .equ    REDISTRIBUTOR, 0x080A0000
        .equ    CLOCK, 34

        .global _start
        .type   _start, %function
_start:
        mov     x0, #DISTRIBUTOR
        mov     w1, #0x12                       // GICD_CTLR: ARE, EnableGrp1
        str     w1, [x0]
        mov     w1, #(1 << (CLOCK - 32))
        str     w1, [x0, #0x84]                 // GICD_IGROUPR1
        str     w1, [x0, #0x104]                // GICD_ISENABLER1
        movz    x0, #((REDISTRIBUTOR + 0x10000) >> 16), lsl #16
        mov     w1, #(1 << 30)
        str     w1, [x0, #0x80]                 // GICR_IGROUPR0
        str     w1, [x0, #0x100]                // GICR_ISENABLER0
        mov     x0, #0xff
        msr     S3_0_C4_C6_0, x0                // ICC_PMR_EL1
        mov     x0, #1
        msr     S3_0_C12_C12_7, x0              // ICC_IGRPEN1_EL1
        mov     x1, #-1
        msr     CNTP_CVAL_EL0, x1
        msr     CNTP_CTL_EL0, x0
        wfi
        .size   _start, . - _start
