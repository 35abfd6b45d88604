/*
 * The EL1 vector table.  Every entry saves the general-purpose registers,
 * SP_EL0, ELR_EL1 and SPSR_EL1 as a struct exception_frame, calls
 * exception_handler(frame, entry number) and returns to what the frame says
 * then.
 */

#include "exception.h"

    // Arm ARM D1.10.2: entries of 0x80 bytes, the table aligned to 0x800.
    .macro  vector_entry number
    .balign 0x80
    sub     sp, sp, #FRAME_SIZE
    stp     x0, x1, [sp, #FRAME_X0]
    mov     x1, #\number
    b       save_and_handle
    .endm

    .section .text.vectors, "ax"
    .balign 0x800
    .global vectors
    .type   vectors, %function
vectors:
    .irp    number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vector_entry \number
    .endr
    .balign 0x80
    .size   vectors, . - vectors

    .type   save_and_handle, %function
save_and_handle:
    stp     x2, x3, [sp, #FRAME_X0 + 16]
    stp     x4, x5, [sp, #FRAME_X0 + 32]
    stp     x6, x7, [sp, #FRAME_X0 + 48]
    stp     x8, x9, [sp, #FRAME_X0 + 64]
    stp     x10, x11, [sp, #FRAME_X0 + 80]
    stp     x12, x13, [sp, #FRAME_X0 + 96]
    stp     x14, x15, [sp, #FRAME_X0 + 112]
    stp     x16, x17, [sp, #FRAME_X0 + 128]
    stp     x18, x19, [sp, #FRAME_X0 + 144]
    stp     x20, x21, [sp, #FRAME_X0 + 160]
    stp     x22, x23, [sp, #FRAME_X0 + 176]
    stp     x24, x25, [sp, #FRAME_X0 + 192]
    stp     x26, x27, [sp, #FRAME_X0 + 208]
    stp     x28, x29, [sp, #FRAME_X0 + 224]
    mrs     x2, sp_el0
    stp     x30, x2, [sp, #FRAME_X0 + 240]
    mrs     x2, elr_el1
    mrs     x3, spsr_el1
    stp     x2, x3, [sp, #FRAME_ELR]

    // A frame record that leads from the handler to the interrupted code.
    stp     x29, x2, [sp, #FRAME_RECORD]
    add     x29, sp, #FRAME_RECORD

    mov     x0, sp
    bl      exception_handler

    ldp     x2, x3, [sp, #FRAME_ELR]
    msr     elr_el1, x2
    msr     spsr_el1, x3
    ldp     x30, x2, [sp, #FRAME_X0 + 240]
    msr     sp_el0, x2
    ldp     x28, x29, [sp, #FRAME_X0 + 224]
    ldp     x26, x27, [sp, #FRAME_X0 + 208]
    ldp     x24, x25, [sp, #FRAME_X0 + 192]
    ldp     x22, x23, [sp, #FRAME_X0 + 176]
    ldp     x20, x21, [sp, #FRAME_X0 + 160]
    ldp     x18, x19, [sp, #FRAME_X0 + 144]
    ldp     x16, x17, [sp, #FRAME_X0 + 128]
    ldp     x14, x15, [sp, #FRAME_X0 + 112]
    ldp     x12, x13, [sp, #FRAME_X0 + 96]
    ldp     x10, x11, [sp, #FRAME_X0 + 80]
    ldp     x8, x9, [sp, #FRAME_X0 + 64]
    ldp     x6, x7, [sp, #FRAME_X0 + 48]
    ldp     x4, x5, [sp, #FRAME_X0 + 32]
    ldp     x2, x3, [sp, #FRAME_X0 + 16]
    ldp     x0, x1, [sp, #FRAME_X0]
    add     sp, sp, #FRAME_SIZE
    eret
    .size   save_and_handle, . - save_and_handle
