// Calls every PSCI and SMCCC function number there is a range for, by HVC and by SMC, with garbage as arguments,
// except for those that end the machine or wait; then powers off.

        .global _start
        .type   _start, %function
_start:
        adr     x19, bases
1:      ldr     w20, [x19], #4
        cbz     w20, 4f
        mov     w21, #0
2:      cmp     w21, #1                 // CPU_SUSPEND
        b.eq    3f
        cmp     w21, #2                 // CPU_OFF
        b.eq    3f
        cmp     w21, #8                 // SYSTEM_OFF
        b.eq    3f
        cmp     w21, #9                 // SYSTEM_RESET
        b.eq    3f
        cmp     w21, #12                // CPU_DEFAULT_SUSPEND
        b.eq    3f
        cmp     w21, #14                // SYSTEM_SUSPEND
        b.eq    3f
        cmp     w21, #18                // SYSTEM_RESET2
        b.eq    3f
        bl      garbage
        hvc     #0
        bl      garbage
        smc     #0
3:      add     w21, w21, #1
        cmp     w21, #0x40
        b.ne    2b
        b       1b
4:      movz    x0, #0x8400, lsl #16
        movk    x0, #8
        hvc     #0
        .size   _start, . - _start

garbage:
        orr     w0, w20, w21
        movn    x1, #0
        movz    x2, #0xdead, lsl #48
        movk    x2, #0x1235
        mov     x3, sp
        ret

        .balign 4
bases:
        .word   0x84000000, 0xc4000000, 0x04000000, 0x80000000, 0xc0000000, 0xbf00ff00, 0xffffffc0, 0
