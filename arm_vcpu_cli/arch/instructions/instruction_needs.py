"""What an instruction word needs from a CPU: the feature that introduced it, by its encoding (DDI 0487, C4, C5)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.instructions.instruction_table import INSTRUCTIONS
from arm_vcpu_cli.arch.registers.sysreg import SysReg, decode_system_move

HVC: Final = "HVC"
SMC: Final = "SMC"
ERET: Final = "ERET"
HINTS: Final = "hints"
SYSTEM: Final = "system register"
"""The need of patterns without a feature: calls, returns, hints of PAuth and BTI, moves."""


class Encoding(NamedTuple):
    """Instruction words of one kind: those whose bits under ``mask`` are ``value``, except those in ``but_not``.

    ``need`` is the feature that introduced them, or one of the kinds above.
    """

    need: str
    mnemonic: str
    mask: int
    value: int
    but_not: tuple[int, int] | None = None

    def matches(self, word: int) -> bool:
        """Return whether a word matches."""
        if word & self.mask != self.value:
            return False
        return self.but_not is None or word & self.but_not[0] != self.but_not[1]

    @property
    def fixed_bits(self) -> int:
        """The number of fixed bits n: one in 2**n random words matches."""
        return self.mask.bit_count()


_LINE: Final = re.compile(r"([0-9a-f]{8}) ([0-9a-f]{8}) (.+?)(?: unless ([0-9a-f]{8}) ([0-9a-f]{8}))?")


def _parse(need: str, text: str) -> list[Encoding]:
    found = []
    for line in text.strip().splitlines():
        parts = _LINE.fullmatch(line.strip())
        if parts is None:
            raise ValueError(f"{need}: {line!r} is no encoding")
        but_not = (int(parts[4], 16), int(parts[5], 16)) if parts[4] else None
        found.append(Encoding(need, parts[3], int(parts[1], 16), int(parts[2], 16), but_not))
    return found


ENCODINGS: Final = (
    *(encoding for need, text in INSTRUCTIONS.items() for encoding in _parse(need, text)),
    Encoding(HVC, "hvc", 0xFFE0_001F, 0xD400_0002),
    Encoding(SMC, "smc", 0xFFE0_001F, 0xD400_0003),
    Encoding(ERET, "eret", 0xFFFF_FFFF, 0xD69F_03E0),
    Encoding(HINTS, "pauth hint", 0xFFFF_FF1F, 0xD503_231F),
    Encoding(HINTS, "pauth hint", 0xFFFF_FF3F, 0xD503_211F),
    Encoding(HINTS, "pauth hint", 0xFFFF_FFFF, 0xD503_20FF),
    Encoding(HINTS, "bti", 0xFFFF_FF3F, 0xD503_241F),
    Encoding(SYSTEM, "mrs or msr", 0xFFD0_0000, 0xD510_0000),
    Encoding(SYSTEM, "sys", 0xFFD8_0000, 0xD508_0000),
)
"""All encodings to search for."""

_REGISTER_FEATURES: Final = tuple(
    (re.compile(pattern), feature)
    for pattern, feature in (
        (r"RNDR(RS)?", "FEAT_RNG"),
        (r"AP[DIG][AB]?Key\w+", "FEAT_PAuth"),
        (r"ZCR_EL\d", "FEAT_SVE"),
        (r"SMCR_EL\d|SMPRI\w*|SVCR|TPIDR2_EL0|SMIDR_EL1", "FEAT_SME"),
        (r"GCSCR\w*|GCSPR\w*", "FEAT_GCS"),
        (r"FPMR", "FEAT_FPMR"),
        (r"PAN", "FEAT_PAN"),
        (r"LOR(C|N|EA|ID|SA)_EL1", "FEAT_LOR"),
        (r"UAO", "FEAT_UAO"),
        (r"DIT", "FEAT_DIT"),
        (r"SSBS", "FEAT_SSBS2"),
        (r"TCO|RGSR_EL1|GCR_EL1|TFSR\w*|GMID_EL1|DC (I|C|CI)?G\w+", "FEAT_MTE2"),
        (r"ALLINT|ICC_NMIAR1_EL1", "FEAT_NMI"),
        (r"ERR\w+_EL1|ERX\w+_EL1|DISR_EL1|VDISR_EL2|VSESR_EL2", "FEAT_RAS"),
        (r"CNTPCTSS_EL0|CNTVCTSS_EL0", "FEAT_ECV"),
        (r"SCXTNUM_EL\d", "FEAT_CSV2_2"),
        (r"TCR2_EL\d", "FEAT_TCR2"),
        (r"SCTLR2_EL\d", "FEAT_SCTLR2"),
        (r"PIRE0_EL1|PIR_EL1", "FEAT_S1PIE"),
        (r"POR_EL[01]", "FEAT_S1POE"),
        (r"S2POR_EL1", "FEAT_S2POE"),
        (r"MAIR2_EL1|AMAIR2_EL1", "FEAT_AIE"),
        (r"RCWS?MASK_EL1", "FEAT_THE"),
        (r"ACCDATA_EL1", "FEAT_LS64_ACCDATA"),
        (r"PFAR_EL1", "FEAT_PFAR"),
        (r"CCSIDR2_EL1", "FEAT_CCIDX"),
        (r"PMS\w+_EL1|PMB\w+_EL1", "FEAT_SPE"),
        (r"PM\w+_EL[01]", "FEAT_PMUv3"),
        (r"AM(C|E|USER)\w+_EL0", "FEAT_AMUv1"),
        (r"TRFCR_EL1", "FEAT_TRF"),
        (r"TRB\w+_EL1", "FEAT_TRBE"),
        (r"BRB .*", "FEAT_BRBE"),
        (r"ICC_\w+_EL1", "FEAT_GICv3"),
        (r"DC C\w*VADP", "FEAT_DPB2"),
        (r"DC CVAP", "FEAT_DPB"),
        (r"(CFP|DVP|CPP) RCTX", "FEAT_SPECRES"),
        (r"COSP RCTX", "FEAT_SPECRES2"),
        (r"AT S1E1[RW]P", "FEAT_PAN2"),
        (r"TLBI \w+NXS", "FEAT_XS"),
        (r"TLBI R\w+", "FEAT_TLBIRANGE"),
        (r"TLBI \w+OS", "FEAT_TLBIOS"),
    )
)
"""The first pattern that matches a register's name gives its feature."""

_EL2_OP1: Final = (4, 5)
_EL3_OP1: Final = (6, 7)


class SystemUse(NamedTuple):
    """The object of a move or system instruction: its name, the lowest Exception level, and its feature."""

    name: str
    level: int
    feature: str | None


def system_use(word: int) -> SystemUse | None:
    """Return what MRS, MSR, SYS and SYSL in an instruction word need; None for other words and for unnamed
    registers."""
    move = decode_system_move(word)
    if move is None:
        return None
    name = move.reg.name
    if name == move.reg.generic_name:
        return None
    return SystemUse(name, _level(move.reg), register_feature(name))


def register_feature(name: str) -> str | None:
    """Return the feature that a register or system instruction needs; None if every CPU has it."""
    return next((feature for pattern, feature in _REGISTER_FEATURES if pattern.fullmatch(name)), None)


def _level(reg: SysReg) -> int:
    """Return the lowest Exception level, 2 or 3, at which the encoding exists; 0 for those of EL1 and EL0."""
    return 2 if reg.op1 in _EL2_OP1 else 3 if reg.op1 in _EL3_OP1 else 0
