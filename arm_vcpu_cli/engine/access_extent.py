"""Which bytes a load or store is about to access, worked out from its word and the registers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.instructions.loadstore import SP, LoadStore, decode_load_store

Access = tuple[int, int]
"""Address and size in bytes."""

_REGISTER_OFFSET: Final = 0x3820_0800, 0x3B20_0C00
"""(value, mask) of words (DDI 0487, C4.1, "Loads and Stores")."""
_STRUCTURES: Final = 0x0C00_0000, 0xBF20_0000
_STORE_EXCLUSIVE: Final = 0x0800_0000, 0x3FC0_0000
_PAIR_EXCLUSIVE_OR_SWAP: Final = 0x0820_0000, 0x3FA0_0000
_PAIR_SWAP: Final = 0x0820_0000, 0xBFA0_0000
_DC_ZVA: Final = 0xD50B_7420, 0xFFFF_FFE0
_ZERO_BLOCK: Final = 64
_TAGGED: Final = 56
_STRUCTURE_REGISTERS: Final = MappingProxyType({0: 4, 2: 4, 4: 3, 6: 3, 7: 1, 8: 2, 10: 2})
"""By opcode, how many registers LD1 to LD4 and ST1 to ST4 of whole registers move."""
_XZR: Final = 31
_WORD: Final = 32


def is_store_exclusive(word: int) -> bool:
    """STXR, STLXR, STXP, STLXP and those of other sizes."""
    return _is(word, _STORE_EXCLUSIVE) and not is_pair_swap(word)


def is_pair_swap(word: int) -> bool:
    """CASP in its four forms."""
    return _is(word, _PAIR_SWAP)


def untagged(address: int) -> int:
    """An address without the tag that its top byte may be."""
    address &= (1 << _TAGGED) - 1
    return address | (0xFF << _TAGGED if address >> _TAGGED - 1 else 0)


def accesses_of(word: int, gpr: Callable[[int], int], sp: int) -> Sequence[Access] | None:
    """The accesses of an instruction; None where its word does not say it. ``gpr`` gives X0 to X30."""
    base = _base(word >> 5 & 0x1F, gpr, sp)
    if _is(word, _STRUCTURES):
        registers = _STRUCTURE_REGISTERS.get(word >> 12 & 0xF)
        return None if registers is None else [(base, registers * _pair_size(word))]
    if _is(word, _PAIR_EXCLUSIVE_OR_SWAP):
        return [(base, _pair_size(word))]
    if _is(word, _DC_ZVA):
        return [((gpr(word & 0x1F) if word & 0x1F != _XZR else 0) & -_ZERO_BLOCK, _ZERO_BLOCK)]
    decoded = decode_load_store(word)
    if not isinstance(decoded, LoadStore):
        return None
    if decoded.offset is not None:
        address = _base(decoded.base, gpr, sp) + (0 if decoded.post_index else decoded.offset)
    elif _is(word, _REGISTER_OFFSET):
        address = base + _register_offset(word, gpr, decoded.transfers[0].size)
    else:
        return None
    return [(address + each.offset & MASK64, each.size) for each in decoded.transfers]


def _base(number: int, gpr: Callable[[int], int], sp: int) -> int:
    return sp if number == SP else gpr(number)


def _pair_size(word: int) -> int:
    return 16 if word >> 30 & 1 else 8


def _register_offset(word: int, gpr: Callable[[int], int], size: int) -> int:
    number, option = word >> 16 & 0x1F, word >> 13 & 7
    value = 0 if number == _XZR else gpr(number)
    if not option & 1:
        value &= (1 << _WORD) - 1
        if option & 4:
            value -= (value >> _WORD - 1) << _WORD
    return value * (size if word >> 12 & 1 else 1)


def _is(word: int, form: tuple[int, int]) -> bool:
    value, mask = form
    return word & mask == value
