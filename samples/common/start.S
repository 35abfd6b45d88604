/*
 * Entry at EL1h with the MMU off, interrupts masked and x0 = address of the
 * device tree: makes a stack, clears .bss, installs the vectors if the sample
 * has any, and calls main(device tree).  When main returns, the machine is
 * powered off.
 */

    .weak   vectors

    .section .text.start, "ax"
    .global _start
    .type   _start, %function
_start:
    adrp    x1, __stack_top
    add     x1, x1, :lo12:__stack_top
    mov     sp, x1

    adrp    x1, __bss_start
    add     x1, x1, :lo12:__bss_start
    adrp    x2, __bss_end
    add     x2, x2, :lo12:__bss_end
.Lclear_bss:
    cmp     x1, x2
    b.hs    .Lbss_is_clear
    stp     xzr, xzr, [x1], #16
    b       .Lclear_bss
.Lbss_is_clear:

    // Undefined (and so 0) in a sample that is linked without vectors.S.
    ldr     x1, =vectors
    msr     vbar_el1, x1
    isb

    // A frame pointer of 0 ends the call chain.
    mov     x29, xzr
    mov     x30, xzr
    bl      main
    bl      psci_system_off
.Lhalt:
    wfi
    b       .Lhalt
    .size   _start, . - _start
