// Runs cases at EL1 under EL2 of QEMU's virt board, as armvcpu does under the EL2 that it models.
//
// The header at 0x60000000 says where the cases are and where results go; `tests/fuzz/qemu/cases.py` has both layouts.
// A case begins with an ERET to EL1 and ends with the first exception to EL2, which is usually a hypercall.  What it has
// changed in the window is noted and undone.
        .arch   armv8.2-a

        .equ    HEADER, 0x60000000
        .equ    H_CASES, 0
        .equ    H_RESULTS, 16
        .equ    H_STRIDE, 24
        .equ    H_HCR, 32
        .equ    H_VTCR, 40
        .equ    H_VTTBR, 48
        .equ    H_COPIES, 56
        .equ    H_WINDOW, 72
        .equ    H_DUMP, 96
        .equ    H_DONE, 112
        .equ    H_CURRENT, 120

        .equ    C_SYSREGS, 8
        .equ    C_X, 19 * 8
        .equ    C_V, 50 * 8
        .equ    C_WRITES, 114 * 8

        .equ    R_SYSREGS, 8
        .equ    R_X, 20 * 8
        .equ    R_V, 52 * 8
        .equ    R_CHANGES, 116 * 8
        .equ    R_DUMP, 148 * 8
        .equ    CHANGES, 16

        .text
        .balign 0x800
vectors:
        .irp    slot, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        .balign 0x80
        .if     \slot < 8
        b       broken
        .else
        stp     x0, x1, [sp, #R_X]
        mov     x0, #\slot
        b       ended
        .endif
        .endr
        .balign 0x80

        .global _start
_start:
        mov     x27, #HEADER
        adr     x0, vectors
        msr     vbar_el2, x0
        ldp     x0, x1, [x27, #H_HCR]
        msr     hcr_el2, x0
        msr     vtcr_el2, x1
        ldr     x0, [x27, #H_VTTBR]
        msr     vttbr_el2, x0
        mov     x0, #0x32ff
        msr     cptr_el2, x0
        mov     x0, #3
        msr     cnthctl_el2, x0
        msr     cntvoff_el2, xzr
        msr     hstr_el2, xzr
        mrs     x0, pmcr_el0
        ubfx    x0, x0, #11, #5
        msr     mdcr_el2, x0
        mov     x0, #0xf
        msr     s3_4_c12_c9_5, x0               // icc_sre_el2
        isb
        msr     s3_4_c12_c11_0, xzr             // ich_hcr_el2
        mrs     x0, midr_el1
        msr     vpidr_el2, x0
        mrs     x0, mpidr_el1
        msr     vmpidr_el2, x0
        mrs     x0, id_aa64pfr0_el1
        tbz     x0, #32, 1f
        mov     x0, #0xf
        msr     s3_4_c1_c2_0, x0                // zcr_el2
        msr     s3_0_c1_c2_0, xzr               // zcr_el1: vectors of 128 bits
1:      isb

        // Copies of bytes: (from, to, size).
        ldp     x0, x1, [x27, #H_COPIES]
2:      cbz     x1, 4f
        ldp     x2, x3, [x0], #16
        ldr     x4, [x0], #8
3:      ldp     x5, x6, [x2], #16
        stp     x5, x6, [x3], #16
        subs    x4, x4, #16
        b.hi    3b
        sub     x1, x1, #1
        b       2b

4:      ldr     x0, [x27, #H_CASES]
        str     x0, [x27, #H_CURRENT]
        ldr     x0, [x27, #H_RESULTS]
        mov     sp, x0

next:
        mov     x27, #HEADER
        ldr     x0, [x27, #H_DONE]
        ldr     x1, [x27, #H_CASES + 8]
        cmp     x0, x1
        b.eq    off
        ldr     x28, [x27, #H_CURRENT]

        // What it wants written: (address, bytes) of 8 bytes each.
        ldr     x0, [x28]
        add     x1, x28, #C_WRITES
5:      cbz     x0, 6f
        ldp     x2, x3, [x1], #16
        str     x3, [x2]
        sub     x0, x0, #1
        b       5b
6:      str     x1, [x27, #H_CURRENT]

        add     x1, x28, #C_SYSREGS
        .irp    register, sctlr_el1, tcr_el1, ttbr0_el1, ttbr1_el1, mair_el1, vbar_el1, cpacr_el1, cntkctl_el1, mdscr_el1, elr_el1, spsr_el1, sp_el0, sp_el1, elr_el2, spsr_el2, fpcr, fpsr
        ldr     x2, [x1], #8
        msr     \register, x2
        .endr
        .irp    register, esr_el1, far_el1, par_el1, tpidr_el0, tpidr_el1, tpidrro_el0, contextidr_el1, cntv_ctl_el0, cntp_ctl_el0, pmuserenr_el0, oslar_el1, mdccint_el1, csselr_el1, amair_el1
        msr     \register, xzr
        .endr
        tlbi    vmalls12e1
        dsb     sy
        ic      iallu
        isb
        add     x1, x28, #C_V
        .macro  load_v number
        ldr     q\number, [x1, #16 * \number]
        .endm
        .irp    number, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        load_v  \number
        .endr
        clrex
        add     x30, x28, #C_X
        ldp     x0, x1, [x30]
        ldp     x2, x3, [x30, #16]
        ldp     x4, x5, [x30, #32]
        ldp     x6, x7, [x30, #48]
        ldp     x8, x9, [x30, #64]
        ldp     x10, x11, [x30, #80]
        ldp     x12, x13, [x30, #96]
        ldp     x14, x15, [x30, #112]
        ldp     x16, x17, [x30, #128]
        ldp     x18, x19, [x30, #144]
        ldp     x20, x21, [x30, #160]
        ldp     x22, x23, [x30, #176]
        ldp     x24, x25, [x30, #192]
        ldp     x26, x27, [x30, #208]
        ldp     x28, x29, [x30, #224]
        ldr     x30, [x30, #240]
        eret

ended:
        add     x1, sp, #R_X
        stp     x2, x3, [x1, #16]
        stp     x4, x5, [x1, #32]
        stp     x6, x7, [x1, #48]
        stp     x8, x9, [x1, #64]
        stp     x10, x11, [x1, #80]
        stp     x12, x13, [x1, #96]
        stp     x14, x15, [x1, #112]
        stp     x16, x17, [x1, #128]
        stp     x18, x19, [x1, #144]
        stp     x20, x21, [x1, #160]
        stp     x22, x23, [x1, #176]
        stp     x24, x25, [x1, #192]
        stp     x26, x27, [x1, #208]
        stp     x28, x29, [x1, #224]
        str     x30, [x1, #240]
        add     x0, x0, #1
        str     x0, [sp]
        add     x1, sp, #R_SYSREGS
        .irp    register, esr_el2, far_el2, hpfar_el2, elr_el2, spsr_el2, esr_el1, far_el1, elr_el1, spsr_el1, par_el1, sp_el0, sp_el1, fpcr, fpsr, tpidr_el0, tpidr_el1, sctlr_el1
        mrs     x2, \register
        str     x2, [x1], #8
        .endr
        add     x1, sp, #R_V
        .macro  store_v number
        str     q\number, [x1, #16 * \number]
        .endm
        .irp    number, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        store_v \number
        .endr

        // The window: (base, size, what it had at first).
        mov     x27, #HEADER
        ldp     x2, x3, [x27, #H_WINDOW]
        ldr     x4, [x27, #H_WINDOW + 16]
        add     x5, sp, #R_CHANGES
        mov     x6, #0
        mov     x7, x2
7:      cbz     x3, 9f
        ldp     x8, x9, [x2], #16
        ldp     x10, x11, [x4], #16
        cmp     x8, x10
        ccmp    x9, x11, #0, eq
        sub     x3, x3, #16
        b.eq    7b
        stp     x10, x11, [x2, #-16]
        add     x6, x6, #1
        cmp     x6, #CHANGES / 2
        b.hi    7b
        sub     x12, x2, x7
        sub     x12, x12, #16
        eor     x8, x8, x10
        eor     x9, x9, x11
        stp     x12, x8, [x5], #16
        stp     x12, x9, [x5], #16
        b       7b
9:      str     x6, [sp, #R_SYSREGS + 17 * 8]

        // What is wanted of memory.
        ldp     x2, x3, [x27, #H_DUMP]
        add     x4, sp, #R_DUMP
10:     cbz     x3, 11f
        ldp     x5, x6, [x2], #16
        stp     x5, x6, [x4], #16
        sub     x3, x3, #16
        b       10b

11:     ldr     x0, [x27, #H_STRIDE]
        mov     x1, sp
        add     x1, x1, x0
        mov     sp, x1
        ldr     x0, [x27, #H_DONE]
        add     x0, x0, #1
        str     x0, [x27, #H_DONE]
        b       next

broken:
        mov     x27, #HEADER
        mov     x0, #-1
        str     x0, [sp]
        mrs     x0, esr_el2
        str     x0, [sp, #8]
        mrs     x0, far_el2
        str     x0, [sp, #16]
        mrs     x0, elr_el2
        str     x0, [sp, #32]
off:    mov     w0, #8
        movk    w0, #0x8400, lsl #16
        smc     #0
        b       .
