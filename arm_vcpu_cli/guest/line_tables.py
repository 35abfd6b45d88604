"""Looks up addresses in the line tables of an ELF file's debug information (DWARF 5, section 6.1.2).

Loaded only when a source line is needed.
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_right
from collections.abc import Callable
from importlib import import_module
from itertools import chain
from operator import itemgetter
from typing import Final, NamedTuple

from arm_vcpu_cli.guest.dwarf_units import UNIT_BYTES, program_of_unit
from arm_vcpu_cli.guest.elf_headers import (
    PF_X,
    PROGRAM_HEADER,
    PT_LOAD,
    SECTION_HEADER,
    SHF_COMPRESSED,
    SHT_NOBITS,
    Section,
    read_sections,
)
from arm_vcpu_cli.guest.line_programs import (
    MALFORMED,
    Sequence,
    Strings,
    decode_program,
    program_offsets,
    program_size,
)
from arm_vcpu_cli.printable import decoded

BROKEN: Final = (*MALFORMED, OSError, MemoryError, zlib.error)
"""The exceptions that a malformed file may cause."""

Read = Callable[[int, int], bytes]
"""Returns up to this many bytes from an offset on."""

_HEADER: Final = struct.Struct("<32x2Q8xH2x2H")
_COMPRESSION_HEADER: Final = struct.Struct("<2I2Q")
_ZLIB: Final = 1  # ELFCOMPRESS_ZLIB
_ZSTD: Final = 2  # ELFCOMPRESS_ZSTD
_ZSTD_MODULE: Final = "arm_vcpu_cli.guest.zstd"
_PREFIX, _OLD_PREFIX = ".debug_", ".zdebug_"
"""Prefixes of section names; the second is for sections compressed as GNU tools did before SHF_COMPRESSED."""
_PREFIXES: Final = (_PREFIX.encode(), _OLD_PREFIX.encode())
_OLD_HEADER: Final = struct.Struct(">4sQ")
_OLD_MAGIC: Final = b"ZLIB"
_LONGEST_NAME: Final = 64
_MOST_NAMES: Final = 1 << 20
_MOST_SEGMENTS: Final = 1024

# A hostile file is small and causes much work; the following limits bound the work by the size of the file.
_MOST_READ: Final = 256 << 20
"""The most bytes of a section read as a whole; the line programs of a kernel with everything have 60 million."""
_MOST_UNPACKED: Final = 512 << 20
_LEAST_UNPACKED: Final = 1 << 18
_MOST_PACKED: Final = 32
"""Limits in bytes on the total unpacked size of all sections: the maximum, the minimum for small files, and the limit
for each byte of the file. Debug information compresses to a fifth."""
_MAX_PROGRAM: Final = 2 << 20
"""The maximum size of one line number program in bytes; those of a kernel's units have some ten thousand."""
_MOST_DECODED: Final = 64 << 20
_LEAST_DECODED: Final = 1 << 18
_OFTEN_DECODED: Final = 2
"""Limits in bytes on the programs decoded in total: the maximum, the minimum for small files, and the limit for each
byte of the section."""
_MAX_UNINDEXED: Final = 4 << 20
"""The most bytes of .debug_line decoded at once if .debug_aranges does not identify the program."""
_ARANGES_VERSION: Final = 2
_DWARF64: Final = 0xFFFF_FFFF


class _Range(NamedTuple):
    """An address range of the unit whose .debug_info is at ``unit``."""

    start: int
    end: int
    unit: int


class _Span(NamedTuple):
    """A decoded sequence, and the names of its files."""

    start: int
    end: int
    sequence: Sequence
    files: dict[int, str]


