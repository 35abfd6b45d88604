"""Writes small ELF files, so that each test defines its file, including its errors."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4
EM_ARM, EM_X86_64, EM_AARCH64 = 40, 62, 183
PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
X, W, R = 1, 2, 4
STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_SECTION, STT_FILE, STT_TLS = 0, 1, 2, 3, 4, 6
STB_LOCAL, STB_GLOBAL, STB_WEAK = 0, 1, 2
SHN_ABS = 0xFFF1
R_RELATIVE, R_GLOB_DAT = 1027, 1025

HEADER_SIZE = 64
PROGRAM_HEADER_SIZE = 56

# b . ; nop: what a guest's code is in these tests.
CODE = struct.pack("<II", 0x14000000, 0xD503201F)


@dataclass
class Load:
    """A PT_LOAD: with a section of its own, so that symbols can be in it."""

    vaddr: int
    data: bytes = CODE
    paddr: int | None = None
    memory_size: int | None = None
    flags: int = R | X
    align: int = 0x1000
    type: int = PT_LOAD
    file_size: int | None = None


@dataclass
class Symbol:
    """A symbol of the file; ``section`` 1 is that of the first Load."""

    name: str
    value: int
    size: int = 0
    kind: int = STT_FUNC
    binding: int = STB_GLOBAL
    section: int = 1


@dataclass
class ElfFile:
    """The parts of an ELF file. ``dynamic`` is (index of the Load, offset in its data, size)."""

    loads: Sequence[Load]
    entry: int
    type: int = ET_EXEC
    machine: int = EM_AARCH64
    elf_class: int = 2
    encoding: int = 1
    symbols: Sequence[Symbol] = field(default_factory=list)
    dynamic: tuple[int, int, int] | None = None
    sections: bool = True

    def to_bytes(self) -> bytes:
        headers = len(self.loads) + (self.dynamic is not None)
        offset = HEADER_SIZE + headers * PROGRAM_HEADER_SIZE
        body = bytearray()
        starts = []
        program_headers = b""
        for load in self.loads:
            starts.append(offset + len(body))
            size = len(load.data) if load.file_size is None else load.file_size
            memory = size if load.memory_size is None else load.memory_size
            paddr = load.vaddr if load.paddr is None else load.paddr
            fields = (load.type, load.flags, starts[-1], load.vaddr, paddr, size, memory, load.align)
            program_headers += struct.pack("<IIQQQQQQ", *fields)
            body += load.data
        if self.dynamic is not None:
            index, inside, size = self.dynamic
            start, address = starts[index] + inside, self.loads[index].vaddr + inside
            program_headers += struct.pack("<IIQQQQQQ", PT_DYNAMIC, R, start, address, address, size, size, 8)
        tables, table_offset, table_count = b"", 0, 0
        if self.sections:
            tables, table_offset, table_count = self._sections(offset + len(body), starts)
        identification = b"\x7fELF" + bytes([self.elf_class, self.encoding, 1]) + bytes(9)
        header = identification + struct.pack(
            "<HHIQQQIHHHHHH",
            self.type,
            self.machine,
            1,
            self.entry,
            HEADER_SIZE,
            table_offset,
            0,
            HEADER_SIZE,
            PROGRAM_HEADER_SIZE,
            headers,
            64,
            table_count,
            0,
        )
        return header + program_headers + bytes(body) + tables

    def _sections(self, offset: int, starts: Sequence[int]) -> tuple[bytes, int, int]:
        """String table, symbol table and section headers, the offset of the headers, and their number."""
        strings = bytearray(b"\0")
        symbols = bytearray(24)
        for symbol in self.symbols:
            info = symbol.binding << 4 | symbol.kind
            fields = (len(strings), info, 0, symbol.section, symbol.value, symbol.size)
            symbols += struct.pack("<IBBHQQ", *fields)
            strings += symbol.name.encode() + b"\0"
        headers = bytes(64)
        for load, start in zip(self.loads, starts, strict=True):
            memory = len(load.data) if load.memory_size is None else load.memory_size
            headers += struct.pack("<IIQQQQIIQQ", 0, 1, 2, load.vaddr, start, memory, 0, 0, 1, 0)
        count = 1 + len(self.loads)
        headers += struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, offset, len(strings), 0, 0, 1, 0)
        symbol_offset = offset + len(strings)
        headers += struct.pack("<IIQQQQIIQQ", 0, 2, 0, 0, symbol_offset, len(symbols), count, 0, 8, 24)
        tables = bytes(strings) + bytes(symbols)
        return tables + headers, offset + len(tables), count + 2


def dynamic_section(*tags: tuple[int, int]) -> bytes:
    """The entries of a dynamic section, with the DT_NULL that ends them."""
    return b"".join(struct.pack("<qQ", tag, value) for tag, value in (*tags, (0, 0)))


def rela(offset: int, addend: int, kind: int = R_RELATIVE) -> bytes:
    """One Elf64_Rela."""
    return struct.pack("<QQq", offset, kind, addend)
