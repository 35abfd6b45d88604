"""Writes symbols as an ELF file, because debuggers cannot read a System.map.

Sources: System V ABI, chapter 4, "Object Files"; ELF for the Arm 64-bit Architecture (IHI 0056).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final

from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.record import Record

_HEADER: Final = struct.Struct("<4s5B7xHHIQQQIHHHHHH")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_EXECUTABLE, _AARCH64 = 2, 183
_SYMTAB, _STRTAB, _NOBITS = 2, 3, 8
_ALLOCATED_CODE: Final = 0x6
_GLOBAL_FUNCTION: Final = 0x12
_APART: Final = 1 << 26
"""Symbols with a gap of more than this many bytes between them are in separate sections: debuggers do not look up
addresses in a gap."""
_MOST_SECTIONS: Final = 1000


class _Named(Record):
    """A symbol with its start and end."""

    name: str
    start: int
    end: int


def symbol_elf(symbols: SymbolTable) -> bytes:
    """Return an ELF file that contains only the symbols, at their addresses."""
    named = sorted(_all(symbols), key=lambda each: (each.start, each.end))
    groups = list(_groups(named))
    names = _strings(each.name for group in groups for each in group)
    section_names = b"\0.text\0.symtab\0.strtab\0"
    table = bytearray(_SYMBOL.size)
    offsets = iter(names[1])
    for number, group in enumerate(groups, 1):
        for each in group:
            table += _SYMBOL.pack(next(offsets), _GLOBAL_FUNCTION, 0, number, each.start, each.end - each.start)
    symtab_at = _HEADER.size
    strings_at = symtab_at + len(table)
    section_names_at = strings_at + len(names[0])
    sections_at = section_names_at + len(section_names)
    count = len(groups) + 4
    sections = bytes(_SECTION.size)
    for group in groups:
        start, end = group[0].start, max(each.end for each in group)
        sections += _SECTION.pack(1, _NOBITS, _ALLOCATED_CODE, start, symtab_at, end - start, 0, 0, 4, 0)
    sections += _SECTION.pack(7, _SYMTAB, 0, 0, symtab_at, len(table), count - 2, 1, 8, _SYMBOL.size)
    sections += _SECTION.pack(15, _STRTAB, 0, 0, strings_at, len(names[0]), 0, 0, 1, 0)
    sections += _SECTION.pack(15, _STRTAB, 0, 0, section_names_at, len(section_names), 0, 0, 1, 0)
    header = _HEADER.pack(
        *(b"\x7fELF", 2, 1, 1, 0, 0, _EXECUTABLE, _AARCH64, 1, 0, 0, sections_at, 0),
        *(_HEADER.size, 0, 0, _SECTION.size, count, count - 1),
    )
    return b"".join((header, table, names[0], section_names, sections))


def _all(symbols: SymbolTable) -> Iterator[_Named]:
    for name in symbols.names():
        extent = symbols.extent(name)
        if extent is not None and 0 <= extent[0] < extent[1] <= 1 << 64:
            yield _Named(name, *extent)


def _groups(named: list[_Named]) -> Iterator[list[_Named]]:
    """Yield groups of symbols that are near each other."""
    group: list[_Named] = []
    made = 0
    for each in named:
        if group and each.start - group[-1].start > _APART and made < _MOST_SECTIONS:
            yield group
            group, made = [], made + 1
        group.append(each)
    if group:
        yield group


def _strings(names: Iterable[str]) -> tuple[bytes, list[int]]:
    """Return a string table, and the offset of each name in it."""
    encoded = [name.encode("utf-8", "surrogateescape") + b"\0" for name in names]
    offsets = list(accumulate(map(len, encoded), initial=1))
    return b"\0" + b"".join(encoded), offsets[:-1]
