"""Relocation of a static PIE: the entries of its dynamic section that only add the load bias."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.guest.elf_names import elf_name

_DYNAMIC_ENTRY: Final = struct.Struct("<qQ")  # d_tag, d_val
_RELA_ENTRY: Final = struct.Struct("<QQq")  # r_offset, r_info, r_addend
_WORD: Final = struct.Struct("<Q")

# d_tag (gABI, "Dynamic Section")
_DT_NULL: Final = 0
_DT_NEEDED: Final = 1
_DT_PLTRELSZ: Final = 2
_DT_RELA: Final = 7
_DT_RELASZ: Final = 8
_DT_RELAENT: Final = 9
_DT_RELSZ: Final = 18
_DT_PLTREL: Final = 20
_DT_JMPREL: Final = 23
_DT_RELRSZ: Final = 35
_DT_RELR: Final = 36
_DT_RELRENT: Final = 37

# r_type (IHI 0056, "Relocation types")
_R_NONE: Final = 0
_R_RELATIVE: Final = 1027

# A bitmap entry of DT_RELR covers the 63 words after the last address.
_RELR_WORDS: Final = 63


class Place(NamedTuple):
    """A virtual address found in the file: the piece that holds it, and the offset there and in the file."""

    piece: int
    offset: int
    file_offset: int


class _LinkedData:
    """The bytes of the segments by virtual address, as linked.

    ``pieces`` are (virtual address, offset in the file, bytes).
    """

    def __init__(self, pieces: list[tuple[int, int, bytes]]) -> None:
        self._pieces = pieces
        self._data = [bytearray(data) for _, _, data in pieces]
        self._order = sorted(range(len(pieces)), key=lambda index: pieces[index][0])
        self._starts = [pieces[index][0] for index in self._order]

    def find(self, va: int, size: int) -> Place | None:
        """Where the ``size`` bytes at ``va`` are; None unless one segment has all of them in the file."""
        found = bisect_right(self._starts, va) - 1
        if found < 0:
            return None
        index = self._order[found]
        start, file_offset, data = self._pieces[index]
        if va + size > start + len(data):
            return None
        return Place(index, va - start, file_offset + va - start)

    def read(self, place: Place, size: int) -> bytes:
        return bytes(self._data[place.piece][place.offset : place.offset + size])

    def read_word(self, place: Place) -> int:
        value: int = _WORD.unpack_from(self._data[place.piece], place.offset)[0]
        return value

    def write_word(self, place: Place, value: int) -> None:
        """Write the low 64 bits of ``value``."""
        _WORD.pack_into(self._data[place.piece], place.offset, value & MASK64)

    def contents(self) -> list[bytes]:
        """The bytes of each piece, in the order in which they were given."""
        return [bytes(data) for data in self._data]


def relocated(path: Path, pieces: list[tuple[int, int, bytes]], dynamic: bytes, offset: int, bias: int) -> list[bytes]:
    """The bytes of ``pieces`` moved by ``bias`` bytes, as the dynamic section (at ``offset`` in the file) says.

    ``pieces`` are (virtual address as linked, offset in the file, bytes). Applies R_AARCH64_RELATIVE, in tables of
    Elf64_Rela and packed (DT_RELR). Raises GuestFileError for any other relocation, for a table or a target outside
    the file's bytes, and for a file that needs a shared library.
    """
    linked = _LinkedData(pieces)
    tags = _dynamic_tags(path, dynamic, offset)
    if tags.get(_DT_RELSZ):
        raise GuestFileError(path, "relocations without addends (DT_REL), expected DT_RELA", offset=offset)
    tables = [(_DT_RELA, _DT_RELASZ, "DT_RELA")]
    if tags.get(_DT_PLTREL, _DT_RELA) == _DT_RELA:
        tables.append((_DT_JMPREL, _DT_PLTRELSZ, "DT_JMPREL"))
    if tags.get(_DT_RELAENT, _RELA_ENTRY.size) != _RELA_ENTRY.size:
        message = f"DT_RELAENT is {tags[_DT_RELAENT]}, expected {_RELA_ENTRY.size}"
        raise GuestFileError(path, message, offset=offset)
    if tags.get(_DT_RELRENT, _WORD.size) != _WORD.size:
        raise GuestFileError(path, f"DT_RELRENT is {tags[_DT_RELRENT]}, expected {_WORD.size}", offset=offset)
    # Every table is read before anything is written: a relocation that hits a table must not change it.
    relas = [
        (table, linked.read(table, size))
        for address, size_tag, name in tables
        for table, size in _table(path, linked, tags, address, size_tag, name, _RELA_ENTRY.size, offset)
    ]
    packed = [
        (table, linked.read(table, size))
        for table, size in _table(path, linked, tags, _DT_RELR, _DT_RELRSZ, "DT_RELR", _WORD.size, offset)
    ]
    for table, entries in packed:
        _apply_relr(path, linked, entries, table.file_offset, bias)
    for table, entries in relas:
        _apply_rela(path, linked, entries, table.file_offset, bias)
    return linked.contents()


def _dynamic_tags(path: Path, dynamic: bytes, offset: int) -> dict[int, int]:
    tags: dict[int, int] = {}
    whole = len(dynamic) - len(dynamic) % _DYNAMIC_ENTRY.size
    for index, (tag, value) in enumerate(_DYNAMIC_ENTRY.iter_unpack(memoryview(dynamic)[:whole])):
        if tag == _DT_NULL:
            break
        if tag == _DT_NEEDED:
            message = "needs a shared library (DT_NEEDED), expected a static executable"
            raise GuestFileError(path, message, offset=offset + index * _DYNAMIC_ENTRY.size)
        tags[tag] = value
    return tags


def _table(
    path: Path,
    linked: _LinkedData,
    tags: dict[int, int],
    address_tag: int,
    size_tag: int,
    name: str,
    entry_size: int,
    offset: int,
) -> Iterator[tuple[Place, int]]:
    """The place and the size of a relocation table, if the file has it."""
    size = tags.get(size_tag, 0)
    if not size:
        return
    if size % entry_size:
        message = f"{name} has {size:#x} bytes, expected a multiple of {entry_size}"
        raise GuestFileError(path, message, offset=offset)
    address = tags.get(address_tag)
    place = None if address is None else linked.find(address, size)
    if place is None:
        where = "no address" if address is None else f"{size:#x} bytes at {address:#x}, in no segment's data"
        raise GuestFileError(path, f"{name} has {where}", offset=offset)
    yield place, size


def _apply_rela(path: Path, linked: _LinkedData, entries: bytes, offset: int, bias: int) -> None:
    for index, (target, info, addend) in enumerate(_RELA_ENTRY.iter_unpack(entries)):
        kind = info & 0xFFFF_FFFF
        if kind == _R_NONE:
            continue
        where = offset + index * _RELA_ENTRY.size
        if kind != _R_RELATIVE:
            message = f"relocation {_relocation_name(kind)}, expected only R_AARCH64_RELATIVE"
            raise GuestFileError(path, message, offset=where)
        linked.write_word(_target(path, linked, target, where), addend + bias)


def _apply_relr(path: Path, linked: _LinkedData, entries: bytes, offset: int, bias: int) -> None:
    following: int | None = None
    for index, (entry,) in enumerate(_WORD.iter_unpack(entries)):
        where = offset + index * _WORD.size
        if entry & 1 == 0:
            targets = [entry]
            following = entry + _WORD.size
        elif following is None:
            raise GuestFileError(path, "DT_RELR begins with a bitmap, expected an address", offset=where)
        else:
            bits = range(_RELR_WORDS)
            targets = [following + bit * _WORD.size for bit in bits if entry >> (bit + 1) & 1]
            following += _RELR_WORDS * _WORD.size
        for target in targets:
            place = _target(path, linked, target, where)
            linked.write_word(place, linked.read_word(place) + bias)


def _target(path: Path, linked: _LinkedData, target: int, where: int) -> Place:
    place = linked.find(target, _WORD.size)
    if place is None:
        raise GuestFileError(path, f"relocation of {target:#x}, which is in no segment's data", offset=where)
    return place


def _relocation_name(kind: int) -> str:
    return elf_name("ENUM_RELOC_TYPE_AARCH64", kind) or f"type {kind}"
