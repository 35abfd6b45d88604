"""Decodes LD1 to LD4, LD1R to LD4R and ST1 to ST4 (DDI 0487, C4.1, "Advanced SIMD load/store multiple structures" and
"single structure"): one transfer for each element, in the order of the pseudocode."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.instructions.transfers import Decoded, LoadStore, Transfer

_POST_INDEXED: Final = 1 << 23
_SINGLE: Final = 1 << 24
_LOAD: Final = 1 << 22
_BIT21: Final = 1 << 21
_RM: Final = 0x1F
_REGISTERS: Final = 32
_REPLICATE: Final = 3
_DOUBLEWORD: Final = 3
_SHAPES: Final = MappingProxyType(
    {0b0000: (1, 4), 0b0010: (4, 1), 0b0100: (1, 3), 0b0110: (3, 1), 0b0111: (1, 1), 0b1000: (1, 2), 0b1010: (2, 1)}
)
"""By opcode: the repetitions of a structure's registers, and the number of registers in a structure."""


def decode_structure(insn: int) -> Decoded:
    """Decode a word with Q at bit 30 and bits 31, 29 to 25 those of this group; None if it is unallocated."""
    rm, post = insn >> 16 & _RM, bool(insn & _POST_INDEXED)
    if rm and not post:
        return None
    transfers = _single(insn) if insn & _SINGLE else _multiple(insn)
    if transfers is None:
        return None
    by_register = post and rm != _RM
    return LoadStore(
        bool(insn & _LOAD),
        transfers,
        insn >> 5 & 31,
        writeback=sum(each.size for each in transfers) if post and not by_register else None,
        post_index=post,
        added_register=rm if by_register else None,
    )


def structure_registers(insn: int) -> int:
    """Return the number of registers in a structure, the number in the mnemonic."""
    if insn & _SINGLE:
        return ((insn >> 13 & 1) << 1 | insn >> 21 & 1) + 1
    return _SHAPES[insn >> 12 & 15][1]


def _multiple(insn: int) -> tuple[Transfer, ...] | None:
    """Return all elements of the registers."""
    shape, size, q = _SHAPES.get(insn >> 12 & 15), insn >> 10 & 3, insn >> 30 & 1
    if shape is None or insn & _BIT21:
        return None
    repeats, registers = shape
    if size == _DOUBLEWORD and not q and registers > 1:
        return None
    width = 1 << size
    places = [
        (insn + repeat + register, element * width)
        for repeat in range(repeats)
        for element in range((16 if q else 8) // width)
        for register in range(registers)
    ]
    return tuple(_element(register, number * width, width, at=at) for number, (register, at) in enumerate(places))


def _single(insn: int) -> tuple[Transfer, ...] | None:
    """Return one element of each register, or one that a load copies to all elements."""
    scale, size, s, q = insn >> 14 & 3, insn >> 10 & 3, insn >> 12 & 1, insn >> 30 & 1
    registers = structure_registers(insn)
    if scale == _REPLICATE:
        if s or not insn & _LOAD:
            return None
        width = 1 << size
        copies = (16 if q else 8) // width
        return tuple(_element(insn + each, each * width, width, copies=copies) for each in range(registers))
    index = q << 3 | s << 2 | size
    if scale == 2 and size & 1:
        if s or size & 2:
            return None
        scale, index = _DOUBLEWORD, q
    elif index & (1 << scale) - 1:
        return None
    else:
        index >>= scale
    width = 1 << scale
    return tuple(_element(insn + each, each * width, width, at=index * width, lane=True) for each in range(registers))


def _element(register: int, offset: int, size: int, *, at: int = 0, lane: bool = False, copies: int = 1) -> Transfer:
    """Return an element; only the low five bits of ``register`` count."""
    return Transfer(
        register % _REGISTERS,
        offset,
        size,
        vector=True,
        sign_extend=False,
        is_64bit=False,
        at=at,
        lane=lane,
        copies=copies,
    )
