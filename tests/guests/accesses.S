// Every form of load and store that may hit a device, one a label.  x1 is the address (SP in the sp_ forms).
        .arch   armv8.4-a+rcpc+lse
        .include "common.inc"

        case    ldrb_w, ldrb w0, [x1]
        case    ldrh_w, ldrh w0, [x1]
        case    ldr_w, ldr w0, [x1]
        case    ldr_x, ldr x0, [x1]
        case    ldrsb_w, ldrsb w0, [x1]
        case    ldrsb_x, ldrsb x0, [x1]
        case    ldrsh_w, ldrsh w0, [x1]
        case    ldrsh_x, ldrsh x0, [x1]
        case    ldrsw_x, ldrsw x0, [x1]
        case    ldr_wzr, ldr wzr, [x1]
        case    ldr_xzr, ldr xzr, [x1]
        case    ldr_x30, ldr x30, [x1]
        case    ldr_base, ldr x1, [x1]
        case    ldr_offset, ldr w0, [x1, #0x10]
        case    ldur_w, ldur w0, [x1, #-4]
        case    ldurb_w, ldurb w0, [x1, #-1]
        case    ldursb_x, ldursb x0, [x1, #-1]
        case    ldursw_x, ldursw x0, [x1, #-4]
        case    ldr_register, ldr w0, [x1, x2]
        case    ldr_register_lsl, ldr x0, [x1, x2, lsl #3]
        case    ldr_register_sxtw, ldr w0, [x1, w2, sxtw]
        case    ldr_register_uxtw, ldrh w0, [x1, w2, uxtw #1]
        case    ldr_sp, ldr w0, [sp]
        case    ldr_sp_register, ldr w0, [sp, x2]
        case    ldr_sp_offset, ldr x0, [sp, #8]
        case    ldr_pre, ldr w0, [x1, #8]!
        case    ldr_post, ldr w0, [x1], #8
        case    ldr_x_pre_negative, ldr x0, [x1, #-16]!
        case    ldr_x_post_negative, ldr x0, [x1], #-16
        case    ldrsb_x_post, ldrsb x0, [x1], #1
        case    ldrsh_w_pre, ldrsh w0, [x1, #2]!
        case    ldrsw_x_post, ldrsw x0, [x1], #4
        case    ldr_sp_post, ldr x0, [sp], #16
        case    ldr_sp_pre, ldr x0, [sp, #-16]!
        case    ldr_wzr_post, ldr wzr, [x1], #4

        case    strb_w, strb w0, [x1]
        case    strh_w, strh w0, [x1]
        case    str_w, str w0, [x1]
        case    str_x, str x0, [x1]
        case    str_wzr, str wzr, [x1]
        case    str_xzr, str xzr, [x1]
        case    str_x30, str x30, [x1]
        case    stur_x, stur x0, [x1, #-8]
        case    str_register, str w0, [x1, x2]
        case    str_sp, str w0, [sp]
        case    str_pre, str w0, [x1, #8]!
        case    str_post, str w0, [x1], #8
        case    strb_post, strb w0, [x1], #1
        case    str_sp_pre, str x0, [sp, #-16]!
        case    str_xzr_post, str xzr, [x1], #8

        case    ldp_w, ldp w0, w2, [x1]
        case    ldp_x, ldp x0, x2, [x1]
        case    ldp_x_offset, ldp x0, x2, [x1, #16]
        case    ldp_x_pre, ldp x0, x2, [x1, #16]!
        case    ldp_x_post, ldp x0, x2, [x1], #16
        case    ldp_w_post_negative, ldp w0, w2, [x1], #-8
        case    ldp_xzr, ldp xzr, x2, [x1]
        case    ldp_sp_post, ldp x29, x30, [sp], #16
        case    ldp_base, ldp x1, x2, [x1]
        case    ldpsw_x, ldpsw x0, x2, [x1]
        case    ldpsw_x_post, ldpsw x0, x2, [x1], #8
        case    ldnp_x, ldnp x0, x2, [x1]
        case    stp_w, stp w0, w2, [x1]
        case    stp_x, stp x0, x2, [x1]
        case    stp_x_pre, stp x0, x2, [x1, #-16]!
        case    stp_x_post, stp x0, x2, [x1], #16
        case    stp_xzr, stp xzr, xzr, [x1]
        case    stp_sp_pre, stp x29, x30, [sp, #-16]!
        case    stnp_w, stnp w0, w2, [x1]

        case    ldr_b, ldr b3, [x1]
        case    ldr_h, ldr h3, [x1]
        case    ldr_s, ldr s3, [x1]
        case    ldr_d, ldr d3, [x1]
        case    ldr_q, ldr q3, [x1]
        case    ldr_q31, ldr q31, [x1]
        case    ldur_q, ldur q3, [x1, #-16]
        case    ldr_q_register, ldr q3, [x1, x2, lsl #4]
        case    ldr_d_post, ldr d3, [x1], #8
        case    ldr_q_pre, ldr q3, [x1, #16]!
        case    ldp_s, ldp s3, s4, [x1]
        case    ldp_d, ldp d3, d4, [x1]
        case    ldp_q, ldp q3, q4, [x1]
        case    ldp_q_post, ldp q3, q4, [x1], #32
        case    str_b, str b3, [x1]
        case    str_h, str h3, [x1]
        case    str_s, str s3, [x1]
        case    str_d, str d3, [x1]
        case    str_q, str q3, [x1]
        case    str_q_post, str q3, [x1], #16
        case    stp_d, stp d3, d4, [x1]
        case    stp_q_pre, stp q3, q4, [x1, #-32]!

        case    ldar_w, ldar w0, [x1]
        case    ldar_x, ldar x0, [x1]
        case    ldarb_w, ldarb w0, [x1]
        case    ldapr_w, ldapr w0, [x1]
        case    ldapur_x, ldapur x0, [x1, #-8]
        case    ldapursb_x, ldapursb x0, [x1, #-1]
        case    stlr_w, stlr w0, [x1]
        case    stlr_x, stlr x0, [x1]
        case    stlrh_w, stlrh w0, [x1]
        case    stlur_x, stlur x0, [x1, #-8]
        case    ldtr_w, ldtr w0, [x1]
        case    ldtr_x, ldtr x0, [x1, #8]
        case    ldtrsb_x, ldtrsb x0, [x1]
        case    ldtrsh_w, ldtrsh w0, [x1]
        case    sttr_w, sttr w0, [x1]
        case    sttrb_w, sttrb w0, [x1]

        case    prfm_load, prfm pldl1keep, [x1]
        case    prfm_store, prfm pstl1keep, [x1, x2]

        case    ldxr_x, ldxr x0, [x1]
        case    ldaxr_w, ldaxr w0, [x1]
        case    ldxp_x, ldxp x0, x2, [x1]
        case    stxr_x, stxr w3, x0, [x1]
        case    stlxrb_w, stlxrb w3, w0, [x1]
        case    ldadd_x, ldadd x0, x2, [x1]
        case    ldset_w, ldset w0, w2, [x1]
        case    swp_x, swp x0, x2, [x1]
        case    swpab_w, swpab w0, w2, [x1]
        case    cas_x, cas x0, x2, [x1]
        case    casal_w, casal w0, w2, [x1]
        case    casp_x, casp x2, x3, x4, x5, [x1]
        case    stadd_w, stadd w0, [x1]

        case    ld1, ld1 {v3.16b}, [x1]
        case    ld1_8b, ld1 {v3.8b}, [x1]
        case    ld1_two, ld1 {v3.2d, v4.2d}, [x1], #32
        case    ld1_post_register, ld1 {v3.4s}, [x1], x2
        case    ld2, ld2 {v3.4s, v4.4s}, [x1]
        case    ld2_wrapping, ld2 {v31.2s, v0.2s}, [x1], #16
        case    ld1_single, ld1 {v3.s}[1], [x1]
        case    ld1_first_byte, ld1 {v3.b}[0], [x1], #1
        case    ld1_last_byte, ld1 {v3.b}[15], [x1]
        case    ld2_lane, ld2 {v3.d, v4.d}[1], [x1], #16
        case    ld1r, ld1r {v3.8h}, [x1], #2
        case    ld1r_8b, ld1r {v3.8b}, [x1]
        case    ld2r, ld2r {v3.4s, v4.4s}, [x1]
        case    ld1_sp, ld1 {v3.2d}, [sp], #16
        case    st1, st1 {v3.16b}, [x1]
        case    st1_lane, st1 {v3.h}[5], [x1], #2
        case    st1_post_register, st1 {v3.1d}, [x1], x2
        case    st2, st2 {v3.2s, v4.2s}, [x1], #16
        case    st3_lane, st3 {v3.b, v4.b, v5.b}[2], [x1]
        case    dc_zva, dc zva, x1
        case    dc_civac, dc civac, x1
        case    dc_cvac, dc cvac, x1
        case    dc_cvau, dc cvau, x1
        case    dc_ivac, dc ivac, x1
        case    ic_ivau, ic ivau, x1
