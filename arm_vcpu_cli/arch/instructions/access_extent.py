"""Computes the bytes that a load or store is about to access, from its word and the registers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.instructions.loadstore import decode_load_store
from arm_vcpu_cli.arch.instructions.transfers import SP, LoadStore

Access = tuple[int, int]
"""Address and size in bytes."""

_STORE_EXCLUSIVE: Final = 0x0800_0000, 0x3FC0_0000
"""(value, mask) of words (DDI 0487, C4.1, "Loads and Stores")."""
_PAIR_EXCLUSIVE_OR_SWAP: Final = 0x0820_0000, 0x3FA0_0000
_PAIR_SWAP: Final = 0x0820_0000, 0xBFA0_0000
_DC_ZVA: Final = 0xD50B_7420, 0xFFFF_FFE0
_ZERO_BLOCK: Final = 64
_TAGGED: Final = 56
_PAIR: Final = 2
_XZR: Final = 31


def is_store_exclusive(word: int) -> bool:
    """Return whether it is STXR, STLXR, STXP, STLXP or one of another size."""
    return _is(word, _STORE_EXCLUSIVE) and not is_pair_swap(word)


def is_pair_swap(word: int) -> bool:
    """Return whether it is one of the four forms of CASP."""
    return _is(word, _PAIR_SWAP)


def untagged(address: int) -> int:
    """Return an address without the tag that its top byte may be."""
    address &= (1 << _TAGGED) - 1
    return address | (0xFF << _TAGGED if address >> _TAGGED - 1 else 0)


def accesses_of(word: int, gpr: Callable[[int], int], sp: int) -> Sequence[Access] | None:
    """Return the accesses of an instruction; None if its word does not define them. ``gpr`` returns X0 to X30."""
    if _is(word, _PAIR_EXCLUSIVE_OR_SWAP):
        number = word >> 5 & 0x1F
        return [(sp if number == SP else gpr(number), 16 if word >> 30 & 1 else 8)]
    if _is(word, _DC_ZVA):
        return [((gpr(word & 0x1F) if word & 0x1F != _XZR else 0) & -_ZERO_BLOCK, _ZERO_BLOCK)]
    decoded = decode_load_store(word)
    if not isinstance(decoded, LoadStore) or decoded.literal is not None:
        return None
    address = decoded.address(gpr, sp, 0)
    if address is None:
        return None
    if len(decoded.transfers) > _PAIR:
        return [(address, sum(each.size for each in decoded.transfers))]
    return [(address + each.offset & MASK64, each.size) for each in decoded.transfers]


def _is(word: int, form: tuple[int, int]) -> bool:
    value, mask = form
    return word & mask == value