class LineTables:
    """The debug information of one file. Addresses are as linked.

    ``read`` returns up to this many bytes of the file from an offset on; ``size`` is that of the file. Raises one of
    ``BROKEN`` for a malformed file.
    """

    def __init__(self, read: Read, size: int) -> None:
        self._read = read
        self._size = size
        header = _HEADER.unpack(read(0, _HEADER.size))
        program_headers, section_headers, program_count, section_count, names = header
        self._places = _executable(read(program_headers, PROGRAM_HEADER.size * min(program_count, _MOST_SEGMENTS)))
        table = read(section_headers, SECTION_HEADER.size * section_count)
        sections = read_sections(table[: len(table) - len(table) % SECTION_HEADER.size])
        self._sections = self._named(sections, sections[names])
        self._unpacked = max(_LEAST_UNPACKED, min(_MOST_UNPACKED, _MOST_PACKED * size))
        """The number of bytes that may still be decompressed."""
        self._programs = self._content(".debug_line")
        self._strings = Strings(self._content(".debug_line_str"), self._content(".debug_str"))
        self._ranges = _read_aranges(self._content(".debug_aranges")) if self._programs else []
        self._info, self._abbreviations = self._reader(".debug_info"), self._reader(".debug_abbrev")
        self._units: dict[int, int | None] = {}
        self._spans: dict[int, list[_Span]] = {}
        self._others: list[_Span] | None = None
        self._budget = min(_MOST_DECODED, max(_LEAST_DECODED, _OFTEN_DECODED * len(self._programs)))

    def _named(self, sections: list[Section], names: Section) -> dict[str, Section]:
        """Return the debug sections by name; of two with one name, the first."""
        strings = self._read(names.offset, min(names.size, _MOST_NAMES))
        found: dict[str, Section] = {}
        for section in sections:
            if strings.startswith(_PREFIXES, section.name) and section.type != SHT_NOBITS:
                end = strings.find(b"\0", section.name, section.name + _LONGEST_NAME)
                found.setdefault(decoded(strings[section.name : end]), section)
        return found

    def _section(self, name: str) -> tuple[Section | None, bool, bool]:
        """Return a section, whether it is compressed, and whether in the old way, which has a different name."""
        section = self._sections.get(name)
        if section is not None:
            return section, bool(section.flags & SHF_COMPRESSED), False
        return self._sections.get(_OLD_PREFIX + name.removeprefix(_PREFIX)), True, True

    def _content(self, name: str) -> bytes:
        """Return the decompressed bytes of a section; empty if it is missing."""
        section, packed, old = self._section(name)
        if section is None:
            return b""
        if section.offset + section.size > self._size or section.size > _MOST_READ:
            raise ValueError(f"{name} is larger than it can be")
        data = self._read(section.offset, section.size)
        if not packed:
            return data
        form = _OLD_HEADER if old else _COMPRESSION_HEADER
        kind, *_, size = form.unpack_from(data) if old else form.unpack_from(data)[:3]
        if kind not in (_ZLIB, _ZSTD, _OLD_MAGIC) or size > self._unpacked:
            raise ValueError(f"{name} is packed in a way that is not known, or unpacks to {size} bytes")
        self._unpacked -= size
        content = memoryview(data)[form.size :]
        if kind == _ZSTD:
            unpacked: bytes = import_module(_ZSTD_MODULE).unpack_zstd(content, size)[0]
            return unpacked
        return zlib.decompressobj().decompress(content, max(size, 1))

    def _reader(self, name: str) -> Read:
        """Return a function that reads a section, in pieces if it is not compressed."""
        section, packed, _ = self._section(name)
        if section is None:
            return lambda _offset, _size: b""
        if packed:
            content = self._content(name) if self._ranges else b""
            return lambda offset, size: content[offset : offset + size]
        return lambda offset, size: self._read(section.offset + offset, min(size, max(section.size - offset, 0)))

    def find(self, address: int) -> str:
        """Return ``main.c:42``, or an empty string."""
        if not any(start <= address < end for start, end in self._places):
            return ""
        program = self._program_of(address)
        found = "" if program is None else _find(self._decoded(program), address)
        return found or _find(self._all(), address)

    def _program_of(self, address: int) -> int | None:
        """Return the offset in .debug_line of the program for an address, by the index and the unit that it names."""
        position = bisect_right(self._ranges, address, key=itemgetter(0)) - 1
        if position < 0 or not address < self._ranges[position].end:
            return None
        unit = self._ranges[position].unit
        if unit not in self._units:
            try:
                self._units[unit] = program_of_unit(self._info(unit, UNIT_BYTES), self._abbreviations)
            except BROKEN:
                self._units[unit] = None
        return self._units[unit]

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
        """Return all programs, if there are few enough."""
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


def _executable(headers: bytes) -> list[tuple[int, int]]:
    """Return the starts and ends of the executable segments."""
    whole = len(headers) - len(headers) % PROGRAM_HEADER.size
    return [
        (vaddr, vaddr + memory_size)
        for kind, flags, _, vaddr, _, _, memory_size, _ in PROGRAM_HEADER.iter_unpack(headers[:whole])
        if kind == PT_LOAD and flags & PF_X
    ]


def _read_aranges(section: bytes) -> list[_Range]:
    """Return the sorted index of addresses (6.1.2), as far as it is valid."""
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
