"""Extension of a loaded value to its register (C6.2, the LDR family)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import MASK64

VALUE_MASKS: Final[Mapping[int, int]] = MappingProxyType({1: 0xFF, 2: 0xFFFF, 4: 0xFFFF_FFFF, 8: MASK64})
"""All bits of a value, by its size in bytes."""
_SIGN: Final = {1: 0x80, 2: 0x8000, 4: 0x8000_0000, 8: 1 << 63}


def extend_load(value: int, size: int, sign_extend: bool, is_64bit: bool) -> int:
    """Return the content of a 64-bit register after a load of ``size`` bytes (1, 2, 4 or 8).

    The value is truncated to its size and extended by zeroes, or by its sign to 32 or 64 bits; a 32-bit destination
    clears the upper half.
    """
    value &= VALUE_MASKS[size]
    if sign_extend and value & _SIGN[size]:
        value |= (VALUE_MASKS[8] if is_64bit else VALUE_MASKS[4]) & ~VALUE_MASKS[size]
    return value
