// An idle loop of one branch, which a timer interrupts five times, 100 ms apart; each interrupt prints a dot. Then it
// powers itself off.

        .equ    UART, 0x09000000
        .equ    DISTRIBUTOR, 0x08000000
        .equ    REDISTRIBUTOR, 0x080A0000
        .equ    TIMER, 27                       // the virtual timer's PPI
        .equ    TICKS, 6250000                  // 100 ms at 62.5 MHz

        .global _start
        .type   _start, %function
_start:
        adr     x0, vectors
        msr     vbar_el1, x0
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
        mov     x19, #5
        ldr     x20, =TICKS
        msr     cntv_tval_el0, x20
        msr     cntv_ctl_el0, x1
        isb
        msr     daifclr, #2
        b       .
        .size   _start, . - _start

        .type   tick, %function
tick:
        mrs     x1, S3_0_C12_C12_0              // ICC_IAR1_EL1
        mov     x2, #UART
        mov     w3, #'.'
        str     w3, [x2]
        subs    x19, x19, #1
        b.eq    1f
        msr     cntv_tval_el0, x20
        msr     S3_0_C12_C12_1, x1              // ICC_EOIR1_EL1
        eret
1:      movz    x0, #0x8400, lsl #16            // PSCI SYSTEM_OFF
        movk    x0, #0x0008
        hvc     #0
        .size   tick, . - tick

        .balign 0x800
vectors:
        .skip   0x280                           // the IRQ of the current level with SP_ELx
        b       tick
        .balign 0x800
        .ltorg
