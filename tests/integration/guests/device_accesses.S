// Reads the identification registers of the PL011 in unusual ways, in either byte order, and then without alignment.
        .arch   armv8-a
        .equ    UART, 0x09000000
        .equ    IDENTIFICATION, 0xfe0
        .equ    EE, 1 << 25
        .equ    SYSTEM_OFF, 0x84000008

        .global _start
_start:
        ldr     x0, =0x300000
        msr     cpacr_el1, x0
        adr     x0, vectors
        msr     vbar_el1, x0
        isb
        mov     x19, #UART
        add     x20, x19, #IDENTIFICATION
        bl      show
        mrs     x0, sctlr_el1
        orr     x0, x0, #EE
        msr     sctlr_el1, x0
        isb
        bl      show
        // A character in a word of the usual order, and in a structure.
        mov     w0, #'B'
        rev     w0, w0
        str     w0, [x19]
        mov     w0, #'\n'
        fmov    s0, w0
        st1     {v0.b}[0], [x19]
        mrs     x0, sctlr_el1
        bic     x0, x0, #EE
        msr     sctlr_el1, x0
        isb
        // No PL011 has this: the fault comes first.
        ldr     w0, [x20, #2]
        b       off

// One line for each way: all that was read, as numbers.
show:
        mov     x28, x30
        ldr     w21, [x20]
        bl      number
        ldp     w21, w22, [x20, #4]
        bl      number
        mov     w21, w22
        bl      number
        mov     x23, x20
        ld2     {v1.2s, v2.2s}, [x23], #16
        sub     x21, x23, x20
        bl      number
        mov     x21, v2.d[0]
        bl      number
        movi    v3.4s, #0x55
        ld1     {v3.s}[2], [x20]
        mov     x21, v3.d[1]
        bl      number
        ld1r    {v4.4s}, [x20]
        mov     x21, v4.d[1]
        bl      number
        ldp     s5, s6, [x20, #8]
        fmov    w21, s5
        bl      number
        fmov    w21, s6
        bl      number
        mov     w0, #'\n'
        strb    w0, [x19]
        ret     x28

// x21 in hexadecimal and a space; changes x0 and x1.
number:
        mov     x1, #60
1:      lsr     x0, x21, x1
        and     x0, x0, #15
        add     x0, x0, #'0'
        cmp     x0, #'9'
        b.ls    2f
        add     x0, x0, #'a' - '9' - 1
2:      strb    w0, [x19]
        subs    x1, x1, #4
        b.ge    1b
        mov     w0, #' '
        strb    w0, [x19]
        ret

off:
        ldr     x0, =SYSTEM_OFF
        hvc     #0
        b       .

        .balign 0x800
vectors:
        .space  0x200
        mrs     x21, esr_el1
        bl      number
        mrs     x21, far_el1
        bl      number
        mov     w0, #'\n'
        strb    w0, [x19]
        b       off
