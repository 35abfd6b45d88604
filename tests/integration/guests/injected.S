// What faults are injected into: registers, memory, a device, the timer's interrupt, CPU_ON. Every value goes to the UART
// as a line, and so does every exception: its vector, ESR_EL1, FAR_EL1 and ELR_EL1. Then it powers itself off.
        .arch   armv8-a

        .equ    UART, 0x09000000
        .equ    UARTFR, 0x18
        .equ    DISTRIBUTOR, 0x08000000
        .equ    REDISTRIBUTOR, 0x080A0000
        .equ    TIMER, 27                       // the virtual timer's PPI
        .equ    TICKS, 62500                    // 1 ms at 62.5 MHz

        .macro  function name
        .balign 16
        .global \name
        .type   \name, %function
\name:
        .endm

        .macro  end name
        .size   \name, . - \name
        .endm

function _start
        adr     x0, vectors
        msr     vbar_el1, x0
        adr     x0, stack_top
        mov     sp, x0
        mov     x0, #(3 << 20)
        msr     cpacr_el1, x0                   // FP and SIMD
        isb

        mov     x19, #0x1000
        fmov    d5, xzr
        mov     w28, #3
        mov     w27, #9                         // so many exceptions are enough
1:      bl      work
        subs    w28, w28, #1
        b.ne    1b
        mov     w1, #'w'                        // what the rounds have left
        mov     x0, x19
        bl      print
        mov     w1, #'v'
        fmov    x0, d5
        bl      print
        mov     w1, #'c'
        adr     x2, cell
        ldr     x0, [x2]
        bl      print

        mov     w1, #'f'                        // a device register
        bl      flags
        bl      print

        msr     daifclr, #4                     // from here on SErrors are taken
        bl      unmasked
        bl      interrupts

        mov     w1, #'o'                        // the result of CPU_ON
        movz    x0, #0x0003
        movk    x0, #0xC400, lsl #16
        mov     x2, x1
        mov     x1, #1
        adr     x3, second
        mov     x4, x2
        mov     x2, x3
        mov     x3, #0
        hvc     #0
        mov     w1, #'o'
        bl      print
off:    movz    x0, #0x8400, lsl #16            // PSCI SYSTEM_OFF
        movk    x0, #0x0008
        hvc     #0
end _start

function second                                 // where the other CPU begins
        wfi
        b       second
end second

function work                                   // x19 += 0x10, and so does the cell
        add     x19, x19, #0x10
        adr     x2, cell
        ldr     x3, [x2]
        add     x3, x3, #0x10
        str     x3, [x2]
        ret
end work

function flags                                  // x0 = UARTFR
        mov     x2, #UART
        ldr     w0, [x2, #UARTFR]
        ret
end flags

function unmasked
        mov     w2, #2000
1:      subs    w2, w2, #1
        b.ne    1b
        ret
end unmasked

function interrupts                             // three of the timer, or as many as come in 10 ms
        stp     x29, x30, [sp, #-16]!
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
        mov     x20, #0                         // interrupts of the timer
        mov     x21, #0                         // and those without a cause
        ldr     x22, =TICKS
        msr     cntv_tval_el0, x22
        msr     cntv_ctl_el0, x1
        mrs     x23, cntvct_el0
        add     x23, x23, x22, lsl #3
        isb
        msr     daifclr, #2
1:      mrs     x2, cntvct_el0
        cmp     x2, x23
        b.hs    2f
        cmp     x20, #3
        b.lo    1b
2:      msr     daifset, #2
        msr     cntv_ctl_el0, xzr
        mov     w1, #'i'
        mov     x0, x20
        bl      print
        mov     w1, #'s'
        mov     x0, x21
        bl      print
        ldp     x29, x30, [sp], #16
        ret
end interrupts

function print                                  // w1 and x0 in hexadecimal, as a line; changes x2 to x6
        mov     x2, #UART
        str     w1, [x2]
        mov     w3, #60
1:      lsr     x4, x0, x3
        and     x4, x4, #15
        add     x5, x4, #'0'
        add     x6, x4, #('a' - 10)
        cmp     x4, #10
        csel    x5, x5, x6, lo
        str     w5, [x2]
        subs    w3, w3, #4
        b.ge    1b
        mov     w5, #'\n'
        str     w5, [x2]
        ret
end print

        .macro  entry letter
        .balign 0x80
        stp     x0, x1, [sp, #-96]!
        mov     w1, #\letter
        b       taken
        .endm

        .balign 0x800
vectors:
        .rept   4
        .balign 0x80
        b       .
        .endr
        entry   'S'
        .balign 0x80
        b       timer
        .balign 0x80
        b       .
        entry   'E'
        .balign 0x800

function taken                                  // an exception: a line of each register, and on behind the instruction
        stp     x2, x3, [sp, #16]
        stp     x4, x5, [sp, #32]
        stp     x6, x30, [sp, #48]
        str     x1, [sp, #64]
        subs    w27, w27, #1
        b.eq    off
        mrs     x0, esr_el1
        bl      print
        mov     w1, #'F'
        mrs     x0, far_el1
        bl      print
        mov     w1, #'L'
        mrs     x0, elr_el1
        bl      print
        ldr     x1, [sp, #64]
        cmp     w1, #'E'
        b.eq    1f
        mrs     x0, elr_el1
        add     x0, x0, #4
        msr     elr_el1, x0
1:      ldp     x2, x3, [sp, #16]
        ldp     x4, x5, [sp, #32]
        ldp     x6, x30, [sp, #48]
        ldp     x0, x1, [sp], #96
        eret
end taken

function timer                                  // an interrupt
        stp     x0, x1, [sp, #-16]!
        mrs     x1, S3_0_C12_C12_0              // ICC_IAR1_EL1
        mrs     x0, cntv_ctl_el0
        tbnz    x0, #2, 1f
        add     x21, x21, #1
        b       2f
1:      add     x20, x20, #1
        msr     cntv_tval_el0, x22
2:      msr     S3_0_C12_C12_1, x1              // ICC_EOIR1_EL1
        ldp     x0, x1, [sp], #16
        eret
end timer

        .balign 16
cell:   .quad   0x2000
        .type   cell, %object
        .size   cell, 8
        .ltorg
        .balign 16
        .skip   4096
stack_top:
