// Ways to go wrong, each a function to start at (boot.entry of a machine description).  None of them ends by itself.
        .arch   armv8.5-a+lse+fp

        .macro  case name
        .balign 64
        .global \name
        .type   \name, %function
\name:
        .endm

        .macro  done name
        b       .
        .size   \name, . - \name
        .endm

        // Stage 1 with a single table: the first GiB as it is and never executable, RAM as the descriptor says, and
        // nothing else; both halves use it.
        .macro  mmu descriptor, tcr_high=0x19, sctlr=1
        adr     x10, root
        movz    x11, #0x0701, lsl #0
        movk    x11, #0x0060, lsl #48
        str     x11, [x10]
        ldr     x11, =(0x40000000 + \descriptor)
        str     x11, [x10, #8]
        msr     ttbr0_el1, x10
        msr     ttbr1_el1, x10
        movz    x11, #25                        // T0SZ: 39 bits
        movk    x11, #\tcr_high, lsl #16        // T1SZ, EPD1
        msr     tcr_el1, x11
        mov     x11, #0xff00                    // Attr0 is Device-nGnRnE, Attr1 Normal write-back
        msr     mair_el1, x11
        dsb     sy
        tlbi    vmalle1
        dsb     sy
        isb
        mrs     x11, sctlr_el1
        ldr     x12, =\sctlr
        orr     x11, x11, x12
        msr     sctlr_el1, x11
        isb
        .endm

        .equ    NORMAL, 0x705                   // block, AttrIndx 1, inner shareable, AF
        .equ    DEVICE, 0x701
        .equ    UNUSED_AF, 0x305
        .equ    READ_ONLY, 0x785
        .equ    OF_EL0, 0x745
        .equ    GUARDED, NORMAL | 1 << 50
        .equ    MMU, 1
        .equ    ALIGNED, 3                      // SCTLR_EL1.A and M
        .equ    WXN, 1 << 19 | 1
        .equ    PAUTH, 1 << 31 | 1              // EnIA

        .macro  stack
        adr     x0, stack_top
        mov     sp, x0
        .endm

        .macro  handled by
        adr     x0, \by
        msr     vbar_el1, x0
        isb
        .endm

        .global _start
_start:
case null_read
        mov     x1, #0
        ldr     x0, [x1, #8]
        done    null_read

case null_call
        stack
        mov     x8, #0
        blr     x8
        done    null_call

case no_stack
        stp     x29, x30, [sp, #-16]!
        done    no_stack

case deep
        movz    x0, #0x4000, lsl #16
        add     x0, x0, #0x100
        mov     sp, x0
        mov     x29, #0
        bl      recursive
        done    deep

case recursive
        stp     x29, x30, [sp, #-32]!
        mov     x29, sp
        bl      recursive
        ldp     x29, x30, [sp], #32
        ret
        .size   recursive, . - recursive

case atomic
        stack
        ldadd   x0, x1, [sp]
        done    atomic

case tagging
        .inst   0x9adf1020                      // irg x0, x1
        done    tagging

case el2_register
        mrs     x0, hcr_el2
        done    el2_register

case floating
        fadd    d0, d1, d2
        done    floating

case crooked_stack
        mrs     x0, sctlr_el1
        orr     x0, x0, #8                      // SA
        msr     sctlr_el1, x0
        isb
        adr     x0, stack_top - 8
        mov     sp, x0
        ldr     x0, [sp]
        done    crooked_stack

case crooked_pc
        adr     x0, crooked_pc
        add     x0, x0, #2
        br      x0
        done    crooked_pc

case illegal_return
        mov     x0, #9                          // EL2h
        msr     spsr_el1, x0
        adr     x0, hang
        msr     elr_el1, x0
        eret
        done    illegal_return

case aarch32
        mov     x0, #0x10
        msr     spsr_el1, x0
        adr     x0, 1f
        msr     elr_el1, x0
        eret
1:      .inst   0xef000000                      // svc #0
        done    aarch32

case trap
        brk     #1000
        done    trap

case behind_ram
        movz    x1, #0x6000, lsl #16
        str     xzr, [x1]
        done    behind_ram

case no_device
        movz    x1, #0x0b00, lsl #16
        ldr     w0, [x1]
        done    no_device

case returning
        handled return_vectors
        udf     #7
        done    returning

case bad_handler_stack
        handled saving_vectors
        movz    x0, #0x3000, lsl #16
        mov     sp, x0
        udf     #7
        done    bad_handler_stack

case hang_in_handler
        handled hanging_vectors
        mov     x1, #0
        ldr     x0, [x1, #8]
        done    hang_in_handler

case hang
        done    hang

case wait
        wfi
        b       wait
        .size   wait, . - wait

case wait_for_memory
        adr     x1, root
1:      ldr     x0, [x1]
        cbz     x0, 1b
        done    wait_for_memory

case unknown_calls
        movz    x0, #0x8400, lsl #16
        movk    x0, #0x1b
        hvc     #0
        movz    x0, #0xc200, lsl #16
        hvc     #5
        done    unknown_calls

case cpu_off
        movz    x0, #0x8400, lsl #16
        movk    x0, #2
        hvc     #0
        done    cpu_off

case unmapped
        mmu     NORMAL
        movz    x1, #0x8000, lsl #16
        ldr     x0, [x1, #0x40]
        done    unmapped

case not_an_address
        mmu     NORMAL
        ldr     x1, =0x6b6f6f426e654f21
        ldr     x0, [x1]
        done    not_an_address

case upper_disabled
        mmu     NORMAL, 0x99
        mov     x1, #-4096
        ldr     x0, [x1]
        done    upper_disabled

case table_nowhere
        mmu     NORMAL
        movz    x1, #0x3000, lsl #16
        orr     x1, x1, #3
        str     x1, [x10, #16]
        dsb     sy
        movz    x1, #0x8000, lsl #16
        ldr     x0, [x1]
        done    table_nowhere

case no_access_flag
        mmu     UNUSED_AF
        done    no_access_flag

case read_only
        mmu     READ_ONLY
        adr     x1, root
        str     x0, [x1]
        done    read_only

case writable_code
        mmu     NORMAL, 0x19, WXN
        done    writable_code

case user_code
        mmu     OF_EL0
        done    user_code

case never_executable
        mmu     NORMAL
        movz    x0, #0x1000, lsl #16
        br      x0
        done    never_executable

case unaligned
        mmu     NORMAL, 0x19, ALIGNED
        adr     x1, root
        ldr     x0, [x1, #1]
        done    unaligned

case no_landing_pad
        mmu     GUARDED
        adr     x0, hang
        blr     x0
        done    no_landing_pad

case bad_return
        mmu     NORMAL, 0x19, PAUTH
        adr     x30, hang
        mov     x0, #0x1234
        mov     sp, x0
        paciasp
        mov     x0, #0x5678
        mov     sp, x0
        autiasp
        ret
        done    bad_return

        .ltorg
        .macro  vectors name, insn:vararg
        .balign 0x800
        .global \name
        .type   \name, %function
\name:
        .rept   16
        .balign 0x80
        \insn
        b       .
        .endr
        .balign 0x80
        .size   \name, . - \name
        .endm

        vectors return_vectors, eret
        vectors saving_vectors, stp x0, x1, [sp, #-16]!
        vectors hanging_vectors, nop

        .balign 4096
root:   .skip   4096
        .skip   4096
stack_top:
