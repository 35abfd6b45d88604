// Reads and writes system registers at EL1 and then at EL0, and prints what each does: "=" and the value of x3 after it,
// or "!" and the ESR_EL1 of the exception that it takes.

        .equ    UART, 0x09000000
        .equ    SYSTEM_OFF, 0x84000008

        .macro  probe word:req
        mov     x3, #0x5eed
        mov     x19, #0
        .inst   \word
        bl      report
        .endm

        .text
        .global _start
_start:
        adr     x0, vectors
        msr     vbar_el1, x0
        ldr     x0, =stack
        mov     sp, x0
        bl      probes
        mov     x0, #0x3c0
        msr     spsr_el1, x0
        adr     x0, user
        msr     elr_el1, x0
        eret

user:
        mov     w0, #'0'
        bl      print
        mov     w0, #'\n'
        bl      print
        bl      probes
        svc     #0

probes:
        mov     x20, x30
        probe   0xd5330103              // mrs x3, mdccsr_el0
        probe   0xd5301383              // mrs x3, osdlr_el1
        probe   0xd5300203              // mrs x3, mdccint_el1
        probe   0xd538cba3              // mrs x3, icc_sgi1r_el1
        probe   0xd538cbc3              // mrs x3, icc_asgi1r_el1
        probe   0xd518cc03              // msr icc_iar1_el1, x3
        probe   0xd53fe223              // mrs x3, cntps_ctl_el1
        probe   0xd53b9d03              // mrs x3, pmccntr_el0
        probe   0xd53be803              // mrs x3, pmevcntr0_el0
        probe   0xd539f223              // mrs x3, cpuectlr_el1
        probe   0xd539b043              // mrs x3, l2ctlr_el1
        probe   0xd539f303              // mrs x3, cbar_el1
        probe   0xd50342df              // msr daifset, #2
        probe   0xd53b0023              // mrs x3, ctr_el0
        ret     x20

// Prints x19, an ESR_EL1 that the vector has left, or else x3.
report:
        mov     x21, x30
        mov     w0, #'='
        mov     x22, x3
        cbz     x19, 1f
        mov     w0, #'!'
        mov     x22, x19
1:      bl      print
        mov     w23, #60
2:      lsr     x0, x22, x23
        and     w0, w0, #15
        cmp     w0, #10
        add     w1, w0, #'0'
        add     w0, w0, #'a' - 10
        csel    w0, w1, w0, lo
        bl      print
        subs    w23, w23, #4
        b.pl    2b
        mov     w0, #'\n'
        bl      print
        ret     x21

print:
        ldr     x1, =UART
        str     w0, [x1]
        ret

        .balign 0x800
vectors:
        .rept   16
        .balign 0x80
        mrs     x19, esr_el1
        lsr     x18, x19, #26
        cmp     x18, #0x15
        b.eq    off
        mrs     x18, elr_el1
        add     x18, x18, #4
        msr     elr_el1, x18
        eret
        .endr

off:
        ldr     x0, =SYSTEM_OFF
        hvc     #0

        .bss
        .balign 16
        .skip   1024
stack:
