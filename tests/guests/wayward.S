// Guests that go wrong on purpose.  Nothing here ends by itself unless it says so.
        .include "common.inc"

        // Jumps to an address where nothing is.
        .global nowhere
nowhere:
        mov     x1, #0x7000
        lsl     x1, x1, #16
        br      x1

        // Undefined code, and vectors that are wherever VBAR_EL1 says.
        .global undefined_code
undefined_code:
        udf     #0

        // Overwrites its vectors by undefined code, then makes a system call.
        .global overwrite_vectors
overwrite_vectors:
        adr     x1, vectors
        mov     x2, #0x800
1:      str     xzr, [x1], #8
        subs    x2, x2, #8
        b.ne    1b
        svc     #0

        // Makes one system call.
        .global call_system
call_system:
        svc     #0
        b       .

        // A push onto a stack that is a device or nothing.
        .global push
push:
        stp     x29, x30, [sp, #-16]!
        b       .

        .global spin
spin:
        b       .

        // Wants x0 to x3 and makes the call; stops afterwards.
        .global call_hvc
call_hvc:
        hvc     #0
        mov     x4, x0
        mov     x0, #0
        hvc     #0x100

        .global call_smc
call_smc:
        smc     #0
        mov     x4, x0
        mov     x0, #0
        hvc     #0x100

        // Vectors whose handler faults: on the stack that it saves to, and by a system call.
        .balign 0x800
        .global pushing_vectors
pushing_vectors:
        .irp    slot, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        .balign 0x80
        stp     x0, x1, [sp, #-32]!
        udf     #0
        .endr

        .balign 0x800
        .global calling_vectors
calling_vectors:
        .irp    slot, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        .balign 0x80
        svc     #0
        .endr
        .balign 0x80

        // Starts a CPU that does not exist, keeps the answer in x19, and switches itself off.
        .global start_unknown_cpu
start_unknown_cpu:
        movz    x0, #0xc400, lsl #16
        movk    x0, #3
        mov     x1, #0x55
        adr     x2, spin
        mov     x3, #0
        hvc     #0
        mov     x19, x0
        movz    x0, #0x8400, lsl #16
        movk    x0, #8
        hvc     #0
        b       .
