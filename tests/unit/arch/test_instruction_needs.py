"""The feature that each instruction needs: words from an assembler (DDI 0487, C4)."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.identification.architecture import SINCE
from arm_vcpu_cli.arch.instructions.instruction_needs import (
    ENCODINGS,
    ERET,
    HINTS,
    HVC,
    SMC,
    SYSTEM,
    SystemUse,
    register_feature,
    system_use,
)
from arm_vcpu_cli.arch.registers.sysreg import SystemMove, encode_system_move, lookup, sysregs


def needs(word: int) -> set[str]:
    return {each.need for each in ENCODINGS if each.matches(word)}


@pytest.mark.parametrize(
    ("word", "feature"),
    [
        (0xC8E0FC41, "FEAT_LSE"),  # casal x0, x1, [x2]
        (0xB8E00041, "FEAT_LSE"),  # ldaddal w0, w1, [x2]
        (0xF8208041, "FEAT_LSE"),  # swp x0, x1, [x2]
        (0x6FA2D020, "FEAT_RDM"),  # sqrdmlah v0.4s, v1.4s, v2.s[1]
        (0x1EE22820, "FEAT_FP16"),  # fadd h0, h1, h2
        (0x4F321020, "FEAT_FP16"),  # fmla v0.8h, v1.8h, v2.h[3]
        (0x4FA2E020, "FEAT_DotProd"),  # sdot v0.4s, v1.16b, v2.4b[1]
        (0x6E22CC20, "FEAT_FHM"),  # fmlal2 v0.4s, v1.4h, v2.4h
        (0x9AC25C20, "FEAT_CRC32"),  # crc32cx w0, w1, x2
        (0x4E286820, "FEAT_AES"),  # aesmc v0.16b, v1.16b
        (0x4EE2E020, "FEAT_PMULL"),  # pmull2 v0.1q, v1.2d, v2.2d
        (0x5E280820, "FEAT_SHA1"),  # sha1h s0, s1
        (0x5E025020, "FEAT_SHA256"),  # sha256h2 q0, q1, v2.4s
        (0xCE628820, "FEAT_SHA512"),  # sha512su1 v0.2d, v1.2d, v2.2d
        (0xCE220C20, "FEAT_SHA3"),  # bcax v0.16b, v1.16b, v2.16b, v3.16b
        (0xCE429C20, "FEAT_SM3"),  # sm3tt2b v0.4s, v1.4s, v2.s[1]
        (0xCE62C820, "FEAT_SM4"),  # sm4ekey v0.4s, v1.4s, v2.4s
        (0x6E42EC20, "FEAT_BF16"),  # bfmmla v0.4s, v1.8h, v2.8h
        (0x4E829C20, "FEAT_I8MM"),  # usdot v0.4s, v1.16b, v2.16b
        (0xDAC10020, "FEAT_PAuth"),  # pacia x0, x1
        (0xD65F0BFF, "FEAT_PAuth"),  # retaa
        (0xD71F0801, "FEAT_PAuth"),  # braa x0, x1
        (0xF8201420, "FEAT_PAuth"),  # ldraa x0, [x1, #8]
        (0x1E7E0020, "FEAT_JSCVT"),  # fjcvtzs w0, d1
        (0x6F823820, "FEAT_FCMA"),  # fcmla v0.4s, v1.4s, v2.s[1], #90
        (0x38BFC020, "FEAT_LRCPC"),  # ldaprb w0, [x1]
        (0xD9408020, "FEAT_LRCPC2"),  # ldapur x0, [x1, #8]
        (0xD500401F, "FEAT_FlagM"),  # cfinv
        (0xD500405F, "FEAT_FlagM2"),  # axflag
        (0x1E69C020, "FEAT_FRINTTS"),  # frint64x d0, d1
        (0x9ADF1020, "FEAT_MTE"),  # irg x0, x1
        (0xD9201C20, "FEAT_MTE"),  # stg x0, [x1, #16]!
        (0xD9A00820, "FEAT_MTE"),  # st2g x0, [x1]
        (0x91810420, "FEAT_MTE"),  # addg x0, x1, #16, #1
        (0xD9200020, "FEAT_MTE2"),  # stzgm x0, [x1]
        (0xD5031023, "FEAT_WFxT"),  # wfit x3
        (0xF820B082, "FEAT_LS64_V"),  # st64bv x0, x2, [x4]
        (0x19010440, "FEAT_MOPS"),  # cpyfp [x0]!, [x1]!, x2!
        (0x54000010, "FEAT_HBC"),  # bc.eq .
        (0xDAC01820, "FEAT_CSSC"),  # ctz x0, x1
        (0x11CC0C20, "FEAT_CSSC"),  # umin w0, w1, #3
        (0xD500419F, "FEAT_PAN"),  # msr pan, #1
        (0xD503415F, "FEAT_DIT"),  # msr dit, #1
        (0xD50330FF, "FEAT_SB"),  # sb
        (0x2518E3E0, "FEAT_SVE"),  # ptrue p0.b
        (0x25A11C00, "FEAT_SVE"),  # whilelo p0.s, x0, x1
        (0xA540A000, "FEAT_SVE"),  # ld1w {z0.s}, p0/z, [x0]
        (0xD503477F, "FEAT_SME"),  # smstart
        (0x04BF5820, "FEAT_SME"),  # rdsvl x0, #1
        (0xD4000002, HVC),  # hvc #0
        (0xD4000003, SMC),  # smc #0
        (0xD69F03E0, ERET),  # eret
        (0xD503233F, HINTS),  # paciasp
        (0xD50324DF, HINTS),  # bti jc
        (0xD5384240, SYSTEM),  # mrs x0, CurrentEL
        (0xD50B7424, SYSTEM),  # dc zva, x4
    ],
)
def test_an_instruction_needs_what_brought_it_and_nothing_else(word: int, feature: str) -> None:
    assert needs(word) == {feature}


ARMV8_0 = """
    f9400020 c85f7c20 c89ffc20 88dffc20 f8626820 a9bf07e0 69400440 91000420 b1400420 9ac20820 9ac22020 dac01020
    5ac00020 d65f03c0 d61f0020 d63f0040 54000001 b4000000 1e222820 1ee24020 1ee2c020 1f420c20 4fa29020 0f528020
    0e22e020 6e228c20 4ee0f820 4e040c20 4f000420 d4000001 d503201f d503205f d5033fdf d5033f9f f9800000 d5033f5f
    d50342df d50041bf 9a820020 fa410000 93c20c20 9b020c20""".split()
"""Loads, exclusives, arithmetic, branches, FP and SIMD, barriers as GNU as makes them for Armv8.0; two of them, FCVT
from half precision, are older than the rest of its arithmetic."""


@pytest.mark.parametrize("word", ARMV8_0)
def test_what_every_cpu_has_needs_nothing(word: str) -> None:
    assert needs(int(word, 16)) == set()


def test_every_encoding_is_one_of_a_feature_that_there_is_and_says_enough_to_be_told_from_data() -> None:
    for encoding in ENCODINGS:
        assert encoding.value & ~encoding.mask == 0, encoding
        assert encoding.matches(encoding.value) or encoding.but_not is not None
        if encoding.need.startswith("FEAT_"):
            assert encoding.need in SINCE
            assert encoding.fixed_bits >= 8


def move(name: str, *, is_read: bool = True) -> int:
    return encode_system_move(SystemMove(lookup(name), 0, is_read))


@pytest.mark.parametrize(
    ("name", "level", "feature"),
    [
        ("SCTLR_EL1", 0, None),
        ("HCR_EL2", 2, None),
        ("SP_EL1", 2, None),
        ("TTBR0_EL12", 2, None),
        ("SCR_EL3", 3, None),
        ("CNTPS_CTL_EL1", 3, None),
        ("RNDR", 0, "FEAT_RNG"),
        ("APIAKeyLo_EL1", 0, "FEAT_PAuth"),
        ("ZCR_EL1", 0, "FEAT_SVE"),
        ("PMCCNTR_EL0", 0, "FEAT_PMUv3"),
        ("PMBPTR_EL1", 0, "FEAT_SPE"),
        ("ICC_IAR1_EL1", 0, "FEAT_GICv3"),
        ("LORC_EL1", 0, "FEAT_LOR"),
        ("TLBI VAE1OS", 0, "FEAT_TLBIOS"),
        ("TLBI RVAE1OS", 0, "FEAT_TLBIRANGE"),
        ("TLBI VAE1ISNXS", 0, "FEAT_XS"),
        ("TLBI VAE1IS", 0, None),
        ("TLBI ALLE1", 2, None),
        ("AT S12E1R", 2, None),
        ("AT S1E1RP", 0, "FEAT_PAN2"),
        ("DC CVAP", 0, "FEAT_DPB"),
        ("DC CVADP", 0, "FEAT_DPB2"),
        ("DC CIGVAC", 0, "FEAT_MTE2"),
        ("DC CIVAC", 0, None),
        ("CurrentEL", 0, None),
        ("ID_AA64ISAR0_EL1", 0, None),
        ("MPIDR_EL1", 0, None),
    ],
)
def test_a_register_has_a_level_and_may_have_a_feature(name: str, level: int, feature: str | None) -> None:
    assert system_use(move(name)) == SystemUse(name, level, feature)


def test_what_is_no_move_or_has_no_name_needs_nothing() -> None:
    assert system_use(0xD503201F) is None
    assert system_use(move("S3_0_C15_C2_1")) is None


def test_features_of_registers_are_features_that_there_are() -> None:
    found = {register_feature(name) for name in sysregs()} - {None}
    assert found <= set(SINCE)
