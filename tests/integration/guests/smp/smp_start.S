// Where CPUs start, and the vectors of each.

#include "smp.h"

        .section .text.start, "ax"
        .global _start
        .type   _start, %function
_start:
        adrp    x1, __bss_start
        add     x1, x1, :lo12:__bss_start
        adrp    x2, __bss_end
        add     x2, x2, :lo12:__bss_end
1:      cmp     x1, x2
        b.hs    2f
        stp     xzr, xzr, [x1], #16
        b       1b
2:      adr     x19, smp_first
        b       come_up
        .size   _start, . - _start

        .global smp_entry
        .type   smp_entry, %function
smp_entry:
        adr     x19, smp_other
come_up:
        mrs     x1, mpidr_el1
        and     x20, x1, #0xff
        adrp    x2, smp_cpus
        add     x2, x2, :lo12:smp_cpus
        add     x2, x2, x20, lsl #CPU_SHIFT
        str     x0, [x2, #CPU_BOOT_X0]
        str     x1, [x2, #CPU_BOOT_MPIDR]
        mrs     x1, sctlr_el1
        str     x1, [x2, #CPU_BOOT_SCTLR]
        mrs     x1, daif
        str     x1, [x2, #CPU_BOOT_DAIF]
        mrs     x1, CurrentEL
        str     x1, [x2, #CPU_BOOT_EL]
        mrs     x1, SPSel
        str     x1, [x2, #CPU_BOOT_SPSEL]

        add     x1, x20, #1
        adrp    x2, smp_stacks
        add     x2, x2, :lo12:smp_stacks
        add     x2, x2, x1, lsl #STACK_SHIFT
        mov     sp, x2
        adrp    x2, smp_vectors
        add     x2, x2, :lo12:smp_vectors
        add     x2, x2, x20, lsl #11
        msr     vbar_el1, x2
        mov     x1, #(3 << 20)                  // CPACR_EL1.FPEN
        msr     cpacr_el1, x1
        isb
        mov     x0, x20
        mov     x29, xzr
        mov     x30, xzr
        br      x19
        .size   smp_entry, . - smp_entry

        .macro  entry number
        .balign 0x80
        sub     sp, sp, #FRAME_SIZE
        stp     x0, x1, [sp]
        mov     x1, #\number
        b       save
        .endm

        .text
        .balign 0x800
        .global smp_vectors
smp_vectors:
        .rept   MAX_CPUS
        .balign 0x800
        .irp    number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        entry   \number
        .endr
        .balign 0x80
        .endr

        .type   save, %function
save:
        stp     x2, x3, [sp, #16]
        stp     x4, x5, [sp, #32]
        stp     x6, x7, [sp, #48]
        stp     x8, x9, [sp, #64]
        stp     x10, x11, [sp, #80]
        stp     x12, x13, [sp, #96]
        stp     x14, x15, [sp, #112]
        stp     x16, x17, [sp, #128]
        stp     x18, x19, [sp, #144]
        stp     x20, x21, [sp, #160]
        stp     x22, x23, [sp, #176]
        stp     x24, x25, [sp, #192]
        stp     x26, x27, [sp, #208]
        stp     x28, x29, [sp, #224]
        mrs     x2, elr_el1
        mrs     x3, spsr_el1
        stp     x30, x2, [sp, #240]
        str     x3, [sp, #256]
        mov     x0, sp
        bl      smp_exception
        ldr     x3, [sp, #256]
        ldp     x30, x2, [sp, #240]
        msr     elr_el1, x2
        msr     spsr_el1, x3
        ldp     x28, x29, [sp, #224]
        ldp     x26, x27, [sp, #208]
        ldp     x24, x25, [sp, #192]
        ldp     x22, x23, [sp, #176]
        ldp     x20, x21, [sp, #160]
        ldp     x18, x19, [sp, #144]
        ldp     x16, x17, [sp, #128]
        ldp     x14, x15, [sp, #112]
        ldp     x12, x13, [sp, #96]
        ldp     x10, x11, [sp, #80]
        ldp     x8, x9, [sp, #64]
        ldp     x6, x7, [sp, #48]
        ldp     x4, x5, [sp, #32]
        ldp     x2, x3, [sp, #16]
        ldp     x0, x1, [sp]
        add     sp, sp, #FRAME_SIZE
        eret
        .size   save, . - save

        // smp_hvc(function, x1, x2, x3): a call keeps x18 to x30.
        .global smp_hvc
        .type   smp_hvc, %function
smp_hvc:
        hvc     #0
        ret
        .size   smp_hvc, . - smp_hvc

        // smp_semihosting(operation, parameters)
        .global smp_semihosting
        .type   smp_semihosting, %function
smp_semihosting:
        hlt     #0xf000
        ret
        .size   smp_semihosting, . - smp_semihosting

        .bss
        .balign 16
        .global smp_stacks
smp_stacks:
        .skip   MAX_CPUS << STACK_SHIFT
