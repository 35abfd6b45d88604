// Has stage 1 translate addresses: by AT, by loads and stores with EL1's and with EL0's permissions, by a branch, and by an
// exception return to EL0.
//
// x20: an array of (address, 1 if it is to be accessed and not only translated); x21: where the results go; x22: the
// number of addresses; x23: 1 if there is FEAT_PAN2; x24: what is stored, which is also what is executed there, and
// returns; x25: SPSR_EL1 for EL1; x26: an address that EL0 cannot execute, to return to.  Results are pairs of PAR_EL1 and ESR_EL1, the latter 0 without an exception; of accesses only ESR_EL1.
        .arch   armv8.2-a

        .text
        .balign 0x800
        .global vectors
vectors:
        .irp    slot, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        .balign 0x80
        .if     \slot == 4
        mrs     x9, esr_el1
        ubfx    x10, x9, #26, #6
        cmp     x10, #0x21
        b.eq    1f
        mrs     x10, elr_el1
        add     x10, x10, #4
        msr     elr_el1, x10
        eret
1:      msr     elr_el1, x30
        eret
        .elseif \slot == 8
        mrs     x9, esr_el1
        mrs     x10, far_el1
        cmp     x10, x26
        csel    x9, xzr, x9, eq
        msr     spsr_el1, x25
        msr     elr_el1, x27
        eret
        .else
        hvc     #\slot
        .endif
        .endr
        .balign 0x80

        .global launch
launch:
        eret

        .macro  translate operation
        mov     x9, #0
        msr     par_el1, xzr
        at      \operation, x1
        isb
        mrs     x3, par_el1
        stp     x3, x9, [x21], #16
        .endm

        .macro  access insn:vararg
        mov     x9, #0
        \insn
        str     x9, [x21], #8
        .endm

        .global walks
walks:
        ldp     x1, x2, [x20], #16
        translate s1e1r
        translate s1e1w
        translate s1e0r
        translate s1e0w
        cbz     x23, 1f
        translate s1e1rp
        translate s1e1wp
1:      cbz     x2, 2f
        access  ldr x3, [x1]
        access  str x24, [x1]
        access  ldtr x3, [x1]
        access  sttr x24, [x1]
        access  blr x1
        // To EL0, and from there, by an exception in any case, to the label below.
        mov     x9, #0
        adr     x27, 3f
        mov     x30, x26
        mov     x10, #0x3c0
        msr     spsr_el1, x10
        msr     elr_el1, x1
        eret
3:      str     x9, [x21], #8
2:      sub     x22, x22, #1
        cbnz    x22, walks
        hvc     #0x100
