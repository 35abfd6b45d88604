// Waits for an interrupt of the virtual timer that is 2300 years away, takes it, prints a dot and powers itself off.

        .equ    UART, 0x09000000
        .equ    DISTRIBUTOR, 0x08000000
        .equ    REDISTRIBUTOR, 0x080A0000
        .equ    TIMER, 27                       // the virtual timer's PPI

        .global _start
        .type   _start, %function
_start:
        mov     x0, #DISTRIBUTOR
        mov     w1, #0x12                       // GICD_CTLR: ARE, EnableGrp1
        str     w1, [x0]
        movz    x0, #(REDISTRIBUTOR >> 16), lsl #16
        str     wzr, [x0, #0x14]                // GICR_WAKER
        movz    x0, #((REDISTRIBUTOR + 0x10000) >> 16), lsl #16
        mov     w1, #(1 << TIMER)
        str     w1, [x0, #0x80]                 // GICR_IGROUPR0
        str     w1, [x0, #0x100]                // GICR_ISENABLER0
        mov     x1, #0xF0
        msr     S3_0_C4_C6_0, x1                // ICC_PMR_EL1
        mov     x1, #1
        msr     S3_0_C12_C12_7, x1              // ICC_IGRPEN1_EL1
        mov     x2, #(1 << 62)
        msr     cntv_cval_el0, x2
        msr     cntv_ctl_el0, x1
        isb
        wfi
        mrs     x1, S3_0_C12_C12_0              // ICC_IAR1_EL1
        mov     x2, #UART
        mov     w3, #'.'
        str     w3, [x2]
        msr     cntv_ctl_el0, xzr
        msr     S3_0_C12_C12_1, x1              // ICC_EOIR1_EL1
        movz    x0, #0x8400, lsl #16            // PSCI SYSTEM_OFF
        movk    x0, #0x0008
        hvc     #0
        .size   _start, . - _start
