"""Reads the symbols of an ELF file (gABI, "Symbol Table").

Only reports use them, so a broken table is skipped rather than refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Final

from arm_vcpu_cli.guest.elf_headers import (
    SECTION_HEADER,
    SHT_DYNSYM,
    SHT_STRTAB,
    SHT_SYMTAB,
    SYMBOL,
    Section,
    read_sections,
)

if TYPE_CHECKING:
    from arm_vcpu_cli.guest.symbol import Symbol

# A hostile file can have any number.
_MAX_SYMBOLS: Final = 1 << 20
_ENTRIES: Final = "arm_vcpu_cli.guest.elf_symbol_entries"


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
    if table is None or table.entry_size != SYMBOL.size or table.link >= len(sections):
        return ()
    names = sections[table.link]
    if names.type != SHT_STRTAB or table.size // SYMBOL.size > _MAX_SYMBOLS:
        return ()
    entries = _content(data, table)
    strings = _content(data, names)
    if entries is None or strings is None:
        return ()
    return _decoded(entries[: len(entries) - len(entries) % SYMBOL.size], strings, sections)


def _sections(data: bytes, offset: int, count: int) -> list[Section]:
    end = offset + count * SECTION_HEADER.size
    return read_sections(memoryview(data)[offset:end]) if offset and end <= len(data) else []


def _content(data: bytes, section: Section) -> bytes | None:
    end = section.offset + section.size
    return data[section.offset : end] if end <= len(data) else None


def _decoded(entries: bytes, strings: bytes, sections: list[Section]) -> Iterator[Symbol]:
    yield from import_module(_ENTRIES).decode_symbols(entries, strings, sections)
