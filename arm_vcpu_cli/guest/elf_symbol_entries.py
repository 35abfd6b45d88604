"""The entries of an ELF file's symbol table (gABI, "Symbol Table"), for those runs that need a symbol."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.guest.elf_headers import SHF_ALLOC, SYMBOL, Section
from arm_vcpu_cli.guest.symbol import Symbol
from arm_vcpu_cli.printable import decoded

_SHN_UNDEF: Final = 0
_SHN_LORESERVE: Final = 0xFF00
_SHN_ABS: Final = 0xFFF1
_SHN_XINDEX: Final = 0xFFFF

# The order in which the names of one address are preferred, by type and then by binding.
# STT_FUNC, STT_GNU_IFUNC, STT_OBJECT, STT_NOTYPE; STB_GLOBAL, STB_GNU_UNIQUE, STB_WEAK, STB_LOCAL.
_TYPE_RANK: Final[Mapping[int, int]] = MappingProxyType({2: 0, 10: 0, 1: 3, 0: 6})
_BINDING_RANK: Final[Mapping[int, int]] = MappingProxyType({1: 0, 10: 0, 2: 1, 0: 2})

# A hostile file can make each of its symbols a name of many megabytes, all of the same bytes.
_MAX_NAME: Final = 4096
_NAME_BUDGET_FACTOR: Final = 4
_NAME_BUDGET_LEAST: Final = 1 << 16


def decode_symbols(entries: bytes, strings: bytes, sections: list[Section]) -> list[Symbol]:
    """The symbols in ``entries``, whose names are in ``strings``; none if the names are too long to be meant."""
    symbols: list[Symbol] = []
    known: dict[int, str] = {}
    budget = max(_NAME_BUDGET_LEAST, _NAME_BUDGET_FACTOR * len(strings))
    for name_offset, info, _, index, value, size in SYMBOL.iter_unpack(entries):
        kind, binding = _TYPE_RANK.get(info & 0xF), _BINDING_RANK.get(info >> 4)
        if kind is None or binding is None or index == _SHN_UNDEF or not 0 < name_offset < len(strings):
            continue
        limit = None
        if index < len(sections) and index < _SHN_LORESERVE:
            section = sections[index]
            if not section.flags & SHF_ALLOC:
                continue
            limit = section.address + section.size
        elif index not in (_SHN_ABS, _SHN_XINDEX):
            continue
        name = known.get(name_offset)
        if name is None:
            name = known[name_offset] = _name(strings, name_offset)
            budget -= len(name)
            if budget < 0:
                return []
        symbols.append(Symbol(name, value, size, limit, kind + binding, index != _SHN_ABS))
    return symbols


def _name(strings: bytes, offset: int) -> str:
    end = strings.find(b"\0", offset, offset + _MAX_NAME)
    raw = strings[offset : offset + _MAX_NAME if end < 0 else end]
    return decoded(raw, _MAX_NAME)
