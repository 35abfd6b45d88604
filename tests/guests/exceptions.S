// Instructions that raise an exception, one a label.
        .arch   armv8.5-a+memtag
        .include "common.inc"

        case    svc_0, svc #0
        case    svc_max, svc #0xffff
        case    svc_5a7, svc #0x5a7
        case    brk_0, brk #0
        case    brk_max, brk #0xffff
        case    hvc_1, hvc #1
        case    smc_1, smc #1
        case    undefined, udf #0
        case    unallocated, .inst 0x0000beef
        case    hlt_1, hlt #1
        case    semihosting, hlt #0xf000
        case    dcps1, dcps1
        case    read_gic, mrs x3, S3_0_C12_C12_0
        case    write_sgi1r, msr S3_0_C12_C11_5, x3
        case    read_sgi1r, mrs x3, S3_0_C12_C11_5
        case    read_unknown, mrs x3, S3_0_C15_C9_7
        case    read_vbar, mrs x3, vbar_el1
        case    read_hcr, mrs x3, hcr_el2
        case    load, ldr x0, [x1]
        case    store, str x0, [x1]
        case    load_byte, ldrb w0, [x1]
        case    load_x4, ldr x0, [x4]
        case    load_pair, ldp x0, x2, [x1]
        case    load_exclusive, ldxr x0, [x1]
        case    store_exclusive, stxr w0, x2, [x1]
        case    swap, swp x0, x2, [x1]
        case    compare_swap, cas x0, x2, [x1]
        case    clean, dc civac, x1
        case    zero_line, dc zva, x1
        case    instruction_cache, ic ivau, x1
        case    jump, br x1
        case    call, blr x1
        case    nothing, nop
        case    exception_return, eret
        case    translate_read_el1, at s1e1r, x1
        case    translate_write_el1, at s1e1w, x1
        case    translate_read_el0, at s1e0r, x1
        case    translate_write_el0, at s1e0w, x1
        case    invalidate, tlbi vae1, x1

        // Five instructions to step through, and to set a breakpoint on.
        .global line
line:
        add     x5, x5, #1
        add     x5, x5, #1
        cmp     x5, x5
        add     x5, x5, #1
        add     x5, x5, #1
        hvc     #0x100

        // Steps over one emulated load.
        .global step_load
step_load:
        ldr     w0, [x1]
        add     x5, x5, #1
        hvc     #0x100

        // A landing pad that only BTI-guarded pages check; entering it sets PSTATE.BTYPE.
        .global after_branch
after_branch:
        svc     #7
        hvc     #0x100

        // Sets breakpoint 0 to x1 with the control word x2, stops, and goes to where SPSR_EL1 and ELR_EL1 say.
        .global set_breakpoint
set_breakpoint:
        msr     dbgbvr0_el1, x1
        msr     dbgbcr0_el1, x2
        isb
        eret

        .global set_breakpoint_and_stop
set_breakpoint_and_stop:
        msr     dbgbvr0_el1, x1
        msr     dbgbcr0_el1, x2
        isb
        hvc     #0
        eret

        case    read_counter, mrs x3, cntpct_el0
        case    write_timer, msr cntp_cval_el0, x3
        case    write_translation, msr ttbr0_el1, x3
        case    wait, wfi
        case    read_id, mrs x3, id_aa64mmfr0_el1

        // One instruction that a test may replace.
        .global patch
patch:
        mov     x5, #1
        hvc     #0x100
