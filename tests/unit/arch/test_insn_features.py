"""The feature that an instruction needs; words from the GNU assembler."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.identification.features import FEATURES
from arm_vcpu_cli.arch.instructions.insn_features import instruction_feature

NEEDS = {
    0xF8200041: "FEAT_LSE",  # ldadd x0, x1, [x2]
    0x38E08041: "FEAT_LSE",  # swpalb w0, w1, [x2]
    0xC8A07C41: "FEAT_LSE",  # cas x0, x1, [x2]
    0x48207C82: "FEAT_LSE",  # casp x0, x1, x2, x3, [x4]
    0xF8BFC020: "FEAT_LRCPC",  # ldapr x0, [x1]
    0xD9404020: "FEAT_LRCPC2",  # ldapur x0, [x1, #4]
    0x19010440: "FEAT_MOPS",  # cpyfp [x0]!, [x1]!, x2!
    0xD65F0BFF: "FEAT_PAuth",  # retaa
    0xD71F0801: "FEAT_PAuth",  # braa x0, x1
    0xDAC10020: "FEAT_PAuth",  # pacia x0, x1
    0xF8200420: "FEAT_PAuth",  # ldraa x0, [x1]
    0xD5382100: "FEAT_PAuth",  # mrs x0, apiakeylo_el1
    0x9ADF1020: "FEAT_MTE",  # irg x0, x1
    0xD9200820: "FEAT_MTE",  # stg x0, [x1]
    0x9AC24C20: "FEAT_CRC32",  # crc32x w0, w1, x2
    0xD500401F: "FEAT_FlagM",  # cfinv
    0xD500405F: "FEAT_FlagM2",  # axflag
    0xD500403F: "FEAT_FlagM2",  # xaflag
    0xD50330FF: "FEAT_SB",  # sb
    0xD500417F: "FEAT_UAO",  # msr uao, #1
    0xD500419F: "FEAT_PAN",  # msr pan, #1
    0xD503415F: "FEAT_DIT",  # msr dit, #1
    0x2518E3E0: "FEAT_SVE",  # ptrue p0.b
    0xA400A000: "FEAT_SVE",  # ld1b {z0.b}, p0/z, [x0]
    0xD503477F: "FEAT_SME",  # smstart
    0x4E829420: "FEAT_DotProd",  # sdot v0.4s, v1.16b, v2.16b
    0x2FA2E020: "FEAT_DotProd",  # udot v0.2s, v1.8b, v2.4b[1]
    0x1EE22820: "FEAT_FP16",  # fadd h0, h1, h2
    0x4E421420: "FEAT_FP16",  # fadd v0.8h, v1.8h, v2.8h
    0x1E7E0000: "FEAT_JSCVT",  # fjcvtzs w0, d0
    0xCE628020: "FEAT_SHA512",  # sha512h q0, q1, v2.2d
    0xCE020C20: "FEAT_SHA3",  # eor3 v0.16b, v1.16b, v2.16b, v3.16b
    0xD53B2400: "FEAT_RNG",  # mrs x0, rndr
    0xD50B7C20: "FEAT_DPB",  # dc cvap, x0
}

EVERYWHERE = (
    0xF9400020,  # ldr x0, [x1]
    0xF8626820,  # ldr x0, [x1, x2]
    0xF8404420,  # ldr x0, [x1], #4
    0xA9BF07E0,  # stp x0, x1, [sp, #-16]!
    0xC85FFC20,  # ldaxr x0, [x1]
    0xC87F0440,  # ldxp x0, x1, [x2]
    0x8B020020,  # add x0, x1, x2
    0x9B020C20,  # madd x0, x1, x2, x3
    0x9AC20820,  # udiv x0, x1, x2
    0x9AC22020,  # lsl x0, x1, x2
    0xDAC00C20,  # rev x0, x1
    0xFA420020,  # ccmp
    0x9A020020,  # adc x0, x1, x2
    0x14000000,  # b .
    0xD61F0000,  # br x0
    0xD65F03C0,  # ret
    0xD69F03E0,  # eret
    0xD4000001,  # svc #0
    0xD5033FDF,  # isb
    0xD5034FDF,  # msr daifset, #15
    0xD50040BF,  # msr spsel, #0
    0x1E622820,  # fadd d0, d1, d2
    0x4E22D420,  # fadd v0.4s, v1.4s, v2.4s
    0x4C407000,  # ld1 {v0.16b}, [x0]
    0x4E628C20,  # cmeq v0.8h, v1.8h, v2.8h
    0x4E629420,  # mla v0.8h, v1.8h, v2.8h
    0x1E23C000,  # fcvt h0, s0
    0xD5380000,  # mrs x0, midr_el1
    0x00000000,
    0xFFFFFFFF,
)


@pytest.mark.parametrize("word", NEEDS, ids=hex)
def test_an_extension_has_its_feature(word: int) -> None:
    assert instruction_feature(word) == NEEDS[word]


@pytest.mark.parametrize("word", EVERYWHERE, ids=hex)
def test_what_every_cpu_has_needs_none(word: int) -> None:
    assert instruction_feature(word) is None


def test_every_name_is_one_of_the_architecture() -> None:
    assert set(NEEDS.values()) <= set(FEATURES)
