// Two programs at EL0 and the kernel at EL1 use the FP and SIMD registers; the kernel switches them only when somebody
// else wants them (CPACR_EL1.FPEN).  Each program yields in the middle of its sums, and prints nothing.  At the end the
// kernel prints "sums A B C, traps N", where A and B are the programs' sums and C is its own.
        .arch   armv8-a
        .equ    UART, 0x09000000
        .equ    ROUNDS, 40
        .equ    FP_TRAP, 0x1fe00000             // EC 0x07, IL, ISS 0x1e00000
        .equ    SLOT, 1024                      // of a thread: x19, PC, and at 512 the V registers
        .equ    THREADS, 2

        .text
        .global _start
_start:
        adr     x0, vectors
        msr     vbar_el1, x0
        ldr     x0, =stack_top
        mov     sp, x0
        msr     cpacr_el1, xzr
        isb
        adr     x28, state
        mov     x27, #0                         // the thread that runs
        mov     x26, #-1                        // the one that the registers belong to; 2 is the kernel
        mov     x25, #0                         // traps
        mov     x24, #THREADS                   // threads that are left
        adr     x0, program
        str     x0, [x28, #8]
        str     x0, [x28, #SLOT + 8]
        str     xzr, [x28]
        str     xzr, [x28, #SLOT]
        b       resume

// At EL0: x20 is the number of the thread.  d8 = sum of (number + 1) * i, d9 = i; every other register is in use too.
program:
        add     x0, x20, #1
        scvtf   d10, x0
        fmov    d8, xzr
        fmov    d9, xzr
        fmov    d11, #1.0
        dup     v31.2d, x20
        mov     x19, #ROUNDS
1:      fadd    d9, d9, d11
        svc     #0
        fmadd   d8, d9, d10, d8
        svc     #0
        umov    x1, v31.d[1]
        cmp     x1, x20
        b.ne    2f
        subs    x19, x19, #1
        b.ne    1b
        fcvtzu  x0, d8
        svc     #1
2:      mov     x0, #-1
        svc     #1

// To the next thread: x27.
resume:
        // Whoever has the registers may use them, and nobody else, the kernel included.
        cmp     x26, x27
        mov     x0, #3 << 20
        csel    x0, x0, xzr, eq
        msr     cpacr_el1, x0
        isb
        add     x1, x28, x27, lsl #10
        ldp     x19, x2, [x1]
        msr     elr_el1, x2
        msr     spsr_el1, xzr
        mov     x20, x27
        eret

from_el0:
        mrs     x2, esr_el1
        ldr     w3, =FP_TRAP
        cmp     w2, w3
        b.eq    take
        lsr     w3, w2, #26
        cmp     w3, #0x15
        b.ne    bad
        add     x1, x28, x27, lsl #10
        mrs     x3, elr_el1
        stp     x19, x3, [x1]
        tst     w2, #1
        b.ne    done
        // The kernel has a sum of its own, whenever thread 1 yields.
        cbz     x27, next
        mov     x4, x27
        mov     x27, #2                         // traps here are its own
        cmp     x26, x27
        b.eq    1f
        msr     cpacr_el1, xzr
        isb
1:      fmov    d11, #1.0                       // traps, unless it has the registers
        fadd    d8, d8, d11
        mov     x27, x4
next:   sub     x3, x24, #1
        cbz     x3, resume
        eor     x27, x27, #1
        b       resume

done:   str     x0, [x1, #16]
        sub     x24, x24, #1
        eor     x27, x27, #1
        cbnz    x24, resume
        b       report

// A trap of EL1: the same for the kernel.
from_el1:
        mrs     x2, esr_el1
        ldr     w3, =FP_TRAP
        cmp     w2, w3
        b.ne    bad
take:   add     x25, x25, #1
        mov     x2, #3 << 20
        msr     cpacr_el1, x2
        isb
        tbnz    x26, #63, 1f
        add     x1, x28, x26, lsl #10
        add     x1, x1, #512
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        str     q\n, [x1, #16 * \n]
        .endr
        .irp    n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
        str     q\n, [x1, #16 * \n]
        .endr
1:      add     x1, x28, x27, lsl #10
        add     x1, x1, #512
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        ldr     q\n, [x1, #16 * \n]
        .endr
        .irp    n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
        ldr     q\n, [x1, #16 * \n]
        .endr
        mov     x26, x27
        eret

bad:    adr     x0, bad_text
        bl      print
        b       off

report:
        mov     x27, #2
        cmp     x26, x27
        b.eq    1f
        msr     cpacr_el1, xzr
        isb
1:      fcvtzu  x21, d8
        adr     x0, sums_text
        bl      print
        ldr     x0, [x28, #16]
        bl      print_number
        ldr     x0, [x28, #SLOT + 16]
        bl      print_number
        mov     x0, x21
        bl      print_number
        adr     x0, traps_text
        bl      print
        mov     x0, x25
        bl      print_number
        adr     x0, end_text
        bl      print
off:    mov     w0, #0x84000000
        add     w0, w0, #8
        hvc     #0
        b       .

print:  mov     x9, #UART
1:      ldrb    w1, [x0], #1
        cbz     w1, 2f
        str     w1, [x9]
        b       1b
2:      ret

// " 123"
print_number:
        mov     x9, #UART
        mov     w1, #' '
        str     w1, [x9]
        mov     x3, sp
        mov     x4, x3
        mov     x5, #10
1:      udiv    x6, x0, x5
        msub    x7, x6, x5, x0
        add     w7, w7, #'0'
        strb    w7, [x4, #-1]!
        mov     x0, x6
        cbnz    x0, 1b
2:      ldrb    w1, [x4], #1
        str     w1, [x9]
        cmp     x4, x3
        b.ne    2b
        ret

        .balign 0x800
vectors:
        .org    vectors + 0x200
        b       from_el1
        .org    vectors + 0x400
        b       from_el0
        .org    vectors + 0x800

bad_text:   .asciz  "an exception that is no FP trap\n"
sums_text:  .asciz  "sums"
traps_text: .asciz  ", traps"
end_text:   .asciz  "\n"

        .bss
        .balign 16
state:  .skip   3 * SLOT
stack:  .skip   1024
stack_top:
