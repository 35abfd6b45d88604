// Signs pointers, addresses and others, for sizes of the address space and with the top byte ignored or not, and
// authenticates what it got.  Each line has the pointer, and with each key what signing and authentication give.
        .arch   armv8.3-a
        .equ    UART, 0x09000000
        .equ    ENABLE, 1 << 31 | 1 << 30 | 1 << 27 | 1 << 13

        .text
        .global _start
_start:
        ldr     x0, =stack_top
        mov     sp, x0
        ldr     x0, =0x0123456789abcdef
        mov     x1, #5
        msr     s3_0_c2_c1_0, x0
        add     x0, x0, x1, lsl #40
        msr     s3_0_c2_c1_1, x0
        add     x0, x0, x1, lsl #23
        msr     s3_0_c2_c1_2, x0
        add     x0, x0, x1, lsl #33
        msr     s3_0_c2_c1_3, x0
        add     x0, x0, x1, lsl #53
        msr     s3_0_c2_c2_0, x0
        add     x0, x0, x1, lsl #13
        msr     s3_0_c2_c2_1, x0
        add     x0, x0, x1, lsl #3
        msr     s3_0_c2_c2_2, x0
        add     x0, x0, x1, lsl #36
        msr     s3_0_c2_c2_3, x0
        mrs     x0, sctlr_el1
        ldr     x1, =ENABLE
        bic     x26, x0, x1
        orr     x27, x0, x1
        msr     sctlr_el1, x27
        adr     x19, controls
1:      ldp     x20, x24, [x19], #16
        cbz     x20, 9f
        msr     tcr_el1, x20
        msr     sctlr_el1, x27
        cbz     x24, 2f
        msr     sctlr_el1, x26                  // none is enabled
2:      isb
        mov     x0, x20
        bl      print_hex
        bl      newline
        adr     x21, pointers
3:      ldr     x22, [x21], #8
        cmn     x22, #0xbad
        b.eq    1b
        mov     x0, x22
        bl      print_hex
        .irp    key, ia, ib, da, db
        mov     x0, x22
        mov     x1, #77
        pac\key x0, x1
        mov     x23, x0
        bl      print_hex
        mov     x1, #77
        aut\key x23, x1
        mov     x0, x23
        bl      print_hex
        .endr
        bl      newline
        b       3b

9:      mov     w0, #0x84000000
        add     w0, w0, #8
        hvc     #0
        b       .

newline:
        mov     x9, #UART
        mov     w1, #'\n'
        str     w1, [x9]
        ret

print_hex:
        mov     x9, #UART
        mov     x1, #60
1:      lsr     x2, x0, x1
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

        .balign 8
controls:
        .irp    sizes, 16 << 16 | 16, 25 << 16 | 25, 39 << 16 | 32, 16 << 16 | 33
        .quad   0 << 37 | \sizes, 0
        .quad   1 << 37 | \sizes, 0
        .quad   2 << 37 | \sizes, 0
        .quad   3 << 37 | \sizes, 0
        .endr
        .quad   16 << 16 | 16, 1
        .quad   0, 0
pointers:
        .quad   0, 0x40080000, -1, -4096, 0x0000ffffffffffff, 0xffff000000000000, 0x0001000000000000
        .quad   0x0000008000000000, 0xffffff7fffffffff, 0x0000000080000000, 0x5a00000040080000, 0x5affffff80000000
        .quad   0x7fff000000000000, 0x8000000000000000, 0x007f000000000000, 0x0080000000000000, 0xff80000000000000
        .quad   0xffbfffffffffffff, 0xbfffffffffffffff, 0x1234567890abcdef, -0xbad

        .bss
        .balign 16
stack:  .skip   1024
stack_top:
