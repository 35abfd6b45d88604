"""The tables of sections and segments of an ELF file (gABI, "Section Header Table" and "Program Header")."""

from __future__ import annotations

import struct
from typing import Final

from arm_vcpu_cli.record import Record

PROGRAM_HEADER: Final = struct.Struct("<2I6Q")
PT_LOAD: Final = 1
PF_X: Final = 1
SYMBOL: Final = struct.Struct("<IBBHQQ")  # st_name, st_info, st_other, st_shndx, st_value, st_size
SECTION_HEADER: Final = struct.Struct("<IIQQQQIIQQ")
SHT_SYMTAB: Final = 2
SHT_STRTAB: Final = 3
SHT_NOBITS: Final = 8
SHT_DYNSYM: Final = 11
SHF_ALLOC: Final = 2
SHF_COMPRESSED: Final = 0x800


class Section(Record):
    """A section header."""

    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry_size: int


def read_sections(table: bytes | memoryview) -> list[Section]:
    """Return the sections of a section header table."""
    return [Section(*fields) for fields in SECTION_HEADER.iter_unpack(table)]
