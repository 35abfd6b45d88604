// Interrupts at EL1: a guest of a whole machine, with a log of every interrupt that it takes.
//
//   x21  what is to raise an interrupt (a label `arm_*`), x10 and x9 its parameters
//   x22  how to wait for it (a label `wait_*`), x16 and x17 how many rounds where that has an end
//   x23  what to store first: pairs of an address and a 32-bit value, up to an address of 0
//   x11, x12, x13  ICC_PMR_EL1, ICC_IGRPEN0_EL1, ICC_IGRPEN1_EL1; x18 ICC_CTLR_EL1
//   x24  the log, 32 bytes an entry: INTID, vector slot, CNTVCT_EL0, SPSR_EL1
//   x25  entries so far; x26  how many end the run
//   x27  the period of a timer in ticks, 0 for one that is switched off when it has interrupted
//
// At the end x20 is the compare value that the timer had at first, x15 what a wait has found, x14 CNTVCT_EL0.
        .arch   armv8-a
        .set    RTC, 0x09010000

        .text
        .balign 0x800
vectors:
        .irp    slot, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        .balign 0x80
        mov     x28, #\slot
        .if     (\slot & 3) == 1
        mrs     x0, s3_0_c12_c12_0              // ICC_IAR1_EL1
        mov     x7, #1
        b       interrupted
        .elseif (\slot & 3) == 2
        mrs     x0, s3_0_c12_c8_0               // ICC_IAR0_EL1
        mov     x7, #0
        b       interrupted
        .else
        b       power_off
        .endif
        .endr
        .balign 0x80

interrupted:
        mrs     x1, cntvct_el0
        add     x2, x24, x25, lsl #5
        stp     x0, x28, [x2]
        mrs     x3, spsr_el1
        stp     x1, x3, [x2, #16]
        add     x25, x25, #1
        cmp     x0, #27
        b.eq    virtual_timer
        cmp     x0, #30
        b.eq    physical_timer
        cmp     x0, #34
        b.ne    end_of_interrupt
        ldr     x3, =RTC
        mov     w4, #1
        str     w4, [x3, #0x1c]                 // RTCICR
        b       end_of_interrupt
virtual_timer:
        cbnz    x27, 1f
        msr     cntv_ctl_el0, xzr
        b       end_of_interrupt
1:      mrs     x3, cntv_cval_el0
        add     x3, x3, x27
        msr     cntv_cval_el0, x3
        b       end_of_interrupt
physical_timer:
        cbnz    x27, 1f
        msr     cntp_ctl_el0, xzr
        b       end_of_interrupt
1:      mrs     x3, cntp_cval_el0
        add     x3, x3, x27
        msr     cntp_cval_el0, x3
end_of_interrupt:
        cmp     x0, #1020
        b.hs    2f                              // spurious
        cbz     x7, 1f
        msr     s3_0_c12_c12_1, x0              // ICC_EOIR1_EL1
        b       2f
1:      msr     s3_0_c12_c8_1, x0               // ICC_EOIR0_EL1
2:      cmp     x25, x26
        b.hs    power_off
        eret

        .global main
main:
        adr     x0, vectors
        msr     vbar_el1, x0
1:      ldp     x0, x1, [x23], #16
        cbz     x0, 2f
        str     w1, [x0]
        b       1b
2:      msr     s3_0_c12_c12_4, x18             // ICC_CTLR_EL1
        msr     s3_0_c4_c6_0, x11               // ICC_PMR_EL1
        msr     s3_0_c12_c12_6, x12             // ICC_IGRPEN0_EL1
        msr     s3_0_c12_c12_7, x13             // ICC_IGRPEN1_EL1
        isb
        blr     x21
        br      x22

        .global arm_nothing
arm_nothing:
        ret

        .global arm_virtual_timer
arm_virtual_timer:
        msr     cntv_tval_el0, x10
        mrs     x20, cntv_cval_el0
        mov     x0, #1
        msr     cntv_ctl_el0, x0
        ret

        .global arm_physical_timer
arm_physical_timer:
        msr     cntp_tval_el0, x10
        mrs     x20, cntp_cval_el0
        mov     x0, #1
        msr     cntp_ctl_el0, x0
        ret

        // At x10, an absolute time.
        .global arm_absolute_timer
arm_absolute_timer:
        msr     cntv_cval_el0, x10
        mov     x0, #1
        msr     cntv_ctl_el0, x0
        ret

        // ENABLE and IMASK.
        .global arm_masked_timer
arm_masked_timer:
        msr     cntv_tval_el0, x10
        mov     x0, #3
        msr     cntv_ctl_el0, x0
        ret

        .global arm_sgis
arm_sgis:
        msr     s3_0_c12_c11_5, x10             // ICC_SGI1R_EL1
        msr     s3_0_c12_c11_5, x9
        ret

        .global arm_group0_sgi
arm_group0_sgi:
        msr     s3_0_c12_c11_7, x10             // ICC_SGI0R_EL1
        ret

        // In x10 seconds.
        .global arm_rtc
arm_rtc:
        ldr     x0, =RTC
        mov     w1, #1
        str     w1, [x0, #0x10]                 // RTCIMSC
        ldr     w1, [x0]                        // RTCDR
        add     w1, w1, w10
        str     w1, [x0, #4]                    // RTCMR
        ret

        .global wait_wfi
wait_wfi:
        msr     daifclr, #3
1:      wfi
        b       1b

        .global wait_spin
wait_spin:
        msr     daifclr, #3
1:      subs    x16, x16, #1
        b.ne    1b
        b       power_off

        // With interrupts masked: ISR_EL1 into x15.
        .global wait_masked
wait_masked:
        wfi
        mrs     x15, isr_el1
        b       power_off

        .global wait_masked_spin
wait_masked_spin:
        subs    x16, x16, #1
        b.ne    wait_masked_spin
        mrs     x15, isr_el1
        b       power_off

        // At EL0, up to a system call.
        .global wait_el0
wait_el0:
        adr     x0, 1f
        msr     elr_el1, x0
        msr     spsr_el1, xzr
        eret
1:      subs    x16, x16, #1
        b.ne    1b
        svc     #0

        // The log's length into x15, then the priority mask opened.
        .global wait_unmask_priority
wait_unmask_priority:
        msr     daifclr, #3
1:      subs    x16, x16, #1
        b.ne    1b
        mov     x15, x25
        mov     x0, #0xff
        msr     s3_0_c4_c6_0, x0
1:      subs    x17, x17, #1
        b.ne    1b
        b       power_off

        .global power_off
power_off:
        mrs     x14, cntvct_el0
        ldr     x0, =0x84000008                 // PSCI SYSTEM_OFF
        hvc     #0
        b       power_off

        .global launch
launch:
        b       main
        .ltorg
