"""Decodes line number programs, which map instructions to source lines (DWARF 5, section 6.2; versions 2 to 5).

This does not use a library because guests are hostile input: the number of bytes bounds the work, and a program of a
kernel's unit takes milliseconds. A malformed one raises one of ``MALFORMED``.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from arm_vcpu_cli.printable import decoded

_DWARF64: Final = 0xFFFF_FFFF
_RESERVED: Final = 0xFFFF_FFF0
VERSIONS: Final = range(2, 6)
_ADDRESS_BYTES: Final = 8
MASK64: Final = (1 << 64) - 1
_LONGEST_LEB: Final = 10
"""The maximum size of a 64-bit LEB128 number in bytes."""

# Standard opcodes (DW_LNS_*, 6.2.5.2) and extended ones (DW_LNE_*, 6.2.5.3).
_COPY, _ADVANCE_PC, _ADVANCE_LINE, _SET_FILE = 1, 2, 3, 4
_CONST_ADD_PC, _FIXED_ADVANCE_PC = 8, 9
_END_SEQUENCE, _SET_ADDRESS = 1, 2

# Contents and forms of the file tables of version 5 (DW_LNCT_*, 6.2.4.1; DW_FORM_*, 7.5.6).
_PATH, _DIRECTORY_INDEX = 1, 2
_FORM_BLOCK, _FORM_STRING, _FORM_STRP, _FORM_UDATA, _FORM_DATA16, _FORM_LINE_STRP = 0x09, 0x08, 0x0E, 0x0F, 0x1E, 0x1F
_FIXED_FORMS: Final = ((0x0B, 1), (0x05, 2), (0x06, 4), (0x07, 8))

_NAME_LIMIT: Final = 4096

MALFORMED: Final = (ValueError, IndexError, OverflowError, struct.error)
"""The exceptions that decoding raises for invalid bytes."""


class Sequence(NamedTuple):
    """Consecutive instructions with the line of each: row ``n`` applies from ``addresses[n]`` to before ``addresses[n +
    1]``, and the last row only ends the sequence. Line 0 means no line."""

    addresses: array[int]
    files: array[int]
    lines: array[int]


class Strings(NamedTuple):
    """The string sections that file tables refer to: .debug_line_str and .debug_str."""

    line_str: bytes = b""
    str: bytes = b""


class LineTable(NamedTuple):
    """A decoded program: its sequences, and the names of its files by their number."""

    sequences: tuple[Sequence, ...]
    files: dict[int, str]


class Reader:
    """Reads consecutive little-endian values; raises IndexError or struct.error beyond the end."""

    def __init__(self, data: bytes, offset: int, end: int) -> None:
        self._data = data
        self.offset = offset
        self.end = end

    def unsigned(self, size: int) -> int:
        """Read an unsigned number of ``size`` bytes."""
        if self.offset + size > self.end:
            raise IndexError("behind the end of the unit")
        value = int.from_bytes(self._data[self.offset : self.offset + size], "little")
        self.offset += size
        return value

    def uleb(self) -> int:
        """Read an unsigned LEB128 number."""
        value = 0
        for shift in range(0, 7 * _LONGEST_LEB, 7):
            byte = self.unsigned(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("a LEB128 number of more than 64 bits")

    def string(self) -> bytes:
        """Read the bytes up to a zero, and skip the zero."""
        end = self._data.index(b"\0", self.offset, self.end)
        text = self._data[self.offset : end]
        self.offset = end + 1
        return text


class _Header(NamedTuple):
    version: int
    program: int
    end: int
    min_instruction: int
    line_base: int
    line_range: int
    lengths: tuple[int, ...]
    files: dict[int, str]


def program_offsets(section: bytes) -> Iterator[int]:
    """Yield the offsets of the programs of a .debug_line section, as long as their lengths are valid."""
    offset = 0
    while offset + 4 <= len(section):
        yield offset
        offset = open_unit(section, offset)[1]


def program_size(section: bytes, offset: int) -> int:
    """Return the size of the program at an offset. Raises ValueError if it exceeds the section."""
    return open_unit(section, offset)[1] - offset


def open_unit(section: bytes, offset: int, *, cut: bool = False) -> tuple[Reader, int, int]:
    """Return a reader after the length of the unit at ``offset``, the end of the unit, and the size of an offset in it.

    Raises ValueError if the section is shorter, unless it may be ``cut``.
    """
    reader = Reader(section, offset, len(section))
    length, width = reader.unsigned(4), 4
    if length == _DWARF64:
        length, width = reader.unsigned(8), 8
    elif length >= _RESERVED:
        raise ValueError(f"reserved unit length {length:#x}")
    end = reader.offset + length
    if end > len(section) and not cut:
        raise ValueError(f"a unit of {length:#x} bytes at {offset:#x}, more than the section has")
    reader.end = min(end, len(section))
    return reader, end, width


def decode_program(section: bytes, offset: int, strings: Strings) -> LineTable:
    """Return the line table of the program at ``offset`` in a .debug_line section."""
    header = _read_header(section, offset, strings)
    return LineTable(tuple(_sequences(section, header)), header.files)


def _read_header(section: bytes, offset: int, strings: Strings) -> _Header:
    reader, end, width = open_unit(section, offset)
    version = reader.unsigned(2)
    if version not in VERSIONS:
        raise ValueError(f"line number program of version {version}")
    if version >= 5 and (reader.unsigned(1), reader.unsigned(1)) != (_ADDRESS_BYTES, 0):
        raise ValueError("addresses of another size than 8, or segments")
    header_length = reader.unsigned(width)
    program = reader.offset + header_length
    if program > end:
        raise ValueError("the header is longer than its unit")
    min_instruction = reader.unsigned(1)
    if version >= 4:
        reader.unsigned(1)  # maximum_operations_per_instruction: for VLIW machines
    reader.unsigned(1)  # default_is_stmt
    line_base = (reader.unsigned(1) ^ 0x80) - 0x80
    line_range = reader.unsigned(1)
    opcode_base = reader.unsigned(1)
    if not line_range or not opcode_base:
        raise ValueError("a line range or opcode base of 0")
    lengths = (0, *(reader.unsigned(1) for _ in range(opcode_base - 1)))
    reader.end = program
    files = _files5(reader, width, strings) if version >= 5 else _files(reader)
    return _Header(version, program, end, min_instruction, line_base, line_range, lengths, files)


def _files(reader: Reader) -> dict[int, str]:
    """Return the files of versions 2 to 4, counted from 1. Directory 0 is that of the compilation, and is omitted."""
    directories = [b""]
    while directory := reader.string():
        directories.append(directory)
    files: dict[int, str] = {}
    while name := reader.string():
        index = reader.uleb()
        reader.uleb()  # time of the last modification
        reader.uleb()  # length
        files[len(files) + 1] = _path(directories[index] if index < len(directories) else b"", name)
    return files


def _files5(reader: Reader, width: int, strings: Strings) -> dict[int, str]:
    """Return the files of version 5, counted from 0. Directory 0 is that of the compilation, and is omitted."""
    directories = [path for path, _ in _entries(reader, width, strings)]
    directories[:1] = [b""]
    entries = _entries(reader, width, strings)
    return {
        number: _path(directories[index] if index < len(directories) else b"", name)
        for number, (name, index) in enumerate(entries)
    }


def _entries(reader: Reader, width: int, strings: Strings) -> list[tuple[bytes, int]]:
    """Return a table of directories or files of version 5: (path, index of the directory)."""
    formats = [(reader.uleb(), reader.uleb()) for _ in range(reader.unsigned(1))]
    count = reader.uleb()
    if count > reader.end - reader.offset:
        raise ValueError(f"{count} entries in fewer bytes")
    found = []
    for _ in range(count):
        path, directory = b"", 0
        for content, form in formats:
            value = _value(reader, form, width, strings)
            if content == _PATH and isinstance(value, bytes):
                path = value
            elif content == _DIRECTORY_INDEX and isinstance(value, int):
                directory = value
        found.append((path, directory))
    return found


def _value(reader: Reader, form: int, width: int, strings: Strings) -> int | bytes:
    if form == _FORM_STRING:
        return reader.string()
    if form in (_FORM_LINE_STRP, _FORM_STRP):
        section = strings.line_str if form == _FORM_LINE_STRP else strings.str
        start = reader.unsigned(width)
        return section[start : section.index(b"\0", start, start + _NAME_LIMIT)]
    if form == _FORM_UDATA:
        return reader.uleb()
    if form == _FORM_DATA16:
        return reader.unsigned(16)
    if form == _FORM_BLOCK:
        return reader.unsigned(reader.uleb())
    for fixed, size in _FIXED_FORMS:
        if form == fixed:
            return reader.unsigned(size)
    raise ValueError(f"form {form:#x} in a file table")


def _path(directory: bytes, name: bytes) -> str:
    joined = name if not directory or name.startswith(b"/") else directory.rstrip(b"/") + b"/" + name
    return decoded(joined, _NAME_LIMIT)


def _sequences(section: bytes, header: _Header) -> Iterator[Sequence]:
    """Run the program (6.2.5). Sequences without an end or any code, and those that go backwards, are dropped."""
    reader = Reader(section, header.program, header.end)
    opcode_base, line_base, line_range = len(header.lengths), header.line_base, header.line_range
    step = header.min_instruction
    const_add = (255 - opcode_base) // line_range * step
    offset, end = header.program, header.end
    address, file, line = 0, 1, 1
    sequence = _empty_sequence()
    while offset < end:
        opcode = section[offset]
        offset += 1
        if opcode >= opcode_base:
            address += (opcode - opcode_base) // line_range * step
            line += line_base + (opcode - opcode_base) % line_range
            _append(sequence, address, file, line)
        elif opcode == _COPY:
            _append(sequence, address, file, line)
        elif opcode == _CONST_ADD_PC:
            address += const_add
        elif opcode == _FIXED_ADVANCE_PC:
            address += struct.unpack_from("<H", section, offset)[0]
            offset += 2
        elif opcode == 0:
            reader.offset = offset
            length = reader.uleb()
            start = reader.offset
            offset = start + length
            if not length or offset > end:
                raise ValueError("an extended opcode that leaves its unit")
            if section[start] == _SET_ADDRESS:
                address = int.from_bytes(section[start + 1 : offset], "little") & MASK64
            elif section[start] == _END_SEQUENCE:
                _append(sequence, address, file, 0)
                addresses = sequence.addresses
                if addresses[0] < address and all(earlier <= later for earlier, later in pairwise(addresses)):
                    yield sequence
                address, file, line = 0, 1, 1
                sequence = _empty_sequence()
        else:
            reader.offset = offset
            if opcode == _ADVANCE_LINE:
                line += _sleb(reader)
            else:
                arguments = [reader.uleb() for _ in range(header.lengths[opcode])]
                if opcode == _ADVANCE_PC:
                    address += arguments[0] * step
                elif opcode == _SET_FILE:
                    file = arguments[0]
            offset = reader.offset


def _empty_sequence() -> Sequence:
    return Sequence(array("Q"), array("I"), array("I"))


def _append(sequence: Sequence, address: int, file: int, line: int) -> None:
    """Add a row. Raises OverflowError for numbers that no program has."""
    sequence.addresses.append(address)
    sequence.files.append(file)
    sequence.lines.append(line)


def _sleb(reader: Reader) -> int:
    start = reader.offset
    value = reader.uleb()
    bits = 7 * (reader.offset - start)
    return value - (1 << bits) if value >> (bits - 1) & 1 else value
