// One access to a register of the timer or to a random number at a time. The counters are written by their encodings:
// the assembler knows that they can't be.
        .include "common.inc"

        .macro  register name, encoding
        case    read_\name, mrs x0, \encoding
        case    write_\name, msr \encoding, x0
        .endm

        register cntfrq, cntfrq_el0
        register cntpct, s3_3_c14_c0_1
        register cntvct, s3_3_c14_c0_2
        register cntp_ctl, cntp_ctl_el0
        register cntp_cval, cntp_cval_el0
        register cntp_tval, cntp_tval_el0
        register cntv_ctl, cntv_ctl_el0
        register cntv_cval, cntv_cval_el0
        register cntv_tval, cntv_tval_el0
        register cntkctl, cntkctl_el1
        register rndr, s3_3_c2_c4_0
        register rndrrs, s3_3_c2_c4_1

        case    read_cntvct_to_xzr, mrs xzr, cntvct_el0
        case    write_cntv_cval_from_xzr, msr cntv_cval_el0, xzr

        // CNTKCTL_EL1 is x0, then to EL0 at x1 by way of an ERET.
        .global set_cntkctl
set_cntkctl:
        msr     cntkctl_el1, x0
        msr     elr_el1, x1
        msr     spsr_el1, x2
        eret

        // A random number into x0, the flags that come with it into x1; they are all set before.
        .global random
random:
        mov     x1, #0xf0000000
        msr     nzcv, x1
        mrs     x0, s3_3_c2_c4_0
        mrs     x1, nzcv
        hvc     #0x100
