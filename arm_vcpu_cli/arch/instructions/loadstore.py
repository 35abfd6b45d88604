"""Decodes loads and stores from the instruction word (DDI 0487, C4.1, "Loads and Stores").

A hypervisor needs this if the syndrome of a data abort does not describe the instruction (ISV = 0): pairs, SIMD and
floating-point registers, structures, write-back. Instructions that cannot be executed access by access (exclusives,
atomics) are named and left to the caller. The decoder knows every class of the A64 load/store space up to FEAT_MOPS and
FEAT_LRCPC3; unallocated encodings of these classes are not loads or stores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.arch.instructions.structures import decode_structure
from arm_vcpu_cli.arch.instructions.transfers import SP, Decoded, LoadStore, RegisterOffset, Transfer, Unemulated
from arm_vcpu_cli.arch.registers.sysreg import SystemMove, encode_system_move, lookup
from arm_vcpu_cli.record import Record


class _Width(Record):
    """How a size and opc pair moves a register."""

    is_load: bool
    size: int
    vector: bool = False
    sign_extend: bool = False
    is_64bit: bool = False

    def transfer(self, register: int, offset: int = 0) -> Transfer:
        return Transfer(register, offset, self.size, self.vector, self.sign_extend, self.is_64bit)


def _signed(value: int, bits: int) -> int:
    sign = 1 << bits - 1
    return (value ^ sign) - sign


def _rt(insn: int) -> int:
    return insn & 31


def _rn(insn: int) -> int:
    return insn >> 5 & 31


def _imm9(insn: int) -> int:
    return _signed(insn >> 12 & 0x1FF, 9)


def _is_vector(insn: int) -> bool:
    return bool(insn >> 26 & 1)


def _width(insn: int) -> _Width | None:
    """Decode a single-register form by size (31:30), V (26) and opc (23:22); None: prefetch or unallocated."""
    size, opc = insn >> 30, insn >> 22 & 3
    if _is_vector(insn):
        scale = (opc & 2) << 1 | size
        return _Width(bool(opc & 1), 1 << scale, vector=True) if scale <= 4 else None
    if opc < 2:
        return _Width(opc == 1, 1 << size, is_64bit=size == 3)
    if size == 3 or (size == 2 and opc == 3):
        return None
    return _Width(True, 1 << size, sign_extend=True, is_64bit=opc == 2)


def _is_prefetch(insn: int) -> bool:
    return insn >> 30 == 3 and not _is_vector(insn) and insn >> 22 & 3 == 2


def _with_offset(insn: int, offset: int | None) -> Decoded:
    """Decode a single-register form without write-back; size 3 with opc 2 is a prefetch here."""
    if _is_prefetch(insn):
        return Unemulated("prefetch")
    width = _width(insn)
    if width is None:
        return None
    return LoadStore(width.is_load, (width.transfer(_rt(insn)),), _rn(insn), offset=offset)


def _unsigned_immediate(insn: int) -> Decoded:
    width = _width(insn)
    return _with_offset(insn, (insn >> 10 & 0xFFF) * (1 if width is None else width.size))


def _unscaled(insn: int) -> Decoded:
    return _with_offset(insn, _imm9(insn))


def _register_offset(insn: int) -> Decoded:
    if not insn >> 14 & 1:
        return None
    if _is_prefetch(insn):
        return Unemulated("prefetch")
    width = _width(insn)
    if width is None:
        return None
    scale = width.size.bit_length() - 1 if insn >> 12 & 1 else 0
    index = RegisterOffset(insn >> 16 & 31, insn >> 13 & 7, scale)
    return LoadStore(width.is_load, (width.transfer(_rt(insn)),), _rn(insn), offset=None, index=index)


def _indexed(insn: int) -> Decoded:
    """Decode immediate pre-indexed (bit 11 set) and post-indexed."""
    width = _width(insn)
    if width is None:
        return None
    imm, post = _imm9(insn), not insn >> 11 & 1
    return LoadStore(
        width.is_load,
        (width.transfer(_rt(insn)),),
        _rn(insn),
        writeback=imm,
        post_index=post,
        offset=0 if post else imm,
    )


def _unprivileged(insn: int) -> Decoded:
    width = _width(insn)
    if width is None or width.vector:
        return None
    transfers = (width.transfer(_rt(insn)),)
    return LoadStore(width.is_load, transfers, _rn(insn), offset=_imm9(insn), unprivileged=True)


def _literal(insn: int) -> Decoded:
    opc = insn >> 30
    if _is_vector(insn):
        width = _Width(True, 4 << opc, vector=True) if opc < 3 else None
    elif opc == 3:
        return Unemulated("prefetch")
    else:
        width = _Width(True, 8 if opc == 1 else 4, sign_extend=opc == 2, is_64bit=opc > 0)
    if width is None:
        return None
    place = _signed(insn >> 5 & 0x7FFFF, 19) << 2
    return LoadStore(True, (width.transfer(_rt(insn)),), SP, offset=None, literal=place)


def _pair(insn: int) -> Decoded:
    """Decode LDP, STP, LDPSW, LDNP, STNP. Bits 24:23: 0 non-temporal, 1 post-indexed, 2 offset, 3 pre-indexed."""
    opc, mode, is_load = insn >> 30, insn >> 23 & 3, bool(insn >> 22 & 1)
    if opc == 3:
        return None
    if _is_vector(insn):
        width = _Width(is_load, 4 << opc, vector=True)
    elif opc == 1:
        if mode == 0:
            return None
        if not is_load:
            return Unemulated("memory tagging")
        width = _Width(True, 4, sign_extend=True, is_64bit=True)
    else:
        width = _Width(is_load, 8 if opc else 4, is_64bit=bool(opc))
    imm = _signed(insn >> 15 & 0x7F, 7) * width.size
    second = insn >> 10 & 31
    return LoadStore(
        is_load,
        (width.transfer(_rt(insn)), width.transfer(second, width.size)),
        _rn(insn),
        writeback=imm if mode & 1 else None,
        post_index=mode == 1,
        offset=0 if mode == 1 else imm,
    )


def _exclusive_or_ordered(insn: int) -> Decoded:
    """Decode exclusives, the ordered LDAR and STLR, and compare-and-swap, by o2 (23), L (22) and o1 (21)."""
    ordered, pair_or_cas = insn >> 23 & 1, insn >> 21 & 1
    if not ordered:
        return Unemulated("atomic" if pair_or_cas and not insn >> 31 else "exclusive")
    if pair_or_cas:
        return Unemulated("atomic")
    size = insn >> 30
    width = _Width(bool(insn >> 22 & 1), 1 << size, is_64bit=size == 3)
    return LoadStore(width.is_load, (width.transfer(_rt(insn)),), _rn(insn), ordered=True)


def _unprivileged_exclusive(insn: int) -> Decoded:
    """Decode FEAT_LSUI: LDTXR, STTXR, CAST and CASPT."""
    return Unemulated("atomic" if insn >> 23 & 1 or not insn >> 31 else "exclusive")


def _ordered_unscaled(insn: int) -> Decoded:
    """Decode LDAPUR and STLUR, which include no prefetch."""
    width = None if _is_prefetch(insn) else _width(insn)
    if width is None:
        return None
    return LoadStore(width.is_load, (width.transfer(_rt(insn)),), _rn(insn), offset=_imm9(insn), ordered=True)


def _atomic(insn: int) -> Decoded:
    """Decode the atomic memory operations by A (23), R (22), o3 (15) and opc (14:12), including LDAPR."""
    operation = insn >> 12 & 15
    if _is_vector(insn) or operation < 8:
        return Unemulated("atomic")
    if operation == 0b1100:
        size = insn >> 30
        if insn >> 22 & 3 != 0b10:
            return None
        width = _Width(True, 1 << size, is_64bit=size == 3)
        return LoadStore(True, (width.transfer(_rt(insn)),), _rn(insn), ordered=True)
    if insn >> 30 == 3 and operation in (0b1001, 0b1010, 0b1011, 0b1101):
        return Unemulated("64-byte access")
    return Unemulated("atomic") if operation < 0b1100 else None


def _ordered_pair(insn: int) -> Decoded:
    """Decode FEAT_LRCPC3: LDIAPP and STILP, and with bit 23 set LDAPR and STLR with write-back of the base."""
    if not insn >> 31:
        return None
    return Unemulated("load-acquire with write-back" if insn >> 23 & 1 else "load-acquire pair")


def _authenticated(insn: int) -> Decoded:
    """Decode LDRAA and LDRAB. The base is authenticated first, so that only the core knows the address."""
    transfers = (_Width(True, 8, is_64bit=True).transfer(_rt(insn)),)
    return LoadStore(True, transfers, _rn(insn), offset=None, writes_address=bool(insn >> 11 & 1))


def _always(kind: str) -> Callable[[int], Decoded]:
    answer = Unemulated(kind)
    return lambda _insn: answer


class _Class(Record):
    mask: int
    value: int
    decode: Callable[[int], Decoded]


def _cache_instruction(name: str, kind: str) -> _Class:
    """Return the class of a data cache instruction that writes memory, with any Rt."""
    return _Class(0xFFFFFFE0, encode_system_move(SystemMove(lookup(name), rt=0, is_read=False)), _always(kind))


# Tried in this order. Bits 28:25 are x1x0 for all of A64's loads and stores except those of SVE and SME, and DC ZVA.
_CLASSES: Final = (
    _Class(0x3B000000, 0x39000000, _unsigned_immediate),
    _Class(0x3A000000, 0x28000000, _pair),
    _Class(0x3B200C00, 0x38000000, _unscaled),
    _Class(0x3B200400, 0x38000400, _indexed),
    _Class(0x3B200C00, 0x38000800, _unprivileged),
    _Class(0x3B200C00, 0x38200800, _register_offset),
    _Class(0x3B000000, 0x18000000, _literal),
    _Class(0x3F000000, 0x08000000, _exclusive_or_ordered),
    _Class(0x3F000000, 0x09000000, _unprivileged_exclusive),
    _Class(0x3B200C00, 0x38200000, _atomic),
    _Class(0xFF200400, 0xF8200400, _authenticated),
    _Class(0xBE000000, 0x0C000000, decode_structure),
    _Class(0xFF200000, 0xD9200000, _always("memory tagging")),
    _Class(0xFF200C00, 0xD9000C00, _always("guarded control stack")),
    _Class(0x3B200C00, 0x19000400, _always("memory copy or set")),
    _Class(0x3F200C00, 0x19000000, _ordered_unscaled),
    _Class(0x3F200C00, 0x1D000800, _unscaled),
    _Class(0x3F200C00, 0x19000800, _ordered_pair),
    _Class(0x3F200000, 0x19200000, _always("atomic")),
    _Class(0x9E000000, 0x84000000, _always("SVE or SME")),
    _Class(0xFE000000, 0xE0000000, _always("SVE or SME")),
    _cache_instruction("DC ZVA", "dc zva"),
    _cache_instruction("DC GVA", "memory tagging"),
    _cache_instruction("DC GZVA", "memory tagging"),
)


def decode_load_store(insn: int) -> LoadStore | Unemulated | None:
    """Decode an instruction word as a load or store; None for other instructions and unallocated words."""
    for candidate in _CLASSES:
        if insn & candidate.mask == candidate.value:
            return candidate.decode(insn)
    return None
