// Faults that lead to further faults, each a function to start at (boot.entry of a machine description).
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

        .macro  stack
        adr     x0, stack_top
        mov     sp, x0
        mov     x29, #0
        .endm

        .macro  handled by
        adr     x0, \by
        msr     vbar_el1, x0
        isb
        .endm

        // RAM as it is by blocks, but for the 2 MiB at 0x40200000: those have pages, of which only 0x40210000 to
        // 0x40213fff and 0x40208000 are mapped.  IPS is \ips.
        .macro  mmu ips=0
        adr     x10, root
        adr     x11, level2
        orr     x12, x11, #3
        str     x12, [x10, #8]
        ldr     x12, =0x40000705
        str     x12, [x11]
        adr     x13, level3
        orr     x12, x13, #3
        str     x12, [x11, #8]
        ldr     x12, =0x40210707
        mov     x14, #4
        add     x15, x13, #0x80
1:      str     x12, [x15], #8
        add     x12, x12, #0x1000
        subs    x14, x14, #1
        b.ne    1b
        ldr     x12, =0x40208707
        str     x12, [x13, #0x40]
        msr     ttbr0_el1, x10
        movz    x11, #25
        movk    x11, #0x0099, lsl #16
        movk    x11, #\ips, lsl #32
        msr     tcr_el1, x11
        mov     x11, #0xff00
        msr     mair_el1, x11
        dsb     sy
        tlbi    vmalle1
        dsb     sy
        isb
        mrs     x11, sctlr_el1
        orr     x11, x11, #1
        msr     sctlr_el1, x11
        isb
        .endm

        .global _start
_start:
// The handler reports, and its report reads a null pointer.
case handler_faults
        stack
        handled saving_vectors
        bl      work
        done    handler_faults

case work
        stp     x29, x30, [sp, #-16]!
        mov     x29, sp
        movz    x1, #0xdead, lsl #16
        str     xzr, [x1]
        ldp     x29, x30, [sp], #16
        ret
        .size   work, . - work

case handler
        stp     x29, x30, [sp, #-16]!
        mov     x29, sp
        bl      report
        done    handler

case report
        mov     x2, #0
        ldr     x3, [x2, #0x18]
        ret
        .size   report, . - report

// The handler calls the function that has faulted.
case handler_meets_itself
        stack
        handled meeting_vectors
        bl      print
        done    handler_meets_itself

case print
        stp     x29, x30, [sp, #-16]!
        mov     x29, sp
        movz    x1, #0x0b00, lsl #16
        str     w0, [x1]
        ldp     x29, x30, [sp], #16
        ret
        .size   print, . - print

// Code that ends without a return, in front of zeros.
case runs_on
        stack
        bl      no_return
        done    runs_on
case no_return
        add     x0, x0, #1
        .word   0, 0, 0
        .size   no_return, . - no_return

// A jump to zeros.
case cleared
        stack
        adr     x9, root + 0x100
        blr     x9
        done    cleared

case lock_in_device
        movz    x1, #0x0900, lsl #16
        ldxr    w0, [x1]
        done    lock_in_device

case crooked_lock
        adr     x1, lock
        add     x1, x1, #2
        ldxr    w0, [x1]
        done    crooked_lock

case device_code
        movz    x1, #0x0900, lsl #16
        br      x1
        done    device_code

case device_width
        mmu
        adr     x10, root                       // devices as Normal memory
        mov     x12, #0x705
        str     x12, [x10]
        dsb     sy
        isb
        movz    x1, #0x0900, lsl #16
        dc      zva, x1
        done    device_width

case text_as_pointer
        ldr     x1, =0x0000333231656d61
        ldr     x0, [x1]
        done    text_as_pointer

case flag_without_hafdbs
        mmu
        mrs     x11, tcr_el1
        mov     x12, #1 << 39                   // HA
        orr     x11, x11, x12
        msr     tcr_el1, x11
        adr     x10, root
        ldr     x11, =0x40000305
        str     x11, [x10, #16]
        dsb     sy
        movz    x1, #0x8000, lsl #16
        ldr     x0, [x1, #0x40]
        done    flag_without_hafdbs

// The same with a lock around the report, which takes the exclusive monitor.
case handler_with_lock
        stack
        handled locking_vectors
        bl      work
        done    handler_with_lock

case locking_handler
        adr     x4, lock
1:      ldaxr   w5, [x4]
        mov     w6, #1
        stxr    w7, w6, [x4]
        cbnz    w7, 1b
        b       report_once
        .size   locking_handler, . - locking_handler

// Faults the first time, and hangs the second.
case report_once
        adr     x4, count
        ldr     x5, [x4]
        cbnz    x5, .
        mov     x5, #1
        str     x5, [x4]
        b       report
        .size   report_once, . - report_once

// Twenty handlers inside each other, each with a fault of its own.
case many
        stack
        handled counting_vectors
        movz    x1, #0xdead, lsl #16
        str     xzr, [x1]
        done    many

case counting_handler
        adr     x4, count
        ldr     x5, [x4]
        add     x6, x5, #1
        str     x6, [x4]
        cmp     x5, #20
        b.hs    .
        adr     x7, faults
        add     x7, x7, x5, lsl #2
        br      x7
        .size   counting_handler, . - counting_handler
case faults
        .rept   20
        udf     #1
        .endr
        .size   faults, . - faults

// A thousand faults that are handled, then one that is not.
case storm_before
        stack
        handled skipping_vectors
        mov     x20, #1000
1:      udf     #2
        subs    x20, x20, #1
        b.ne    1b
        handled missing_vectors
        mov     x8, #0
        ldr     x9, [x8, #0x30]
        done    storm_before

// A fault whose handler maps what was missing and returns, then another one: the first is over.
case handled_before
        stack
        mmu
        handled mapping_vectors
        movz    x1, #0x4020, lsl #16
        ldr     x2, [x1]
        handled missing_vectors
        movz    x1, #0x4022, lsl #16
        ldr     x2, [x1]
        done    handled_before

// A recursion without an end that reaches a guard page.
case guard_page
        stack
        mmu
        handled missing_vectors
        movz    x0, #0x4021, lsl #16
        movk    x0, #0x4000
        mov     sp, x0
        mov     x29, #0
        bl      recursive
        done    guard_page

case recursive
        stp     x29, x30, [sp, #-48]!
        mov     x29, sp
        bl      other
        ldp     x29, x30, [sp], #48
        ret
        .size   recursive, . - recursive
case other
        stp     x29, x30, [sp, #-16]!
        mov     x29, sp
        bl      recursive
        ldp     x29, x30, [sp], #16
        ret
        .size   other, . - other

// One function that needs more stack than there is.
case large_frame
        movz    x0, #0x4000, lsl #16
        movk    x0, #0x1000
        mov     sp, x0
        mov     x29, #0
        bl      with_large_frame
        done    large_frame

case with_large_frame
        stp     x29, x30, [sp, #-16]!
        mov     x29, sp
        sub     sp, sp, #0x2000
        str     x0, [sp, #8]
        ret
        .size   with_large_frame, . - with_large_frame

// SP in the middle of nowhere.
case stray_stack
        movz    x0, #0x3000, lsl #16
        mov     sp, x0
        stp     x29, x30, [sp, #-16]!
        done    stray_stack

// Text copied over a function that is called afterwards.
case overwritten
        stack
        adr     x0, text
        adr     x1, victim
        ldp     x2, x3, [x0]
        stp     x2, x3, [x1]
        dsb     sy
        ic      iallu
        dsb     sy
        isb
        bl      victim
        done    overwritten

case victim
        mov     x0, #1
        add     x0, x0, #2
        mov     x1, #3
        add     x1, x1, #4
        ret
        .size   victim, . - victim

// The stack grows down over the code.
case stack_over_code
        adr     x0, before_code + 0x10
        mov     sp, x0
        mov     x0, #0
        mov     x1, #0
        stp     x0, x1, [sp, #-16]!
        dsb     sy
        ic      iallu
        dsb     sy
        isb
        b       before_code
        .size   stack_over_code, . - stack_over_code
case before_code
        nop
        nop
        nop
        nop
        done    before_code

case null_call
        stack
        mov     x8, #0
        blr     x8
        done    null_call

case null_return
        stack
        mov     x30, #0
        ret
        done    null_return

case wild_call
        stack
        movz    x9, #0x7fff, lsl #16
        blr     x9
        done    wild_call

case wild_direct
        stack
        bl      . - 0x1000000
        done    wild_direct

case crooked_stack
        mrs     x0, sctlr_el1
        orr     x0, x0, #8                      // SA
        msr     sctlr_el1, x0
        isb
        adr     x0, stack_top - 8
        mov     sp, x0
        str     x0, [sp]
        mov     x1, #0
        ldr     x0, [x1, #8]
        done    crooked_stack

case crooked_vectors
        stack
        adr     x0, crooked
        msr     vbar_el1, x0
        isb
        mov     x1, #0
        ldr     x0, [x1, #8]
        done    crooked_vectors

case unmapped_vectors
        stack
        movz    x0, #0x7000, lsl #16
        msr     vbar_el1, x0
        isb
        mov     x1, #0
        ldr     x0, [x1, #8]
        done    unmapped_vectors

// Interrupts that find no vector: the virtual timer's, on a GICv3.
case interrupt
        stack
        movz    x1, #0x080b, lsl #16            // redistributor, SGI frame
        mov     w2, #0xffffffff
        str     w2, [x1, #0x80]                 // IGROUPR0
        mov     w2, #1 << 27
        str     w2, [x1, #0x100]                // ISENABLER0
        movz    x1, #0x080a, lsl #16
        str     wzr, [x1, #0x14]                // WAKER
        movz    x1, #0x0800, lsl #16
        mov     w2, #0x37
        str     w2, [x1]                        // CTLR
        mov     x2, #7
        msr     s3_0_c12_c12_5, x2              // ICC_SRE_EL1
        isb
        mov     x2, #0xff
        msr     s3_0_c4_c6_0, x2                // ICC_PMR_EL1
        mov     x2, #1
        msr     s3_0_c12_c12_7, x2              // ICC_IGRPEN1_EL1
        msr     cntv_tval_el0, xzr
        msr     cntv_ctl_el0, x2
        isb
        msr     daifclr, #2
waiting:
        wfi
        b       waiting
        .size   interrupt, . - interrupt

// What a program does that was linked for Linux.
case linux_program
        mov     x0, #0
        mov     x8, #214                        // brk
        svc     #0
        done    linux_program

case exit_group
        mov     x0, #7
        mov     x8, #94
        svc     #0
        done    exit_group

case bound_check
        brk     #0x5512
        done    bound_check
case kasan
        brk     #0x913
        done    kasan
case clang_trap
        brk     #1
        done    clang_trap
case cfi
        brk     #0x8228
        done    cfi
case plain_break
        brk     #0xabc
        done    plain_break

// A page whose address does not fit into TCR_EL1.IPS.
case beyond_ips
        mmu
        adr     x10, root
        ldr     x11, =0x2000000705              // block, 128 GiB
        str     x11, [x10, #16]
        dsb     sy
        movz    x1, #0x8000, lsl #16
        ldr     x0, [x1, #0x40]
        done    beyond_ips

// The same with a table.
case table_beyond_ips
        mmu
        adr     x10, root
        ldr     x11, =0x2000000003
        str     x11, [x10, #16]
        dsb     sy
        movz    x1, #0x8000, lsl #16
        ldr     x0, [x1, #0x40]
        done    table_beyond_ips

// With the MMU off, an address that no CPU has.
case beyond_pa
        mov     x1, #1 << 50
        ldr     x0, [x1]
        done    beyond_pa

// A translation table root that does not fit.
case root_beyond_ips
        mmu
        ldr     x11, =0x2000000000
        msr     ttbr0_el1, x11
        tlbi    vmalle1
        dsb     sy
        isb
        nop
        done    root_beyond_ips

        .ltorg
        .balign 16
text:   .ascii  "Hello, victims!!"
        .macro  vectors name, insn:vararg
        .balign 0x800
        .global \name
        .type   \name, %function
\name:
        .rept   16
        .balign 0x80
        \insn
        .endr
        .balign 0x80
        .size   \name, . - \name
        .endm
        .macro  save_and_handle by
        sub     sp, sp, #256
        stp     x0, x1, [sp]
        mrs     x0, elr_el1
        mrs     x1, spsr_el1
        stp     x0, x1, [sp, #16]
        b       \by
        .endm
        .macro  skip
        mrs     x27, elr_el1
        add     x27, x27, #4
        msr     elr_el1, x27
        eret
        .endm
        .macro  map_page
        adr     x28, level3
        movz    x27, #0x4020, lsl #16
        movk    x27, #0x707
        str     x27, [x28]
        dsb     sy
        eret
        .endm

        vectors saving_vectors, save_and_handle handler
        vectors locking_vectors, save_and_handle locking_handler
        vectors counting_vectors, save_and_handle counting_handler
        vectors skipping_vectors, skip
        vectors mapping_vectors, map_page
        vectors meeting_vectors, save_and_handle print
        vectors missing_vectors, udf #0
        .skip   0x40
crooked:
        .rept   16
        .balign 0x80
        .skip   0x40
        b       .
        .endr

        .balign 4096
lock:   .quad   0
count:  .quad   0
        .balign 4096
root:   .skip   4096
level2: .skip   4096
level3: .skip   4096
        .skip   8192
stack_top:
