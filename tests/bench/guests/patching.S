/* The loops of patch. They use no stack and no data but a constant, so that the pages they write hold only code. */

#define MOVZ_X0 0xd2800000 /* movz x0, #0; the number is in bits 5 to 20 */

    // Writes `movz x0, #n` to \slot and calls it, for n = x0 - 1 down to 0; x0 = the sum of what it returned.
    .macro  patch_loop slot
    mov     x9, x30
    mov     x10, x0
    mov     x11, xzr
    adrp    x12, \slot
    add     x12, x12, :lo12:\slot
    ldr     w13, =MOVZ_X0
1:  sub     x10, x10, #1
    and     w14, w10, #0xffff
    orr     w14, w13, w14, lsl #5
    str     w14, [x12]
    dc      cvau, x12
    dsb     ish
    ic      ivau, x12
    dsb     ish
    isb
    bl      \slot
    add     x11, x11, x0
    cbnz    x10, 1b
    mov     x0, x11
    ret     x9
    .endm

    .section .text.patching, "ax"
    .balign 4096
    .global patch_same_page
    .type   patch_same_page, %function
patch_same_page:
    patch_loop same_slot
same_slot:
    udf     #0
    ret
    .size   patch_same_page, . - patch_same_page

    .balign 64
    .global patch_other_page
    .type   patch_other_page, %function
patch_other_page:
    patch_loop other_slot
    .size   patch_other_page, . - patch_other_page
    .ltorg

    .balign 4096
other_slot:
    udf     #0
    ret
    .balign 4096
