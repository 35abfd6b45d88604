// A guest that sets its virtual timer, waits for its interrupt and powers off when that has come; each variant makes
// one mistake, by the name of a symbol (--defsym NAME=1, see the Makefile). With gicv2 it uses a GICv2, else a GICv3.

        .equ    UART, 0x09000000
        .equ    DISTRIBUTOR, 0x08000000
        .equ    INTERFACE, 0x08010000           // of a GICv2
        .equ    REDISTRIBUTOR, 0x080A0000       // of a GICv3
        .equ    TIMER, 27                       // the virtual timer's PPI
        .equ    SPI, 40                         // one that no device has
        .equ    TICKS, 62500                    // 1 ms at 62.5 MHz

        .macro  power_off
        movz    x0, #0x8400, lsl #16            // PSCI SYSTEM_OFF
        movk    x0, #0x0008
        hvc     #0
        .endm

        .global _start
        .type   _start, %function
_start:
        adr     x0, vectors
        msr     vbar_el1, x0
        movz    x19, #(DISTRIBUTOR >> 16), lsl #16
        movz    x20, #(REDISTRIBUTOR >> 16), lsl #16
        movz    x21, #((REDISTRIBUTOR + 0x10000) >> 16), lsl #16
        movz    x22, #(INTERFACE >> 16), lsl #16
        .ifdef  gicv2
        mov     x21, x19                        // private interrupts are the distributor's
        .endif
        mov     w28, #0                         // interrupts taken so far

