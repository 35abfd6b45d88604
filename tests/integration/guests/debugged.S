// Breakpoints and BRK at EL1 and EL0.  Each exception prints ESR_EL1, its place relative to "target", and SPSR_EL1.
        .arch   armv8-a
        .equ    UART, 0x09000000
        .equ    MDE_KDE, 1 << 15 | 1 << 13
        .equ    BOTH_LEVELS, 0x1e7              // E, PMC = 0b11, BAS = 0b1111

        .text
        .global _start, target
_start:
        adr     x0, vectors
        msr     vbar_el1, x0
        ldr     x0, =stack_top
        mov     sp, x0
        msr     nzcv, xzr
        msr     oslar_el1, xzr
        msr     osdlr_el1, xzr
        ldr     x0, =MDE_KDE
        msr     mdscr_el1, x0
        adr     x0, target
        msr     dbgbvr0_el1, x0
        mov     x26, #BOTH_LEVELS
        msr     dbgbcr0_el1, x26
        isb

        bl      target                          // masked
        msr     daifclr, #8
        bl      target
        msr     daifset, #8
        adr     x30, back
        adr     x0, target
        msr     elr_el1, x0
        msr     spsr_el1, xzr
        eret
back:   svc     #0
end:    mov     w0, #0x84000000
        add     w0, w0, #8
        hvc     #0
        b       .

target: nop
        brk     #0x123
        nop
        ret

taken:  mrs     x20, esr_el1
        lsr     x21, x20, #26
        cmp     x21, #0x15
        b.eq    end
        mov     x0, x20
        mov     x25, x30
        bl      print_hex
        mrs     x0, elr_el1
        adr     x1, target
        sub     x0, x0, x1
        bl      print_hex
        mrs     x0, spsr_el1
        bl      print_hex
        mov     w2, #'\n'
        str     w2, [x9]
        mov     x30, x25
        // Past a BRK; a breakpoint is off until the next one.
        cmp     x21, #0x3c
        b.ne    1f
        mrs     x0, elr_el1
        add     x0, x0, #4
        msr     elr_el1, x0
        msr     dbgbcr0_el1, x26
        eret
1:      msr     dbgbcr0_el1, xzr
        eret

print_hex:
        mov     x9, #UART
        mov     x1, #28
1:      lsr     w2, w0, w1
        and     w2, w2, #15
        cmp     w2, #10
        add     w3, w2, #'0'
        add     w2, w2, #'a' - 10
        csel    w2, w3, w2, lo
        str     w2, [x9]
        subs    x1, x1, #4
        b.pl    1b
        mov     w2, #' '
        str     w2, [x9]
        ret

        .balign 0x800
vectors:
        .org    vectors + 0x200
        b       taken
        .org    vectors + 0x400
        b       taken
        .org    vectors + 0x800

        .bss
        .balign 16
stack:  .skip   1024
stack_top:
