"""Where QEMU may say something else: each difference has a name, a reason and a place in the manual (DDI 0487).

A rule excludes no more than it says. Those that are used are counted by name and printed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.fault import FSC_ALIGNMENT
from arm_vcpu_cli.arch.identification.features import announced_features
from arm_vcpu_cli.arch.instructions.insn_features import instruction_feature
from arm_vcpu_cli.arch.registers.sysreg import SysReg, decode_system_move
from arm_vcpu_cli.arch.syndrome.esr import undefined_esr
from tests.fuzz.qemu.cases import Result

FEATURES: Final = "feature"
IDENTIFICATION: Final = "identification"
HALVES: Final = "halves of a register"
LDAPR: Final = "alignment of LDAPR"
EXCLUSIVES: Final = "exclusives of two sizes"
SVE2: Final = "SVE2"
ASSERTION: Final = "QEMU ends"

RULES: Final[Mapping[str, str]] = MappingProxyType(
    {
        FEATURES: "QEMU's max has features that the modelled CPU does not announce (D24.2, ID_AA64*_EL1): instructions "
        "of such a feature are undefined here, and with FEAT_IDST reads of ID registers are trapped with EC 0x18",
        LDAPR: "LDAPR of an address that is not aligned is an alignment fault like LDAR (B2.5.2) as long as there is "
        "no FEAT_LSE2; QEMU 7.2 checks LDAPUR, but not LDAPR",
        EXCLUSIVES: "whether a store-exclusive succeeds after a load-exclusive of another size is up to the "
        "implementation (B2.9.5)",
        SVE2: "QEMU's max has SVE2 and other extensions of SVE (D24.2, ID_AA64ZFR0_EL1), the modelled one has none of "
        "them: their words are undefined",
        HALVES: "an access of 16 bytes is two of 8 (B2.2.1), in any order: FAR_EL1 has the address of the one that "
        "faults first, which may be either half",
        IDENTIFICATION: "the ID registers are those of another implementation: AArch32, EL2 and EL3, RAS and MTE are "
        "hidden from guests (D24.2); tests/fuzz/encodings.py compares them",
        ASSERTION: "QEMU 7.2 fails an assertion of its own on some unallocated words of half-precision SIMD (C4.1.96), "
        "which are undefined",
    }
)

_DATA_ABORT_CLASSES: Final = (0x24, 0x25)
_GROUP, _SVE = 25, 0b0010
_EXCLUSIVE: Final = 0x3F80_0000, 0x0800_0000
_EXCLUSIVE_SIZE: Final = 0xC020_0000
_LDAPR: Final = 0x3FFF_FC00, 0x38BF_C000
_HALF: Final = 8
_TRAPPED_MOVE: Final = 0x18
_EC: Final = 26


class Excuses:
    """The rules for words and programs on one CPU model."""

    def __init__(self, ids: Mapping[SysReg, int]) -> None:
        self._features = announced_features(ids)

    def of(self, words: Sequence[int], at: int, here: Result, there: Result) -> str | None:
        """The rule by which two results of a program at an address may differ, None if they may not."""
        if len({word & _EXCLUSIVE_SIZE for word in words if word & _EXCLUSIVE[0] == _EXCLUSIVE[1]}) > 1:
            return EXCLUSIVES
        word = self._last(words, at, here, there)
        if word is None:
            return None
        return self.of_word(word, here.sysregs["ESR_EL1"], there.sysregs["ESR_EL1"])

    def of_word(self, word: int, ours: int, theirs: int) -> str | None:
        """The same for an instruction, by the syndromes of the exceptions that it takes (0 for none)."""
        feature = instruction_feature(word)
        if ours == undefined_esr() and feature is not None and feature not in self._features:
            return FEATURES
        if ours == undefined_esr() and not theirs and word >> _GROUP & 15 == _SVE and "FEAT_SVE2" not in self._features:
            return SVE2
        move = decode_system_move(word)
        if move is not None and move.is_read and (move.reg.op0, move.reg.op1, move.reg.crn) == (3, 0, 0):
            return FEATURES if ours == undefined_esr() and theirs >> _EC == _TRAPPED_MOVE else IDENTIFICATION
        is_ldapr = word & _LDAPR[0] == _LDAPR[1]
        return LDAPR if is_ldapr and ours >> _EC in _DATA_ABORT_CLASSES and ours & 0x3F == FSC_ALIGNMENT else None

    def of_faults(self, ours: tuple[int, int, int] | None, theirs: tuple[int, int, int] | None) -> str | None:
        """The rule by which two exceptions may differ: ESR_EL1, FAR_EL1 and the place of each."""
        if ours is None or theirs is None or (ours[0], ours[2]) != (theirs[0], theirs[2]):
            return None
        return HALVES if ours[0] >> _EC in _DATA_ABORT_CLASSES and abs(ours[1] - theirs[1]) == _HALF else None

    def _last(self, words: Sequence[int], at: int, here: Result, there: Result) -> int | None:
        """The word at which the two part: where an exception was taken, or the only one."""
        if len(words) == 1:
            return words[0]
        places = [each.sysregs["ELR_EL1"] - at >> 2 for each in (here, there) if each.sysregs["ESR_EL1"]]
        first = min(places, default=-1)
        return words[first] if 0 <= first < len(words) else None
