// Watchpoints of a guest's own, at EL1 and at EL0.  The handler prints ESR_EL1 and how far FAR_EL1 is from the first byte
// that is watched, and disables the watchpoint, so that the access is made.
        .arch   armv8-a
        .equ    UART, 0x09000000
        .equ    MDE_KDE, 1 << 15 | 1 << 13
        .equ    LOADS, 0xff << 5 | 1 << 3 | 3 << 1 | 1
        .equ    STORES, 0xff << 5 | 2 << 3 | 3 << 1 | 1
        .equ    MASK_16, 4 << 24

        .text
        .global _start
_start:
        adr     x0, vectors
        msr     vbar_el1, x0
        ldr     x0, =stack_top
        mov     sp, x0
        msr     oslar_el1, xzr
        mov     x0, #MDE_KDE
        msr     mdscr_el1, x0
        ldr     x20, =target
        msr     dbgwvr0_el1, x20
        mov     x21, #STORES
        msr     dbgwcr0_el1, x21
        isb
        str     x20, [x20]                      // debug exceptions are masked
        msr     daifclr, #8
        str     x20, [x20, #8]                  // beside it
        ldr     x0, [x20]                       // no store
        stp     x20, x21, [x20, #-8]            // at EL1
        msr     dbgwcr0_el1, x21
        adr     x0, program
        msr     elr_el1, x0
        msr     spsr_el1, xzr
        eret

program:
        strb    w0, [x20, #-1]
        strb    w0, [x20, #7]
        svc     #0
        ldr     x0, [x20, #16]
        ldur    w0, [x20, #12]
        svc     #1

from_el0:
        mrs     x0, esr_el1
        lsr     w1, w0, #26
        cmp     w1, #0x15
        b.ne    watched
        tbnz    w0, #0, off
        ldr     w0, =LOADS | MASK_16            // 16 bytes, loads
        msr     dbgwcr0_el1, x0
        eret

watched:
        mrs     x0, esr_el1
        bl      print_hex
        mrs     x0, far_el1
        sub     x0, x0, x20
        bl      print_hex
        mov     w0, #'\n'
        str     w0, [x9]
        msr     dbgwcr0_el1, xzr
        eret

off:    mov     w0, #0x84000000
        add     w0, w0, #8
        hvc     #0
        b       .

// "d6000062 "
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
        b       watched
        .org    vectors + 0x400
        b       from_el0
        .org    vectors + 0x800

        .bss
        .balign 64
        .skip   64
target: .skip   64
stack:  .skip   1024
stack_top:
