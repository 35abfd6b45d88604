// Mistakes whose visible end misleads, each a function to start at (boot.entry).
        .arch   armv8-a

        .equ    CPU_ON, 0xc4000003
        .equ    nowhere, 0x10
        .equ    ram, 0x40000000
        .equ    GICD, 0x08000000
        .equ    GICR, 0x080a0000
        .equ    UART, 0x09000000

        .macro  case name
        .balign 64
        .global \name
        .type   \name, %function
\name:
        .endm

        .macro  done name
        .size   \name, . - \name
        .endm

        .macro  vectors_at address
        adr     x9, \address
        msr     vbar_el1, x9
        isb
        .endm

        .macro  access_nothing
        movz    x1, #0xdead, lsl #16
        str     x1, [x1]
        .endm

        // CPU 1 starts at an address; this one waits for the flag.
        .macro  await_other entry, cpu=1
        ldr     x0, =CPU_ON
        mov     x1, #\cpu
        ldr     x2, =\entry
        hvc     #0
        adr     x1, flag
1:      ldr     w0, [x1]
        cbz     w0, 1b
        .endm

        // A GICv3 with INTID 27 enabled in Group 1, and the virtual timer that raises it in a microsecond.
        .macro  timer
        ldr     x1, =GICD
        mov     w0, #0x12
        str     w0, [x1]
        ldr     x1, =GICR + 0x10000
        mov     w0, #-1
        str     w0, [x1, #0x80]
        mov     w0, #1 << 27
        str     w0, [x1, #0x100]
        mov     x0, #0xff
        msr     s3_0_c4_c6_0, x0                // ICC_PMR_EL1
        mov     x0, #1
        msr     s3_0_c12_c12_7, x0              // ICC_IGRPEN1_EL1
        mov     x0, #62
        msr     cntv_tval_el0, x0
        mov     x0, #1
        msr     cntv_ctl_el0, x0
        .endm

        .global _start
_start:
        b       .

case vectors_askew
        vectors_at askew
        access_nothing
        done    vectors_askew

case svc_before_vectors
        svc     #5
        done    svc_before_vectors

case endless_timer
        timer
        mov     x0, #-1
        msr     cntv_cval_el0, x0
        wfi
        done    endless_timer

case masking_uart
        timer
        msr     cntv_ctl_el0, xzr
        ldr     x1, =GICD
        mov     w0, #1 << 1                     // INTID 33
        str     w0, [x1, #0x84]
        str     w0, [x1, #0x104]
        ldr     x2, =UART
        mov     w0, #'x'
        str     w0, [x2]
        wfi
        done    masking_uart

case masking_clock
        timer
        msr     cntv_ctl_el0, xzr
        ldr     x1, =GICD
        mov     w0, #1 << 2                     // INTID 34
        str     w0, [x1, #0x84]
        str     w0, [x1, #0x104]
        wfi
        done    masking_clock

case fails_in_interrupt
        vectors_at table
        timer
        msr     daifclr, #2
        wfi
        b       .
        done    fails_in_interrupt

case fails_before_interrupt
        vectors_at table
        timer
        access_nothing
        done    fails_before_interrupt

case lost_sgi
        timer
        msr     cntv_ctl_el0, xzr
        msr     cntv_cval_el0, xzr
        movz    x0, #0x0500, lsl #16            // SGI 5 to Aff0 3
        orr     x0, x0, #1 << 3
        msr     s3_0_c12_c11_5, x0              // ICC_SGI1R_EL1
        wfi
        done    lost_sgi

case no_such_cpu
        await_other looping, 0x100
        done    no_such_cpu

case no_such_address
        await_other nowhere
        done    no_such_address

case starts_in_the_tree
        await_other ram
        done    starts_in_the_tree

case other_fails
        await_other failing
        done    other_fails

case other_fails_and_waits
        await_other failing_to_wait
        done    other_fails_and_waits

case other_loops
        await_other looping
        done    other_loops

case other_waits
        await_other waiting
        done    other_waits

case no_walks
        mov     x0, #25 | 1 << 7                // EPD0
        b       mmu_on
        done    no_walks

case few_bits
        mov     x0, #36
        b       mmu_on
        done    few_bits

case no_table
        mov     x0, #25
        movk    x0, #25, lsl #16                // T1SZ
        bl      mmu_on
        mov     x1, #-4096
        ldr     x1, [x1]
        done    no_table

case table_nowhere
        mov     x0, #25
        bl      mmu_on
        mov     x1, #0x80000000
        ldr     x1, [x1]
        done    table_nowhere

case jumps_to_text
        ldr     x0, =0x4141414141414141
        br      x0
        done    jumps_to_text

case udf_0
        nop
        udf     #0
        nop
        done    udf_0

case jumps_behind
        adr     x0, behind
        br      x0
        done    jumps_behind

case udf
        nop
        udf     #7
        done    udf

case returns
        ret
        done    returns
behind: .skip   64

// With TCR_EL1 in x0; RAM is mapped by a block of 1 GiB.
mmu_on:
        adr     x10, level1
        msr     ttbr0_el1, x10
        msr     tcr_el1, x0
        mov     x11, #0xff00
        msr     mair_el1, x11
        isb
        mrs     x11, sctlr_el1
        orr     x11, x11, #1
        msr     sctlr_el1, x11
        isb
        ret

failing:
        vectors_at table
        access_nothing

failing_to_wait:
        vectors_at idle_table
        access_nothing

looping:
        b       .

waiting:
        msr     daifclr, #2
1:      wfi
        b       1b

        .balign 2048
table:
        .rept   5
        b       .
        .balign 128
        .endr
        access_nothing                          // IRQ with SP_EL1
        .balign 128
        .rept   10
        b       .
        .balign 128
        .endr
idle_table:
        .rept   16
1:      wfi
        b       1b
        .balign 128
        .endr
        .skip   0x100
askew:
        .rept   16
        b       .
        .balign 128
        .endr

        .balign 4096
level1: .quad   0, 0x40000705                   // Normal, AF, inner shareable, of EL1
        .quad   0x90000003                      // a table where nothing is
        .balign 4096
flag:   .word   0
