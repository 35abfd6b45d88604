// WFE and WFI at EL0 and EL1, with and without an event, trapped or not.  At EL0 each exception prints ESR_EL1 and its
// place in the program; the instruction is then skipped.
        .arch   armv8-a
        .equ    UART, 0x09000000
        .equ    NTWI, 1 << 16
        .equ    NTWE, 1 << 18

        .text
        .global _start, el1, el1_end, el0
_start:
        adr     x0, vectors
        msr     vbar_el1, x0
        ldr     x0, =stack_top
        mov     sp, x0
        mov     x28, #UART

        mov     w1, #'1'
        bl      put                             // an exit, whose return sets the event register
el1:    wfe
        wfe                                     // + 4: waits
        wfe                                     // + 8
        wfe                                     // + c: waits
        wfe                                     // + 10
        sevl
        wfe                                     // + 18
        wfe                                     // + 1c: waits
        wfe                                     // + 20
        sev
        wfe                                     // + 28
        yield
        wfe                                     // + 30: waits
        adr     x0, 1f
        mov     x1, #0x3c5
        msr     elr_el1, x0
        msr     spsr_el1, x1
        wfe                                     // + 44
        eret
1:      wfe                                     // + 4c
        wfe                                     // + 50: waits
        mov     w1, #'\n'
        bl      put
el1_end:

        mov     w2, #NTWI | NTWE
        bl      program
        mov     w2, #NTWE
        bl      program
        mov     w2, #NTWI
        bl      program
        mov     w2, #0
        bl      program

        mov     w0, #0x84000000
        add     w0, w0, #8
        hvc     #0
        b       .

// Runs the program at EL0 with these bits of SCTLR_EL1.
program:
        mov     x27, x30
        mrs     x0, sctlr_el1
        bic     x0, x0, #NTWI
        bic     x0, x0, #NTWE
        orr     x0, x0, x2
        msr     sctlr_el1, x0
        isb
        adr     x0, el0
        msr     elr_el1, x0
        msr     spsr_el1, xzr
        mov     w1, #':'
        bl      put
        // Nothing would end a WFI that is not trapped.
        tst     w2, #NTWI
        cset    w19, eq
        eret

el0:    wfe
        wfe                                     // + 4: waits
        wfe
        wfe                                     // + c: waits
        sevl
        sevl
        wfe
        wfe                                     // + 1c: waits
        wfe
        sev
        wfe
        yield
        wfe                                     // + 30: waits
        nop
        wfe
        svc     #0
        wfe
        wfe                                     // + 44: waits
        tbz     w19, #0, 1f
        wfi                                     // + 4c
        wfi                                     // + 50
1:      svc     #1

from_el0:
        mrs     x3, esr_el1
        lsr     x0, x3, #26
        cmp     x0, #0x15
        b.ne    trapped
        tst     x3, #0xff
        b.ne    over
        eret
over:   mov     w1, #'\n'
        bl      put
        ret     x27

trapped:
        mov     w1, #' '
        bl      put
        mov     x0, x3
        bl      print_hex
        mov     w1, #'+'
        bl      put
        mrs     x0, elr_el1
        add     x1, x0, #4
        msr     elr_el1, x1
        adr     x1, el0
        sub     x0, x0, x1
        bl      print_hex
        eret

put:    str     w1, [x28]
        ret

print_hex:
        mov     x1, #28
1:      lsr     w2, w0, w1
        and     w2, w2, #15
        cmp     w2, #10
        add     w4, w2, #'0'
        add     w2, w2, #'a' - 10
        csel    w2, w4, w2, lo
        str     w2, [x28]
        subs    x1, x1, #4
        b.pl    1b
        ret

        .balign 0x800
vectors:
        b       .
        .org    vectors + 0x200
        b       .
        .org    vectors + 0x400
        b       from_el0
        .org    vectors + 0x800

        .bss
        .balign 16
stack:  .skip   1024
stack_top:
