"""ELF guests: AArch64 executables and static PIEs, by physical address (IHI 0056 and the System V gABI)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.file_paths import FilePath
from arm_vcpu_cli.guest.elf_headers import PF_X, PROGRAM_HEADER, PT_LOAD
from arm_vcpu_cli.guest.elf_names import elf_name
from arm_vcpu_cli.guest.elf_symbols import read_symbols
from arm_vcpu_cli.guest.image import (
    ADDRESS_LIMIT,
    IMAGE_MAGIC,
    IMAGE_MAGIC_OFFSET,
    RAW_LOAD_OFFSET,
    GuestImage,
    Segment,
    sorted_segments,
)
from arm_vcpu_cli.guest.lines import SourceLines
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.record import Record, replace

ELF_MAGIC: Final = b"\x7fELF"
_USER_PROGRAMS: Final = "arm_vcpu_cli.guest.user_programs"
"""Loaded only for guests with notes, or files that are not guests."""

_MAX_PROGRAM_HEADERS: Final = 1024  # executables have about ten; only core files have thousands
_HEADER: Final = struct.Struct("<16x2H4x3Q6x2H2xH2x")  # gABI, "ELF Header"; without e_ident and what is not used
_EI_CLASS: Final = 4
_EI_DATA: Final = 5
_E_TYPE: Final = 16
_E_MACHINE: Final = 18
_E_ENTRY: Final = 24
_E_PHOFF: Final = 32
_E_PHENTSIZE: Final = 54
_E_PHNUM: Final = 56
_EM_AARCH64: Final = 183
_PN_XNUM: Final = 0xFFFF
_UPPER_HALF: Final = 0xFFF0 << 48
"""Of virtual addresses; kernels use it at EL1."""
_ET_EXEC: Final = 2
_ET_DYN: Final = 3
_PT_DYNAMIC: Final = 2
_PT_INTERP: Final = 3
_PT_NOTE: Final = 4
_PF_W: Final = 2
_PF_R: Final = 4

_REFUSED_TYPES: Final[Mapping[int, str]] = MappingProxyType(
    {1: "a relocatable object file (ET_REL): link it first", 4: "a core dump (ET_CORE)"}
)


class _Header(Record):
    """The required fields of the ELF header, in their order."""

    type: int
    machine: int
    entry: int
    program_headers: int
    section_headers: int
    program_header_size: int
    program_header_count: int
    section_header_count: int


class _ProgramHeader(Record):
    """A program header; ``place`` is its own offset in the file."""

    place: int
    type: int
    flags: int
    offset: int
    vaddr: int
    paddr: int
    file_size: int
    memory_size: int
    align: int


class _Load(Record):
    """A PT_LOAD program header; ``header`` is its offset in the file, ``address`` its load IPA."""

    name: str
    header: int
    flags: int
    offset: int
    vaddr: int
    address: int
    file_size: int
    memory_size: int
    align: int

    def holds_va(self, va: int) -> bool:
        return self.vaddr <= va < self.vaddr + self.memory_size


def load_elf(path: FilePath, data: bytes, *, ram_base: int, for_sure: bool = False) -> GuestImage:
    """Return the image of the ELF file ``data``. Raises GuestFileError; with ``for_sure``, regardless of its notes.

    An ET_EXEC file is loaded at the physical addresses of its PT_LOAD segments, or at the virtual ones if all physical
    ones are zero. A static PIE (ET_DYN) is loaded as a whole at ``ram_base`` + 512 KiB, or the next address that its
    alignment allows, and relocated. An entry point that is a virtual address is converted to the physical one. Symbols
    keep their virtual addresses; broken symbol tables are skipped.
    """
    header = _read_header(path, data)
    headers = _program_headers(path, data, header)
    loads = _loads(path, data, headers)
    _refuse_vmlinux(path, data, header, loads[0])
    for note in () if for_sure else (each for each in headers if each.type == _PT_NOTE):
        import_module(_USER_PROGRAMS).refuse_linux_program(path, data, note.offset, note.file_size)
    bias = 0
    if header.type == _ET_DYN:
        bias = _load_bias(loads, ram_base)
        loads = [replace(load, address=load.vaddr + bias) for load in loads]
    for load in loads:
        if load.address < 0 or load.address + load.memory_size > ADDRESS_LIMIT:
            place = f"{load.memory_size:#x} bytes at {load.address:#x}"
            virtual = "; its p_paddr seems to be a virtual address" if load.address >= _UPPER_HALF else ""
            message = f"{load.name}: {place} leave the 48-bit address space{virtual}"
            raise GuestFileError(path, message, offset=load.header)
    entry, warnings = _entry(path, header.entry, loads)
    contents = [data[load.offset : load.offset + load.file_size] for load in loads]
    dynamic = _dynamic(path, data, headers)
    if dynamic is not None:
        for each in (header for header in headers if header.type == _PT_INTERP):
            import_module(_USER_PROGRAMS).refuse_dynamic(
                path, data, (each.place, each.offset, each.file_size), dynamic[1]
            )
        # Few guests are static PIEs.
        relocations = import_module("arm_vcpu_cli.guest.elf_relocations")
        pieces = [(load.vaddr, load.offset, content) for load, content in zip(loads, contents, strict=True)]
        offset, entries = dynamic
        contents, odd = relocations.relocated(path, pieces, entries, offset, bias)
        warnings += odd
    segments = [_segment(load, content) for load, content in zip(loads, contents, strict=True)]
    symbols = read_symbols(data, header.section_headers, header.section_header_count)
    return GuestImage(
        path=path,
        kind="elf",
        entry=entry,
        segments=sorted_segments(path, segments),
        symbols=SymbolTable(symbols, bias=bias, lines=SourceLines(path, bias)),
        load_bias=bias,
        warnings=warnings,
    )


def read_elf_symbols(path: FilePath, data: bytes) -> SymbolTable:
    """Return the symbols of the ELF file ``data`` at the addresses that it was linked for. Raises GuestFileError."""
    header = _read_header(path, data)
    symbols = read_symbols(data, header.section_headers, header.section_header_count)
    return SymbolTable(symbols, lines=SourceLines(path))


def _read_header(path: FilePath, data: bytes) -> _Header:
    """Return the header of an ELF file that is an AArch64 executable."""
    _check_identification(path, data)
    header = _Header(*_HEADER.unpack_from(data))
    _check_header(path, header)
    return header


def _segment(load: _Load, content: bytes) -> Segment:
    return Segment(
        address=load.address,
        data=content,
        memory_size=load.memory_size,
        readable=bool(load.flags & _PF_R),
        writable=bool(load.flags & _PF_W),
        executable=bool(load.flags & PF_X),
        name=load.name,
    )


def _check_identification(path: FilePath, data: bytes) -> None:
    if not data:
        raise GuestFileError(path, "the file is empty, expected an ELF file")
    if not data.startswith(ELF_MAGIC):
        message = f"not an ELF file: expected the bytes 7f 45 4c 46, found {data[:4].hex(' ')}"
        raise GuestFileError(path, message, offset=0)
    if len(data) < _HEADER.size:
        message = f"truncated ELF header: expected {_HEADER.size} bytes, the file has {len(data)}"
        raise GuestFileError(path, message, offset=0)
    if data[_EI_CLASS] != 2:
        found = "a 32-bit one (ELFCLASS32)" if data[_EI_CLASS] == 1 else f"class {data[_EI_CLASS]}"
        message = f"expected a 64-bit ELF file (ELFCLASS64), found {found}"
        raise GuestFileError(path, message, offset=_EI_CLASS)
    if data[_EI_DATA] != 1:
        found = "a big-endian one (ELFDATA2MSB)" if data[_EI_DATA] == 2 else f"data encoding {data[_EI_DATA]}"
        message = f"expected a little-endian ELF file (ELFDATA2LSB), found {found}"
        raise GuestFileError(path, message, offset=_EI_DATA)


def _check_header(path: FilePath, header: _Header) -> None:
    if header.machine != _EM_AARCH64:
        message = f"expected machine EM_AARCH64 (183), found {_named('ENUM_E_MACHINE', header.machine)}"
        raise GuestFileError(path, message, offset=_E_MACHINE)
    if header.type not in (_ET_EXEC, _ET_DYN):
        found = _REFUSED_TYPES.get(header.type) or f"type {_named('ENUM_E_TYPE', header.type)}"
        message = f"expected an executable (ET_EXEC) or a static PIE (ET_DYN), found {found}"
        raise GuestFileError(path, message, offset=_E_TYPE)


def _named(enumeration: str, number: int) -> str:
    return elf_name(enumeration, number) or f"{number:#x}"


def _program_headers(path: FilePath, data: bytes, header: _Header) -> list[_ProgramHeader]:
    count, size, start = header.program_header_count, header.program_header_size, header.program_headers
    if count == 0:
        raise GuestFileError(path, "no program headers, expected a PT_LOAD segment", offset=_E_PHNUM)
    if count > _MAX_PROGRAM_HEADERS:
        # gABI: PN_XNUM says that the number is in the first section header.
        number = f"{_PN_XNUM} or more" if count == _PN_XNUM else f"{count}"
        message = f"{number} program headers, expected at most {_MAX_PROGRAM_HEADERS}"
        raise GuestFileError(path, message, offset=_E_PHNUM)
    if size != PROGRAM_HEADER.size:
        message = f"program headers of {size} bytes, expected {PROGRAM_HEADER.size}"
        raise GuestFileError(path, message, offset=_E_PHENTSIZE)
    if start + count * size > len(data):
        message = f"truncated: {count} program headers at {start:#x}, the file has {len(data):#x} bytes"
        raise GuestFileError(path, message, offset=_E_PHOFF)
    places = range(start, start + count * size, size)
    return [_ProgramHeader(place, *PROGRAM_HEADER.unpack_from(data, place)) for place in places]


def _loads(path: FilePath, data: bytes, headers: list[_ProgramHeader]) -> list[_Load]:
    loads = []
    for index, header in enumerate(headers):
        if header.type == PT_LOAD and (header.memory_size or header.file_size):
            loads.append(_load(path, data, f"LOAD[{index}]", header))
    if not loads:
        raise GuestFileError(path, "no PT_LOAD segment, nothing to load", offset=_E_PHOFF)
    if not any(load.address for load in loads):
        # Written by linkers that ignore physical addresses.
        loads = [replace(load, address=load.vaddr) for load in loads]
    total = sum(load.file_size for load in loads)
    if total > len(data):
        # Otherwise a small file could require any amount of memory, by having many segments share its bytes.
        message = f"the segments have {total:#x} bytes in the file, which has only {len(data):#x}"
        raise GuestFileError(path, message, offset=_E_PHOFF)
    return loads


def _load(path: FilePath, data: bytes, name: str, header: _ProgramHeader) -> _Load:
    load = _Load(
        name=name,
        header=header.place,
        flags=header.flags,
        offset=header.offset,
        vaddr=header.vaddr,
        address=header.paddr,
        file_size=header.file_size,
        memory_size=header.memory_size,
        align=max(1, header.align),
    )
    message = ""
    if load.memory_size < load.file_size:
        message = f"{load.file_size:#x} bytes in the file, more than the {load.memory_size:#x} in memory"
    elif load.offset + load.file_size > len(data):
        place = f"{load.file_size:#x} bytes at offset {load.offset:#x}"
        message = f"truncated: {place}, the file has {len(data):#x}"
    elif load.memory_size > ADDRESS_LIMIT or load.vaddr + load.memory_size > 1 << 64:
        message = f"{load.memory_size:#x} bytes at {load.vaddr:#x} wrap around the address space"
    elif load.align & (load.align - 1):
        message = f"alignment {load.align:#x}, expected a power of two"
    if message:
        raise GuestFileError(path, f"{name}: {message}", offset=header.place)
    return load


def _refuse_vmlinux(path: FilePath, data: bytes, header: _Header, first: _Load) -> None:
    """Refuse a Linux kernel in the form the linker writes, which no boot loader accepts; other kernels may have the
    header of an Image. It has only virtual addresses, or would need another relocation than a static PIE."""
    place = first.offset + IMAGE_MAGIC_OFFSET
    is_high = first.address >= _UPPER_HALF or (header.type == _ET_DYN and first.vaddr >= _UPPER_HALF)
    if is_high and data.startswith(IMAGE_MAGIC, place):
        message = (
            "a Linux kernel as it is linked (vmlinux): run the Image of the same build (arch/arm64/boot/Image), with "
            "this file as --symbols"
        )
        raise GuestFileError(path, message, offset=place)


def _load_bias(loads: list[_Load], ram_base: int) -> int:
    """Return the offset to add to the linked addresses of a static PIE, which preserves its alignments."""
    align = max(load.align for load in loads)
    lowest = min(load.vaddr for load in loads)
    base = -(-(ram_base + RAW_LOAD_OFFSET) // align) * align
    return base - lowest // align * align


def _entry(path: FilePath, entry: int, loads: list[_Load]) -> tuple[int, tuple[str, ...]]:
    """Return the entry point as an IPA, and warnings; in the file it may be a virtual address or a physical one.

    QEMU, too, starts a guest in a segment that is not executable.
    """
    by_va = [(load, entry - load.vaddr) for load in loads if load.holds_va(entry)]
    by_pa = [(load, entry - load.address) for load in loads if load.address <= entry < load.address + load.memory_size]
    # The executable one, if several overlap by one kind of address.
    by_va.sort(key=_not_executable)
    by_pa.sort(key=_not_executable)
    load, offset = next(iter(by_va + by_pa), (None, 0))
    message = ""
    if load is None:
        message = "is in no segment"
    elif entry % 4:
        message = "is not a multiple of 4"
    elif offset + 4 > load.file_size:
        message = f"is in the part of {load.name} that the file has no bytes for"
    elif load.offset + offset == 0:
        message = "is the ELF header: was the file linked without one?"
    if load is None or message:
        raise GuestFileError(path, f"the entry point {entry:#x} {message}", offset=_E_ENTRY)
    address = load.address + offset
    if load.flags & PF_X:
        return address, ()
    return address, (
        f"the entry point {entry:#x} is in {load.name}, which is not marked as executable (PF_X); it starts there all "
        f"the same, as in QEMU, at {address:#x}",
    )


def _not_executable(found: tuple[_Load, int]) -> bool:
    return not found[0].flags & PF_X


def _dynamic(path: FilePath, data: bytes, headers: list[_ProgramHeader]) -> tuple[int, bytes] | None:
    """Return the dynamic section: its offset in the file and its bytes."""
    for header in headers:
        if header.type != _PT_DYNAMIC:
            continue
        end = header.offset + header.file_size
        if end > len(data):
            place = f"{header.file_size:#x} bytes at offset {header.offset:#x}"
            message = f"truncated dynamic section: {place}, the file has {len(data):#x}"
            raise GuestFileError(path, message, offset=header.place)
        return header.offset, data[header.offset : end]
    return None
