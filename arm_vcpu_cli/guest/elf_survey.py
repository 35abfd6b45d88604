"""Surveys an ELF file for any machine: header, interpreter, code, property notes.

Unlike the loader, this refuses nothing: broken parts, or parts beyond the end of the file, are left out. Formats:
System V gABI; IHI 0056 (mapping symbols, GNU_PROPERTY_AARCH64_FEATURE_1_AND).
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from arm_vcpu_cli.guest.elf_symbols import read_symbols
from arm_vcpu_cli.guest.symbol import Symbol, is_mapping_symbol
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.printable import decoded

EM_AARCH64: Final = 183
ET_EXEC: Final = 2
ET_DYN: Final = 3
MACHINES: Final[Mapping[int, str]] = MappingProxyType(
    {3: "x86 (32-bit)", 8: "MIPS", 20: "PowerPC", 21: "PowerPC64", 22: "S/390", 40: "Arm (AArch32)", 62: "x86-64",
     EM_AARCH64: "AArch64", 243: "RISC-V", 247: "BPF", 258: "LoongArch"}
)  # fmt: skip
TYPES: Final[Mapping[int, str]] = MappingProxyType(
    {1: "relocatable object", ET_EXEC: "executable", ET_DYN: "shared object or PIE", 4: "core dump"}
)
_CLASS_64: Final = 2
_BIG_ENDIAN: Final = 2
_IDENTIFICATION: Final = 16
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP, _PT_NOTE = 1, 2, 3, 4
_DT_NULL, _DT_NEEDED = 0, 1
_MAX_TAGS: Final = 1024
_PF_X: Final = 1
_SHT_PROGBITS: Final = 1
_SHF_ALLOC, _SHF_EXECINSTR = 2, 4
_MAX_HEADERS: Final = 1 << 16
_MAX_PARTS: Final = 1024
_MAX_PATH: Final = 4096

_MAX_NOTES: Final = 64
_MAX_PROPERTIES: Final = 1024
"""The most notes of a segment, and properties of all notes, that are read. Segments may share their bytes."""
_NT_GNU_ABI_TAG, _NT_GNU_PROPERTY = 1, 5
_LINUX: Final = 0
_GNU: Final = b"GNU\0"
_FEATURE_1_AND: Final = 0xC000_0000
PROPERTIES: Final[Mapping[int, str]] = MappingProxyType({0: "BTI", 1: "PAC", 2: "GCS"})
"""Bits of GNU_PROPERTY_AARCH64_FEATURE_1_AND: all of the code supports the feature."""


class CodePart(NamedTuple):
    """Executable bytes: a section, or a segment of a file without sections; ``address`` is as linked.

    ``marks`` are the mapping symbols in it, (address, whether code begins there), by address; empty if it has none.
    """

    name: str
    address: int
    data: bytes
    marks: tuple[tuple[int, bool], ...] = ()

    def is_code(self, address: int) -> bool:
        """Return whether an address holds code: according to the mapping symbols, or always if there are none."""
        index = bisect_right(self.marks, (address, True)) - 1
        return self.marks[index][1] if index >= 0 else not self.marks


class ElfSurvey(NamedTuple):
    """An ELF file. ``is_for_linux`` distinguishes a program for that system from one for the bare machine.

    ``interpreter`` is its dynamic linker, if it needs one. ``properties`` are names of PROPERTIES, None if there is no
    such note.
    """

    bits: int
    is_big_endian: bool
    machine: int
    type: int
    entry: int
    interpreter: str | None
    is_for_linux: bool
    code: tuple[CodePart, ...]
    properties: tuple[str, ...] | None
    symbols: SymbolTable

    @property
    def is_native(self) -> bool:
        """Whether it is for AArch64, little-endian and 64-bit, so that its code can be examined."""
        return self.machine == EM_AARCH64 and self.bits == 64 and not self.is_big_endian

    @property
    def machine_name(self) -> str:
        """The name of the machine."""
        return MACHINES.get(self.machine, f"machine {self.machine:#x}")

    @property
    def type_name(self) -> str:
        """The name of the type."""
        return TYPES.get(self.type, f"type {self.type:#x}")


class _Header(NamedTuple):
    type: int
    machine: int
    version: int
    entry: int
    phoff: int
    shoff: int
    flags: int
    ehsize: int
    phentsize: int
    phnum: int
    shentsize: int
    shnum: int
    shstrndx: int


class _Program(NamedTuple):
    type: int
    flags: int
    offset: int
    vaddr: int
    size: int


class _Section(NamedTuple):
    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int


class _Reader(NamedTuple):
    """The bytes of a file, and the format of its words."""

    data: bytes
    order: str
    is_64: bool

    def unpack(self, layout: str, offset: int) -> tuple[int, ...] | None:
        """Return words at an offset; None beyond the end of the file."""
        form = struct.Struct(self.order + layout)
        return None if offset + form.size > len(self.data) else form.unpack_from(self.data, offset)

    def programs(self, header: _Header) -> Iterator[_Program]:
        """Yield the program headers."""
        for index in range(min(header.phnum, _MAX_HEADERS)):
            fields = self.unpack("IIQQQQQQ" if self.is_64 else "IIIIIIII", header.phoff + index * header.phentsize)
            if fields is None:
                return
            if self.is_64:
                kind, flags, offset, vaddr, _, size, _, _ = fields
            else:
                kind, offset, vaddr, _, size, _, flags, _ = fields
            yield _Program(kind, flags, offset, vaddr, size)

    def sections(self, header: _Header) -> list[_Section]:
        """Return the section headers."""
        found = []
        for index in range(min(header.shnum, _MAX_HEADERS)):
            fields = self.unpack("IIQQQQ" if self.is_64 else "IIIIII", header.shoff + index * header.shentsize)
            if fields is None:
                break
            found.append(_Section(*fields))
        return found

    def part(self, offset: int, size: int) -> bytes:
        """Return bytes of the file, as many as there are."""
        return self.data[offset : offset + size]


def survey_elf(data: bytes) -> ElfSurvey | None:
    """Survey the ELF file ``data``; None if not even its header is complete."""
    if len(data) < _IDENTIFICATION:
        return None
    is_64, is_big_endian = data[4] == _CLASS_64, data[5] == _BIG_ENDIAN
    reader = _Reader(data, ">" if is_big_endian else "<", is_64)
    fields = reader.unpack("HHIQQQIHHHHHH" if is_64 else "HHIIIIIHHHHHH", _IDENTIFICATION)
    if fields is None:
        return None
    header = _Header(*fields)
    programs, sections = list(reader.programs(header)), reader.sections(header)
    native = is_64 and not is_big_endian
    symbols = list(read_symbols(data, header.shoff, header.shnum)) if native else []
    interpreter = next((each for each in programs if each.type == _PT_INTERP), None)
    if interpreter is not None and header.type == ET_DYN and not _needs_library(reader, programs):
        # Linkers name one in every PIE.
        interpreter = None
    return ElfSurvey(
        bits=64 if is_64 else 32,
        is_big_endian=is_big_endian,
        machine=header.machine,
        type=header.type,
        entry=header.entry,
        interpreter=None if interpreter is None else _path(reader.part(interpreter.offset, _MAX_PATH)),
        is_for_linux=_is_for_linux(reader, programs),
        code=tuple(_code(reader, programs, sections, symbols)),
        properties=_properties(reader, programs),
        symbols=SymbolTable(symbols),
    )


def _path(raw: bytes) -> str:
    return decoded(raw.partition(b"\0")[0], _MAX_PATH)


def _code(
    reader: _Reader, programs: list[_Program], sections: list[_Section], symbols: list[Symbol]
) -> Iterator[CodePart]:
    """Yield the executable sections, or segments if there are none; not more bytes in total than the file has."""
    budget = len(reader.data)
    wanted = _SHF_ALLOC | _SHF_EXECINSTR
    names = _section_names(reader, sections)
    places = [
        (names(each), each.address, each.offset, each.size)
        for each in sections
        if each.type == _SHT_PROGBITS and each.flags & wanted == wanted
    ] or [
        (f"LOAD[{index}]", each.vaddr, each.offset, each.size)
        for index, each in enumerate(programs)
        if each.type == _PT_LOAD and each.flags & _PF_X
    ]
    marks = sorted({(each.address, each.name[1] == "x") for each in symbols if is_mapping_symbol(each.name)})
    for name, address, offset, size in places[:_MAX_PARTS]:
        data = reader.part(offset, min(size, budget))
        budget -= len(data)
        if data:
            first, last = bisect_right(marks, (address, False)), bisect_right(marks, (address + len(data) - 1, True))
            first -= bool(first) and marks[first - 1][0] == address
            yield CodePart(name, address, data, tuple(marks[first:last]))


class _Names(NamedTuple):
    """Section names."""

    strings: bytes

    def __call__(self, section: _Section) -> str:
        return _path(self.strings[section.name : section.name + 64])


def _section_names(reader: _Reader, sections: list[_Section]) -> _Names:
    fields = reader.unpack("H", 62 if reader.is_64 else 50)
    index = fields[0] if fields else 0
    if index >= len(sections):
        return _Names(b"")
    return _Names(reader.part(sections[index].offset, sections[index].size))


def _gnu_notes(reader: _Reader, programs: list[_Program]) -> Iterator[tuple[int, int, int]]:
    """Yield the GNU notes as (type, offset, end), skipping malformed ones."""
    align = 8 if reader.is_64 else 4
    for program in [each for each in programs if each.type == _PT_NOTE][:_MAX_NOTES]:
        offset, end = program.offset, min(program.offset + program.size, len(reader.data))
        for _ in range(_MAX_NOTES):
            note = reader.unpack("III", offset)
            if note is None or offset >= end:
                break
            name_size, size, kind = note
            body = offset + 12 + -(-name_size // 4) * 4
            if name_size == len(_GNU) and reader.part(offset + 12, name_size) == _GNU:
                yield kind, body, min(body + size, end)
            padding = align if kind == _NT_GNU_PROPERTY else 4
            offset = body + -(-size // padding) * padding


def _properties(reader: _Reader, programs: list[_Program]) -> tuple[str, ...] | None:
    """Return the properties that the GNU property note states for all the code."""
    align = 8 if reader.is_64 else 4
    left = _MAX_PROPERTIES
    for kind, offset, end in _gnu_notes(reader, programs):
        while kind == _NT_GNU_PROPERTY and offset < end and (fields := reader.unpack("III", offset)) is not None:
            left -= 1
            if left < 0:
                return None
            if fields[0] == _FEATURE_1_AND:
                return tuple(name for bit, name in PROPERTIES.items() if fields[2] >> bit & 1)
            offset += 8 + -(-fields[1] // align) * align
    return None


def _needs_library(reader: _Reader, programs: list[_Program]) -> bool:
    """Return whether the dynamic section names a shared library."""
    layout, size = ("qQ", 16) if reader.is_64 else ("iI", 8)
    for program in (each for each in programs if each.type == _PT_DYNAMIC):
        for offset in range(program.offset, program.offset + min(program.size, size * _MAX_TAGS), size):
            tag = reader.unpack(layout, offset)
            if tag is None or tag[0] in (_DT_NULL, _DT_NEEDED):
                return tag is not None and tag[0] == _DT_NEEDED
    return False


def _is_for_linux(reader: _Reader, programs: list[_Program]) -> bool:
    """Return whether a note states that it is a program for Linux."""
    tags = (reader.unpack("I", offset) for kind, offset, _ in _gnu_notes(reader, programs) if kind == _NT_GNU_ABI_TAG)
    return (_LINUX,) in tags
