// LDRAA and LDRAB of pointers that were signed with zero and with SP as the modifier, and AUTDA and AUTDB of the same.
// Prints what was loaded, or 0 where the guest took a fault, and where the base register points to afterwards.
        .arch   armv8.3-a
        .equ    UART, 0x09000000
        .equ    ENABLE, 1 << 27 | 1 << 13       // EnDA, EnDB

        .text
        .global _start
_start:
        adr     x0, vectors
        msr     vbar_el1, x0
        ldr     x0, =stack_top
        mov     sp, x0
        ldr     x0, =0x0123456789abcdef
        msr     s3_0_c2_c2_0, x0                // APDAKeyLo_EL1 and the others
        eor     x0, x0, x0, lsl #7
        msr     s3_0_c2_c2_1, x0
        eor     x0, x0, x0, lsl #9
        msr     s3_0_c2_c2_2, x0
        eor     x0, x0, x0, lsl #11
        msr     s3_0_c2_c2_3, x0
        mrs     x0, sctlr_el1
        ldr     x1, =ENABLE
        orr     x0, x0, x1
        msr     sctlr_el1, x0
        isb

        .macro  try sign, load
        adr     x1, data
        \sign
        mov     x0, #0
        \load
        bl      show
        .endm
        try     "pacdza x1", "ldraa x0, [x1]"
        try     "pacdza x1", "ldraa x0, [x1, #8]!"
        try     "pacda x1, sp", "ldraa x0, [x1]"
        try     "mov x2, #0; pacda x1, x2", "ldraa x0, [x1]"
        try     "pacdzb x1", "ldrab x0, [x1, #8]"
        try     "pacdzb x1", "ldrab x0, [x1, #-8]!"
        try     "pacdzb x1", "ldraa x0, [x1]"
        try     "pacdb x1, sp", "ldrab x0, [x1, #8]!"
        try     "pacda x1, sp", "autda x1, sp"
        try     "pacdb x1, sp", "autdb x1, sp"
        try     "pacdza x1", "autdza x1"
        try     "pacdzb x1", "autdzb x1"
        // An address that is signed in the stack pointer.
        adr     x1, data
        pacdza  x1
        mov     x19, sp
        mov     sp, x1
        ldraa   x0, [sp]
        mov     sp, x19
        bl      show

        mov     w0, #0x84000000
        add     w0, w0, #8
        hvc     #0
        b       .

        .quad   0x3333333333333333
data:   .quad   0x1111111111111111, 0x2222222222222222

skip:   mrs     x9, elr_el1
        add     x9, x9, #4
        msr     elr_el1, x9
        eret

show:   mov     x20, x30
        bl      print_hex
        adr     x0, data
        sub     x0, x1, x0
        mov     x1, #(1 << 47)
        cmp     x0, x1                          // only the code of the pointer depends on the implementation
        csel    x0, x0, x1, lo
        bl      print_hex
        mov     x9, #UART
        mov     w2, #'\n'
        str     w2, [x9]
        ret     x20

print_hex:
        mov     x9, #UART
        mov     x3, #60
1:      lsr     x2, x0, x3
        and     w2, w2, #15
        cmp     w2, #10
        add     w4, w2, #'0'
        add     w2, w2, #'a' - 10
        csel    w2, w4, w2, lo
        str     w2, [x9]
        subs    x3, x3, #4
        b.pl    1b
        mov     w2, #' '
        str     w2, [x9]
        ret

        .balign 0x800
vectors:
        .org    vectors + 0x200
        b       skip
        .org    vectors + 0x800

        .bss
        .balign 16
stack:  .skip   1024
stack_top:
