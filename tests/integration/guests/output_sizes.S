// Translations that stage 1 has to refuse, where memory or a device is behind them: what loads and AT make of it, each
// a line on the console. Run it with --memory 4G.
        .equ    UART, 0x09000000
        .equ    PAGE, 0x703             // a page, Normal memory
        .equ    BLOCK, 0x701

        .text
        .global _start
_start:
        adrp    x0, vectors
        msr     vbar_el1, x0
        mov     x0, #0xff               // attribute 0 is Normal memory, 1 is Device
        msr     mair_el1, x0
        // Level 0: the first 512 GiB by a table, the next ones by a block.
        adrp    x0, level0
        adrp    x1, level1
        add     x2, x1, #3
        str     x2, [x0]
        mov     x2, #BLOCK
        str     x2, [x0, #8]
        // Level 1: the first gigabyte is devices, the second is memory, the fifth is a table, the sixth is beyond, and the
        // seventh is a block of devices with what must not be added to its address.
        mov     x2, #BLOCK | 4
        str     x2, [x1]
        ldr     x2, =0x40000000 | BLOCK
        str     x2, [x1, #8]
        adrp    x3, level2
        add     x2, x3, #3
        str     x2, [x1, #32]
        ldr     x2, =0x100000000 | BLOCK
        str     x2, [x1, #40]
        ldr     x2, =0x01000000 | BLOCK | 4
        str     x2, [x1, #48]
        // Level 2: a table, and one that is beyond.
        adrp    x4, level3
        add     x2, x4, #3
        str     x2, [x3]
        ldr     x2, =0x100000003
        str     x2, [x3, #8]
        // Level 3: a page, one beyond, and one beyond that is read-only and has not been accessed.
        ldr     x2, =0x40000000 | PAGE
        str     x2, [x4]
        ldr     x2, =0x100000000 | PAGE
        str     x2, [x4, #8]
        ldr     x2, =0x100000083
        str     x2, [x4, #16]
        msr     ttbr0_el1, x0
        mov     x2, #16                 // 48-bit addresses, 32-bit output, no upper half
        movk    x2, #0x80, lsl #16
        msr     tcr_el1, x2
        dsb     sy
        tlbi    vmalle1
        dsb     sy
        isb
        mrs     x2, sctlr_el1
        orr     x2, x2, #1
        msr     sctlr_el1, x2
        isb

        adr     x20, addresses
1:      ldr     x19, [x20], #8
        cbz     x19, 2f
        mov     x0, #0
        ldr     wzr, [x19]
        bl      print
        at      s1e1r, x19
        isb
        mrs     x0, par_el1
        bl      print
        b       1b

        // The root itself is beyond: there is nothing to be run from any more, so stage 1 has to be off.
2:      ldr     x2, =0x100000000
        msr     ttbr1_el1, x2
        ldr     x2, =16 | 16 << 16 | 2 << 30
        msr     tcr_el1, x2
        isb
        mov     x19, #-4096
        mov     x0, #0
        ldr     wzr, [x19]
        bl      print
        at      s1e1r, x19
        isb
        mrs     x0, par_el1
        bl      print

        mov     w0, #0x0008
        movk    w0, #0x8400, lsl #16
        hvc     #0

        // x0 as 16 digits and the end of a line.
print:  mov     x2, #UART
        mov     w3, #60
1:      lsr     x4, x0, x3
        and     w4, w4, #15
        add     w5, w4, #'0'
        add     w6, w4, #'a' - 10
        cmp     w4, #10
        csel    w4, w5, w6, lo
        str     w4, [x2]
        subs    w3, w3, #4
        b.pl    1b
        mov     w4, #'\n'
        str     w4, [x2]
        ret

        .balign 8
addresses:
        .quad   0x8000000000            // a block at level 0
        .quad   0x100000000             // the page
        .quad   0x100001000
        .quad   0x100002000
        .quad   0x100200000
        .quad   0x140000000
        .quad   0x188000fe0             // by the block of devices: UARTPeriphID0
        .quad   0
        .ltorg

        .balign 0x800
vectors:
        .irp    slot, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        .balign 0x80
        mrs     x0, elr_el1
        add     x0, x0, #4
        msr     elr_el1, x0
        mrs     x0, esr_el1
        eret
        .endr

        .bss
        .balign 4096
level0: .space  4096
level1: .space  4096
level2: .space  4096
level3: .space  4096
