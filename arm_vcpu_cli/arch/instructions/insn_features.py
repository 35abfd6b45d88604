"""The feature that an instruction needs, to explain why a CPU does not know it (DDI 0487, C4.1 and C6.2)."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.identification.features import FEATURES
from arm_vcpu_cli.arch.instructions.instruction_needs import ENCODINGS, register_feature
from arm_vcpu_cli.arch.registers.sysreg import decode_system_move

_OF_FEATURES: Final = tuple(encoding for encoding in ENCODINGS if encoding.need in FEATURES)


def instruction_feature(word: int) -> str | None:
    """Return the feature without which a 32-bit instruction is undefined; None if none is known."""
    for encoding in _OF_FEATURES:
        if encoding.matches(word):
            return encoding.need
    move = decode_system_move(word)
    return None if move is None else register_feature(move.reg.name)
