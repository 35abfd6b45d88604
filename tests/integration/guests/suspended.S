// Powers its CPU down three times, with its Redistributor asleep (GICR_WAKER), which holds the timer's interrupt back and
// asks for the CPU to be woken. Each time it starts again it prints a dot; then it powers itself off.

        .equ    UART, 0x09000000
        .equ    DISTRIBUTOR, 0x08000000
        .equ    REDISTRIBUTOR, 0x080A0000
        .equ    TIMER, 27                       // the virtual timer's PPI
        .equ    TICKS, 6250000                  // 100 ms at 62.5 MHz

        .global _start
        .type   _start, %function
_start:
        mov     x0, #DISTRIBUTOR
        mov     w1, #0x12                       // GICD_CTLR: ARE, EnableGrp1
        str     w1, [x0]
        movz    x0, #((REDISTRIBUTOR + 0x10000) >> 16), lsl #16
        mov     w1, #(1 << TIMER)
        str     w1, [x0, #0x80]                 // GICR_IGROUPR0
        str     w1, [x0, #0x100]                // GICR_ISENABLER0
        mov     x19, #3
        .size   _start, . - _start

        .type   suspend, %function
suspend:
        movz    x0, #(REDISTRIBUTOR >> 16), lsl #16
        mov     w1, #2                          // ProcessorSleep
        str     w1, [x0, #0x14]                 // GICR_WAKER
        ldr     x20, =TICKS
        msr     cntv_tval_el0, x20
        mov     x1, #1
        msr     cntv_ctl_el0, x1
        isb
        movz    x0, #0xC400, lsl #16            // PSCI CPU_SUSPEND
        movk    x0, #0x0001
        mov     x1, #0x10000                    // to power-down
        adr     x2, again
        mov     x3, x19
        hvc     #0
        b       .                               // it starts at `again`
        .size   suspend, . - suspend

        .type   again, %function
again:
        mov     x19, x0
        mov     x2, #UART
        mov     w3, #'.'
        str     w3, [x2]
        subs    x19, x19, #1
        b.ne    suspend
        movz    x0, #0x8400, lsl #16            // PSCI SYSTEM_OFF
        movk    x0, #0x0008
        hvc     #0
        .size   again, . - again
        .ltorg
