// Guests that take very many exceptions and do get on.
        .include "common.inc"

        // x0 undefined instructions, each skipped by a handler that leaves everything else alone; EL0 or EL1.
        .global skip_undefined
skip_undefined:
1:      udf     #0
        subs    x0, x0, #1
        b.ne    1b
        b       finish

        // Two loads in turn, each from where nothing is (the vectors skip both).
        .global skip_loads
skip_loads:
1:      ldr     x2, [x1]
        ldr     x2, [x1]
        subs    x0, x0, #1
        b.ne    1b
        b       finish

        // Touches x0 pages upwards from x1 by one store; the vectors of `paging_vectors` map each when it faults.
        .global touch_upwards
touch_upwards:
1:      str     x0, [x1]
        add     x1, x1, x2
        subs    x0, x0, #1
        b.ne    1b
        b       finish

        // Pushes x0 times on a stack that grows down, by one instruction; x2 bytes a time.
        .global touch_downwards
touch_downwards:
1:      str     x0, [sp]
        sub     sp, sp, x2
        subs    x0, x0, #1
        b.ne    1b
        b       finish

        // A load that faults, with one of the two sets of retrying vectors below.
        .global retry
retry:
        ldr     x2, [x1]
        b       finish

        .global finish
finish:
        svc     #1

        // Skip the instruction, except for an SVC: stop.
        .balign 0x800
        .global skipping_vectors
skipping_vectors:
        .irp    slot, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        .balign 0x80
        mrs     x19, esr_el1
        lsr     x19, x19, #26
        cmp     x19, #0x15
        b.eq    stop
        mrs     x19, elr_el1
        add     x19, x19, #4
        msr     elr_el1, x19
        eret
        .endr

        // A page fault maps FAR_EL1's page in the level-3 tables that start at x20 (linear in the VA, base x21).
        .balign 0x800
        .global paging_vectors
paging_vectors:
        .irp    slot, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        .balign 0x80
        mrs     x19, esr_el1
        lsr     x19, x19, #26
        cmp     x19, #0x15
        b.eq    stop
        b       map_page
        .endr
        .balign 0x80
map_page:
        mrs     x19, far_el1
        sub     x19, x19, x21
        lsr     x19, x19, #12
        str     x22, [x20, x19, lsl #3]         // the same page behind every address
        add     x23, x23, #1
        dsb     sy
        eret

        // Retries the instruction x24 times, then skips it.
        .balign 0x800
        .global retrying_vectors
retrying_vectors:
        .irp    slot, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        .balign 0x80
        mrs     x19, esr_el1
        lsr     x19, x19, #26
        cmp     x19, #0x15
        b.eq    stop
        b       try_again
        .endr
        .balign 0x80
try_again:
        subs    x24, x24, #1
        b.ne    1f
        mrs     x19, elr_el1
        add     x19, x19, #4
        msr     elr_el1, x19
1:      eret

        // The same with the count in memory at x25: no register differs from one fault to the next.
        .balign 0x800
        .global counting_vectors
counting_vectors:
        .irp    slot, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        .balign 0x80
        msr     tpidr_el1, x19
        mrs     x19, esr_el1
        lsr     x19, x19, #26
        cmp     x19, #0x15
        b.eq    stop
        b       count_and_try_again
        .endr
        .balign 0x80
count_and_try_again:
        ldr     x19, [x25]
        subs    x19, x19, #1
        str     x19, [x25]
        b.ne    1f
        mrs     x19, elr_el1
        add     x19, x19, #4
        msr     elr_el1, x19
1:      mrs     x19, tpidr_el1
        eret

        .global stop
stop:
        mov     x0, #0
        hvc     #0x200
        b       stop
