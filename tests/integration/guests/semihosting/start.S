/*
 * Begins as the start-up code of C libraries does: the stack is where
 * SYS_HEAPINFO says, and SYS_EXIT ends the guest with what main returns.
 */

        .section .text.start, "ax"
        .globl  _start
_start:
        adr     x1, heap_pointer
        adr     x2, heap
        str     x2, [x1]
        mov     w0, #0x16               // SYS_HEAPINFO
        hlt     #0xf000
        adr     x2, heap
        ldr     x1, [x2, #16]           // stack_base
        mov     sp, x1
        bl      main
        mov     x1, #0x26
        movk    x1, #2, lsl #16         // ADP_Stopped_ApplicationExit
        stp     x1, x0, [sp, #-16]!
        mov     x1, sp
        mov     w0, #0x18               // SYS_EXIT
        hlt     #0xf000
        b       .

/* long call(unsigned operation, void *parameter) */
        .globl  call
call:
        hlt     #0xf000
        ret

        .data
        .balign 8
heap_pointer:
        .quad   0
        .globl  heap
heap:
        .quad   0, 0, 0, 0
