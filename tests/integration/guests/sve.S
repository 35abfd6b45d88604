// Vectors of SVE that a debugger looks at and changes.  EL1 lets itself use them, 512 bits long, fills z0 and p0, and at
// "changed" adds z1 up, byte by byte, and counts the elements of p1 and FFR: it prints "z1 N, p1 N, ffr N".
        .arch   armv8.2-a+sve
        .equ    UART, 0x09000000
        .equ    ACCESS, 3 << 20 | 3 << 16       // CPACR_EL1.FPEN, ZEN
        .equ    BITS, 512

        .text
        .global _start
_start:
        mov     x0, #ACCESS
        msr     cpacr_el1, x0
        isb
        mov     x0, #BITS / 128 - 1
        msr     zcr_el1, x0
        isb
        ldr     x0, =stack_top
        mov     sp, x0
        setffr
        index   z0.b, #1, #1                    // 1 to 64
        index   z31.d, #-1, #-1
        ptrue   p0.h                            // each second bit
        ptrue   p15.b, vl3
        dup     z1.b, #0
        pfalse  p1.b

        .global changed
changed:
        ptrue   p2.b
        uaddv   d2, p2, z1.b
        fmov    x19, d2
        cntp    x20, p2, p1.b
        rdffr   p3.b
        cntp    x21, p2, p3.b
        adr     x0, z1_text
        mov     x1, x19
        bl      print_number
        adr     x0, p1_text
        mov     x1, x20
        bl      print_number
        adr     x0, ffr_text
        mov     x1, x21
        bl      print_number
        adr     x0, end_text
        bl      print
        mov     w0, #0x84000000
        add     w0, w0, #8
        hvc     #0
        b       .

// The text at x0.
print:  mov     x9, #UART
1:      ldrb    w2, [x0], #1
        cbz     w2, 2f
        str     w2, [x9]
        b       1b
2:      ret

// The text at x0, and x1 in decimal.
print_number:
        mov     x10, x30
        bl      print
        mov     x4, sp
        mov     x5, #10
1:      udiv    x6, x1, x5
        msub    x7, x6, x5, x1
        add     w7, w7, #'0'
        strb    w7, [x4, #-1]!
        mov     x1, x6
        cbnz    x1, 1b
        mov     x3, sp
2:      ldrb    w2, [x4], #1
        str     w2, [x9]
        cmp     x4, x3
        b.ne    2b
        ret     x10

z1_text:    .asciz  "z1 "
p1_text:    .asciz  ", p1 "
ffr_text:   .asciz  ", ffr "
end_text:   .asciz  "\n"

        .bss
        .balign 16
stack:  .skip   256
stack_top:
