"""The line tables of an ELF file's debug information, found by address (DWARF 5, section 6.1.2).

Only loaded when somebody asks for a source line: the library that it needs takes its time.
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_right
from itertools import chain
from operator import itemgetter
from typing import IO, Any, Final, NamedTuple

from elftools.common.exceptions import DWARFError, ELFError
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile

from arm_vcpu_cli.guest.line_programs import (
    MALFORMED,
    Sequence,
    Strings,
    decode_program,
    program_offsets,
    program_size,
)

BROKEN: Final = (
    *MALFORMED,
    ELFError,
    DWARFError,
    ConstructError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    zlib.error,
)
"""What the library may raise for a file that is not what it says."""

_MAX_DEBUG: Final = 1 << 30
"""Bytes of all debug sections, decompressed; a kernel's have some 400 million."""
_MAX_PROGRAM: Final = 8 << 20
"""Bytes of one line number program; those of a kernel's units have some ten thousand."""
_MAX_DECODED: Final = 64 << 20
"""Bytes of programs that are decoded in all: the whole of a kernel, and an end to one made to keep us busy."""
_MAX_UNINDEXED: Final = 4 << 20
"""Bytes of .debug_line that are decoded at once where .debug_aranges does not say which program is meant."""
_ARANGES_VERSION: Final = 2
_DWARF64: Final = 0xFFFF_FFFF


class _Range(NamedTuple):
    """Addresses of a unit: of the one whose .debug_info is at ``unit``."""

    start: int
    end: int
    unit: int


class _Span(NamedTuple):
    """A sequence that has been decoded, and the names of its files."""

    start: int
    end: int
    sequence: Sequence
    files: dict[int, str]


class LineTables:
    """The debug information of one file, which may be closed again. Addresses are as linked.

    Raises one of ``BROKEN`` for a file that is not what it says.
    """

    def __init__(self, file: IO[bytes]) -> None:
        elf = ELFFile(file)
        sections = [section for section in elf.iter_sections() if section.name.startswith(".debug_")]
        if sum(section.data_size for section in sections) > _MAX_DEBUG:
            raise ValueError("more debug information than any program has")
        self._places = [
            (segment["p_vaddr"], segment["p_vaddr"] + segment["p_memsz"])
            for segment in elf.iter_segments("PT_LOAD")
            if segment["p_flags"] & 1
        ]
        self._programs = _section(elf, ".debug_line")
        self._strings = Strings(_section(elf, ".debug_line_str"), _section(elf, ".debug_str"))
        self._ranges = _read_aranges(_section(elf, ".debug_aranges")) if self._programs else []
        # The library reads all of the debug information at once, and only it knows where a unit's program is.
        self._dwarf: Any = elf.get_dwarf_info(relocate_dwarf_sections=False) if self._ranges else None
        self._spans: dict[int, list[_Span]] = {}
        self._others: list[_Span] | None = None
        self._budget = _MAX_DECODED

    def find(self, address: int) -> str:
        """``main.c:42``, or nothing."""
        if not any(start <= address < end for start, end in self._places):
            return ""
        program = self._program_of(address)
        found = "" if program is None else _find(self._decoded(program), address)
        return found or _find(self._all(), address)

    def _program_of(self, address: int) -> int | None:
        """Where in .debug_line the program of an address is, by the index and the unit that it names."""
        position = bisect_right(self._ranges, address, key=itemgetter(0)) - 1
        if position < 0 or not address < self._ranges[position].end:
            return None
        try:
            unit = self._dwarf.get_CU_at(self._ranges[position].unit)
            return int(unit.get_top_DIE().attributes["DW_AT_stmt_list"].value)
        except BROKEN:
            return None

    def _decoded(self, program: int) -> list[_Span]:
        spans = self._spans.get(program)
        if spans is None:
            spans = self._spans[program] = self._decode(program)
        return spans

    def _decode(self, program: int) -> list[_Span]:
        try:
            size = program_size(self._programs, program)
            self._budget -= size
            if size > _MAX_PROGRAM or self._budget < 0:
                return []
            table = decode_program(self._programs, program, self._strings)
        except MALFORMED:
            return []
        spans = [_Span(each.addresses[0], each.addresses[-1], each, table.files) for each in table.sequences]
        return sorted(spans, key=itemgetter(0, 1))

    def _all(self) -> list[_Span]:
        """All that there is, where it is little enough."""
        if self._others is None:
            self._others = []
            if len(self._programs) <= _MAX_UNINDEXED:
                found = chain.from_iterable(self._decoded(program) for program in _offsets(self._programs))
                self._others = sorted(found, key=itemgetter(0, 1))
        return self._others


def _offsets(programs: bytes) -> list[int]:
    found = []
    try:
        for offset in program_offsets(programs):
            found.append(offset)  # noqa: PERF402 - what was found before the damage counts
    except MALFORMED:
        return found
    return found


def _find(spans: list[_Span], address: int) -> str:
    position = bisect_right(spans, address, key=itemgetter(0)) - 1
    if position < 0 or not address < spans[position].end:
        return ""
    _, _, sequence, files = spans[position]
    row = bisect_right(sequence.addresses, address) - 1
    name, line = files.get(sequence.files[row], ""), sequence.lines[row]
    return f"{name}:{line}" if name and line else ""


def _section(elf: ELFFile, name: str) -> bytes:
    """The bytes of a section, decompressed; none where it is missing."""
    section = elf.get_section_by_name(name)
    if section is None or section["sh_type"] == "SHT_NOBITS":
        return b""
    return bytes(section.data())


def _read_aranges(section: bytes) -> list[_Range]:
    """The index of addresses (6.1.2), sorted; as much of it as makes sense."""
    found: list[_Range] = []
    offset = 0
    while offset + 12 <= len(section):
        (length,) = struct.unpack_from("<I", section, offset)
        if length == _DWARF64:
            break
        end = min(offset + 4 + length, len(section))
        version, unit, address_size, segments = struct.unpack_from("<HIBB", section, offset + 4)
        if (version, address_size, segments) == (_ARANGES_VERSION, 8, 0):
            # Tuples are aligned to their own size, counted from the beginning of the set.
            first = offset + 16
            last = first + max(0, end - first) // 16 * 16
            pairs = struct.iter_unpack("<QQ", memoryview(section)[first:last])
            found.extend(_Range(start, start + size, unit) for start, size in pairs if size)
        offset += 4 + length
    return sorted(found)
