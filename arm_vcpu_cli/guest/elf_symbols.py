"""Reads the symbols of an ELF file (gABI, "Symbol Table").

Only reports use them, so a broken table is skipped rather than refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.guest.elf_headers import (
    SECTION_HEADER,
    SHF_ALLOC,
    SHT_DYNSYM,
    SHT_STRTAB,
    SHT_SYMTAB,
    Section,
    read_sections,
)
from arm_vcpu_cli.guest.symbols import Symbol
from arm_vcpu_cli.printable import decoded

_SYMBOL: Final = struct.Struct("<IBBHQQ")  # st_name, st_info, st_other, st_shndx, st_value, st_size

_SHN_UNDEF: Final = 0
_SHN_LORESERVE: Final = 0xFF00
_SHN_ABS: Final = 0xFFF1
_SHN_XINDEX: Final = 0xFFFF

# The order of preference for the names of one address, by type and then by binding. STT_FUNC, STT_GNU_IFUNC,
# STT_OBJECT, STT_NOTYPE; STB_GLOBAL, STB_GNU_UNIQUE, STB_WEAK, STB_LOCAL.
_TYPE_RANK: Final[Mapping[int, int]] = MappingProxyType({2: 0, 10: 0, 1: 3, 0: 6})
_BINDING_RANK: Final[Mapping[int, int]] = MappingProxyType({1: 0, 10: 0, 2: 1, 0: 2})

# A hostile file can give each of its symbols a name of many megabytes, all from the same bytes.
_MAX_SYMBOLS: Final = 1 << 20
_MAX_NAME: Final = 4096
_NAME_BUDGET_FACTOR: Final = 4
_NAME_BUDGET_LEAST: Final = 1 << 16


def read_symbols(data: bytes, table_offset: int, count: int) -> Iterable[Symbol]:
    """Return the functions, objects and labels of the ELF file ``data``, to iterate over once; none if its tables are
    broken.

    The section header table has ``count`` entries and is at ``table_offset`` in the file. Addresses are as linked. The
    tables are located at once, and read when the first symbol is requested.
    """
    sections = _sections(data, table_offset, count)
    full = [section for section in sections if section.type == SHT_SYMTAB]
    dynamic = [section for section in sections if section.type == SHT_DYNSYM]
    table = next(iter(full + dynamic), None)
    if table is None or table.entry_size != _SYMBOL.size or table.link >= len(sections):
        return ()
    names = sections[table.link]
    if names.type != SHT_STRTAB or table.size // _SYMBOL.size > _MAX_SYMBOLS:
        return ()
    entries = _content(data, table)
    strings = _content(data, names)
    if entries is None or strings is None:
        return ()
    return _decoded(entries[: len(entries) - len(entries) % _SYMBOL.size], strings, sections)


def _sections(data: bytes, offset: int, count: int) -> list[Section]:
    end = offset + count * SECTION_HEADER.size
    return read_sections(memoryview(data)[offset:end]) if offset and end <= len(data) else []


def _content(data: bytes, section: Section) -> bytes | None:
    end = section.offset + section.size
    return data[section.offset : end] if end <= len(data) else None


def _decoded(entries: bytes, strings: bytes, sections: list[Section]) -> Iterator[Symbol]:
    yield from _decode(entries, strings, sections)


def _decode(entries: bytes, strings: bytes, sections: list[Section]) -> list[Symbol]:
    symbols: list[Symbol] = []
    known: dict[int, str] = {}
    budget = max(_NAME_BUDGET_LEAST, _NAME_BUDGET_FACTOR * len(strings))
    for name_offset, info, _, index, value, size in _SYMBOL.iter_unpack(entries):
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