// The interrupt: enabled, in Group 1 of a GICv3 and in Group 0 of a GICv2, of priority 0xA0.

        mov     w1, #(1 << TIMER)
        .ifndef disabled
        str     w1, [x21, #0x100]               // ISENABLER0
        .endif
        .ifdef  gicv2
        .ifdef  wrong_group
        str     w1, [x21, #0x80]                // IGROUPR0
        .endif
        .else
        .ifndef wrong_group
        mov     w2, #0xFFFFFFFF
        str     w2, [x21, #0x80]
        .endif
        .endif
        mov     w2, #0xA0
        .ifdef  lowest
        mov     w2, #0xFF
        .endif
        strb    w2, [x21, #(0x400 + TIMER)]     // IPRIORITYR
        .ifdef  edge
        mov     w2, #(2 << (2 * (TIMER - 16)))
        str     w2, [x21, #0xC04]               // ICFGR1
        .endif

// The distributor, the redistributor and the CPU interface.

        .ifdef  gicv2
        .ifndef distributor_off
        mov     w1, #1                          // EnableGrp0
        str     w1, [x19]
        .endif
        mov     w1, #0xF0
        .ifndef mask
        str     w1, [x22, #0x4]                 // GICC_PMR
        .endif
        mov     w1, #1                          // EnableGrp0
        .ifdef  not_deactivated
        mov     w1, #0x201                      // and EOImode
        .endif
        .ifndef interface_off
        str     w1, [x22]                       // GICC_CTLR
        .endif
        .else
        mov     w1, #0x12                       // ARE, EnableGrp1
        .ifndef distributor_off
        str     w1, [x19]
        .endif
        .ifdef  asleep
        mov     w1, #6                          // ProcessorSleep, ChildrenAsleep
        .else
        mov     w1, #0
        .endif
        str     w1, [x20, #0x14]                // GICR_WAKER
        mov     x1, #0xF0
        .ifndef mask
        msr     S3_0_C4_C6_0, x1                // ICC_PMR_EL1
        .endif
        mov     x1, #1
        .ifndef interface_off
        msr     S3_0_C12_C12_7, x1              // ICC_IGRPEN1_EL1
        .endif
        .ifdef  not_deactivated
        mov     x1, #2                          // EOImode
        msr     S3_0_C12_C12_4, x1              // ICC_CTLR_EL1
        .endif
        .ifdef  fiq
        str     wzr, [x21, #0x80]               // GICR_IGROUPR0: all in Group 0
        mov     w1, #0x13                       // ARE, both groups
        str     w1, [x19]
        mov     x1, #1
        msr     S3_0_C12_C12_6, x1              // ICC_IGRPEN0_EL1
        .endif
        .endif

// A shared interrupt that goes to nobody who could take it, in the place of the timer's.

        .ifdef  spi
        mov     w1, #(1 << (SPI - 32))
        str     w1, [x19, #0x104]               // GICD_ISENABLER1
        str     w1, [x19, #0x84]                // GICD_IGROUPR1
        mov     w2, #0xA0
        strb    w2, [x19, #(0x400 + SPI)]
        .ifdef  gicv2
        str     wzr, [x19, #0x84]
        .ifdef  nowhere
        mov     w2, #0                          // a list of CPUs
        .else
        mov     w2, #2
        .endif
        strb    w2, [x19, #(0x800 + SPI)]       // GICD_ITARGETSR
        .else
        .ifdef  nowhere
        mov     x2, #5                          // an affinity
        .else
        mov     x2, #1
        .endif
        mov     x3, #(0x6000 + 8 * SPI)
        str     x2, [x19, x3]                   // GICD_IROUTER40
        .endif
        str     w1, [x19, #0x204]               // GICD_ISPENDR1
        .endif

// An interrupt of its own, which it takes and does not end.

        .ifdef  running
        mov     w1, #2
        str     w1, [x21, #0x100]
        mov     w2, #0xA0
        strb    w2, [x21, #0x401]
        .ifdef  gicv2
        movz    w1, #0x0200, lsl #16            // SGI 1 to itself
        movk    w1, #1
        str     w1, [x19, #0xF00]               // GICD_SGIR
        ldr     w1, [x22, #0xC]                 // GICC_IAR
        .else
        movz    x1, #0x0100, lsl #16            // SGI 1 to affinity 0
        movk    x1, #1
        msr     S3_0_C12_C11_5, x1              // ICC_SGI1R_EL1
        isb
        mrs     x1, S3_0_C12_C12_0              // ICC_IAR1_EL1
        .endif
        .endif

// The timer, and waiting.

        .ifndef spi
        ldr     x1, =TICKS
        msr     cntv_tval_el0, x1
        mov     x1, #1
        .ifdef  timer_masked
        mov     x1, #3
        .endif
        .ifndef timer_off
        msr     cntv_ctl_el0, x1
        .endif
        .endif
        isb
        .ifndef masked
        msr     daifclr, #2
        .endif
again:
        .ifdef  faults                          // once the timer has fired; there is no handler
        .ifdef  late                            // longer than a second ago
        msr     cntv_ctl_el0, xzr
        mov     w1, #(1 << 30)
        str     w1, [x21, #0x100]
        ldr     x1, =(1500 * TICKS)
        msr     cntp_tval_el0, x1
        mov     x1, #1
        msr     cntp_ctl_el0, x1
        wfi
        msr     cntp_ctl_el0, xzr
        msr     cntv_cval_el0, x1
        msr     cntv_ctl_el0, x1
        .endif
        .ifdef  not_ended
1:      cbz     w28, 1b
        .endif
        .ifndef spi
2:      mrs     x1, cntv_ctl_el0
        tbz     w1, #2, 2b
        .endif
        mov     x0, #0x0B000000
        ldr     w0, [x0]
        .endif
        .ifdef  spins
        b       again
        .endif
        wfi
        b       again
        .size   _start, . - _start

        .type   tick, %function
tick:
        .ifdef  gicv2
        ldr     w1, [x22, #0xC]                 // GICC_IAR
        .else
        mrs     x1, S3_0_C12_C12_0              // ICC_IAR1_EL1
        .endif
        add     w28, w28, #1
        cmp     w28, #2                         // the second one comes only where the first was ended
        b.eq    1f
        .ifdef  edge
        b       end
        .endif
        ldr     x2, =TICKS
        msr     cntv_tval_el0, x2
        .ifdef  not_ended
        eret
        .endif
        .ifdef  wrong_end
        mov     x1, #1
        .endif
end:
        .ifdef  gicv2
        str     w1, [x22, #0x10]                // GICC_EOIR
        .else
        msr     S3_0_C12_C12_1, x1              // ICC_EOIR1_EL1
        .endif
        eret
1:      power_off
        .size   tick, . - tick

        .balign 0x800
vectors:
        .skip   0x280                           // the IRQ of the current level with SP_ELx
        b       tick
        .balign 8
        .ltorg
