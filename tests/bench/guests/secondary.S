/* Where a CPU starts that PSCI switches on with its number in x0: on a stack of its own, in secondary_main(number). */

    .text
    .global secondary
    .type   secondary, %function
secondary:
    adrp    x1, secondary_stacks
    add     x1, x1, :lo12:secondary_stacks
    add     x2, x0, #1
    add     x1, x1, x2, lsl #12
    mov     sp, x1
    mov     x29, xzr
    mov     x30, xzr
    b       secondary_main
    .size   secondary, . - secondary
