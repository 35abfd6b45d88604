"""Relocates a static PIE, as its dynamic section specifies.

A file does not say whether its own start-up code relocates it or relies on the loader. Here the loader does it, and a
start-up that does it again, for the same place, must have no effect. With DT_RELA that is automatic, because the addend
is in the table. Entries whose addend is the word in memory (DT_REL, DT_RELR) become entries that do nothing.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.errors import GuestFileError

_DYNAMIC_ENTRY: Final = struct.Struct("<qQ")  # d_tag, d_val
_RELA_ENTRY: Final = struct.Struct("<QQq")  # r_offset, r_info, r_addend
_REL_ENTRY: Final = struct.Struct("<QQ")  # r_offset, r_info
_SYMBOL: Final = struct.Struct("<IBBHQQ")  # st_name, st_info, st_other, st_shndx, st_value, st_size
_WORD: Final = struct.Struct("<Q")

# d_tag (gABI, "Dynamic Section")
_DT_NULL: Final = 0
_DT_NEEDED: Final = 1
_DT_PLTRELSZ: Final = 2
_DT_SYMTAB: Final = 6
_DT_RELA: Final = 7
_DT_RELASZ: Final = 8
_DT_RELAENT: Final = 9
_DT_REL: Final = 17
_DT_RELSZ: Final = 18
_DT_RELENT: Final = 19
_DT_PLTREL: Final = 20
_DT_JMPREL: Final = 23
_DT_RELRSZ: Final = 35
_DT_RELR: Final = 36
_DT_RELRENT: Final = 37
_DT_ANDROID_REL: Final = 0x6000_000F
_DT_ANDROID_RELA: Final = 0x6000_0011
_DT_ANDROID_RELR: Final = 0x6FFF_E000
_DT_ANDROID_RELRSZ: Final = 0x6FFF_E001
_DT_ANDROID_RELRENT: Final = 0x6FFF_E003

# r_type (IHI 0056, "Relocation types")
_R_NONE: Final = 0
_R_RELATIVE: Final = 1027
_R_OF_SYMBOLS: Final = (257, 1025, 1026)
"""R_AARCH64_ABS64, GLOB_DAT and JUMP_SLOT: the address of a symbol, which linkers emit for undefined weak symbols."""
_R_IRELATIVE: Final = 1032
_NAMES: Final[Mapping[int, str]] = MappingProxyType(
    {
        257: "R_AARCH64_ABS64",
        258: "R_AARCH64_ABS32",
        260: "R_AARCH64_PREL64",
        261: "R_AARCH64_PREL32",
        1024: "R_AARCH64_COPY",
        1025: "R_AARCH64_GLOB_DAT",
        1026: "R_AARCH64_JUMP_SLOT",
        1028: "R_AARCH64_TLS_DTPMOD",
        1029: "R_AARCH64_TLS_DTPREL",
        1030: "R_AARCH64_TLS_TPREL",
        1031: "R_AARCH64_TLSDESC",
    }
)
"""The relocations that linkers leave in a file."""
_STB_WEAK: Final = 2
_SHN_UNDEF: Final = 0
_SHN_ABS: Final = 0xFFF1

# A bitmap entry of DT_RELR covers the 63 words after the last address.
_RELR_WORDS: Final = 63
_RELR_NOTHING: Final = 1
"""The bitmap of no words."""


_INDIRECT_FUNCTIONS: Final = (
    "its indirect functions (R_AARCH64_IRELATIVE) are left to its own start-up code; if that does not resolve them, "
    "calls of them go astray"
)


class Place(NamedTuple):
    """A virtual address in the file: the piece that holds it, and the offset there and in the file."""

    piece: int
    offset: int
    file_offset: int

    def behind(self, size: int) -> Place:
        """Return the place ``size`` bytes further in the same piece."""
        return Place(self.piece, self.offset + size, self.file_offset + size)


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
        """Return the place of the ``size`` bytes at ``va``; None unless one segment has all of them in the file."""
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
        """Return the bytes of each piece, in the original order."""
        return [bytes(data) for data in self._data]


def relocated(
    path: Path, pieces: list[tuple[int, int, bytes]], dynamic: bytes, offset: int, bias: int
) -> tuple[list[bytes], tuple[str, ...]]:
    """Return the bytes of ``pieces`` moved by ``bias`` bytes, as the dynamic section (at ``offset`` in the file)
    specifies, and warnings.

    ``pieces`` are (virtual address as linked, offset in the file, bytes). Applies R_AARCH64_RELATIVE, and addresses of
    symbols that the file defines or that are weak. The address of an indirect function is left to the guest's start-up
    code, which calls the function that determines it. Raises GuestFileError for any other relocation, for a table or a
    target outside the file's bytes, and for a file that needs a shared library.
    """
    linked = _LinkedData(pieces)
    tags = _dynamic_tags(path, dynamic, offset)
    kinds = [
        _Kind(_DT_RELR, _DT_RELRSZ, "DT_RELR", _WORD, _apply_relr),
        _Kind(_DT_REL, _DT_RELSZ, "DT_REL", _REL_ENTRY, _apply_rel),
        _Kind(_DT_RELA, _DT_RELASZ, "DT_RELA", _RELA_ENTRY, _apply_rela),
        _Kind(_DT_ANDROID_RELR, _DT_ANDROID_RELRSZ, "DT_ANDROID_RELR", _WORD, _apply_relr),
    ]
    in_plt = {_DT_REL: kinds[1], _DT_RELA: kinds[2]}.get(tags.get(_DT_PLTREL, _DT_RELA))
    if in_plt is not None:
        kinds.append(_Kind(_DT_JMPREL, _DT_PLTRELSZ, "DT_JMPREL", in_plt.form, in_plt.apply))
    for tag, name, form in (
        (_DT_RELAENT, "DT_RELAENT", _RELA_ENTRY),
        (_DT_RELENT, "DT_RELENT", _REL_ENTRY),
        (_DT_RELRENT, "DT_RELRENT", _WORD),
        (_DT_ANDROID_RELRENT, "DT_ANDROID_RELRENT", _WORD),
    ):
        if tags.get(tag, form.size) != form.size:
            raise GuestFileError(path, f"{name} is {tags[tag]}, expected {form.size}", offset=offset)
    for tag, name in ((_DT_ANDROID_REL, "DT_ANDROID_REL"), (_DT_ANDROID_RELA, "DT_ANDROID_RELA")):
        if tag in tags:
            message = f"packed relocations ({name}), expected DT_RELA or DT_RELR: link it with --pack-dyn-relocs=relr"
            raise GuestFileError(path, message, offset=offset)
    work = _Work(path, linked, bias, tags.get(_DT_SYMTAB), [])
    # Read every table before writing anything: a relocation into a table must not change it.
    tables = [
        (kind, table, linked.read(table, size))
        for kind in kinds
        for table, size in _table(path, linked, tags, kind, offset)
    ]
    for kind, table, entries in tables:
        kind.apply(work, entries, table)
    return linked.contents(), (_INDIRECT_FUNCTIONS,) if work.indirect else ()


class _Work(NamedTuple):
    """The data needed to apply a table; ``symbols`` is the virtual address of the symbol table, ``indirect`` collects
    the file offsets of the relocations left to the guest."""

    path: Path
    linked: _LinkedData
    bias: int
    symbols: int | None
    indirect: list[int]

    def target(self, target: int, where: int) -> Place:
        """Return the word at an address, which the relocation at ``where`` in the file names."""
        place = self.linked.find(target, _WORD.size)
        if place is None:
            message = f"relocation of {target:#x}, which is in no segment's data"
            raise GuestFileError(self.path, message, offset=where)
        return place

    def base(self, info: int, where: int) -> int | None:
        """Return the value to which a relocation adds its addend; None if it does nothing."""
        kind, index = info & 0xFFFF_FFFF, info >> 32
        if kind == _R_NONE:
            return None
        if kind == _R_RELATIVE:
            return self.bias
        if kind in _R_OF_SYMBOLS and index:
            return self._symbol(index, where)
        if kind == _R_IRELATIVE:
            self.indirect.append(where)
            return None
        message = f"relocation {_relocation_name(kind)}, expected only R_AARCH64_RELATIVE"
        raise GuestFileError(self.path, message, offset=where)

    def _symbol(self, index: int, where: int) -> int:
        """Return the address of a symbol; 0 for an undefined weak one."""
        place = None if self.symbols is None else self.linked.find(self.symbols + index * _SYMBOL.size, _SYMBOL.size)
        if place is None:
            raise GuestFileError(self.path, f"relocation by symbol {index}, which the file does not have", offset=where)
        _, info, _, section, value, _ = _SYMBOL.unpack(self.linked.read(place, _SYMBOL.size))
        if section == _SHN_UNDEF:
            if info >> 4 == _STB_WEAK:
                return 0
            raise GuestFileError(self.path, f"relocation by symbol {index}, which nobody defines", offset=where)
        return int(value) + (0 if section == _SHN_ABS else self.bias)


class _Kind(NamedTuple):
    """A kind of relocation table: the tags of its address and size, its entries, and the function that applies them."""

    address: int
    size: int
    name: str
    form: struct.Struct
    apply: Callable[[_Work, bytes, Place], None]


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
    path: Path, linked: _LinkedData, tags: dict[int, int], kind: _Kind, offset: int
) -> Iterator[tuple[Place, int]]:
    """Yield the place and the size of a relocation table, if the file has it."""
    size = tags.get(kind.size, 0)
    if not size:
        return
    if size % kind.form.size:
        message = f"{kind.name} has {size:#x} bytes, expected a multiple of {kind.form.size}"
        raise GuestFileError(path, message, offset=offset)
    address = tags.get(kind.address)
    place = None if address is None else linked.find(address, size)
    if place is None:
        where = "no address" if address is None else f"{size:#x} bytes at {address:#x}, in no segment's data"
        raise GuestFileError(path, f"{kind.name} has {where}", offset=offset)
    yield place, size


def _apply_rela(work: _Work, entries: bytes, table: Place) -> None:
    for index, (target, info, addend) in enumerate(_RELA_ENTRY.iter_unpack(entries)):
        where = table.file_offset + index * _RELA_ENTRY.size
        base = work.base(info, where)
        if base is not None:
            work.linked.write_word(work.target(target, where), base + addend)


def _apply_rel(work: _Work, entries: bytes, table: Place) -> None:
    linked = work.linked
    for index, (target, info) in enumerate(_REL_ENTRY.iter_unpack(entries)):
        at = index * _REL_ENTRY.size
        base = work.base(info, table.file_offset + at)
        if base:
            place = work.target(target, table.file_offset + at)
            linked.write_word(place, linked.read_word(place) + base)
            linked.write_word(table.behind(at + _WORD.size), _R_NONE)


def _apply_relr(work: _Work, entries: bytes, table: Place) -> None:
    linked, bias = work.linked, work.bias
    following: int | None = None
    for index, (entry,) in enumerate(_WORD.iter_unpack(entries)):
        where = table.file_offset + index * _WORD.size
        if entry & 1 == 0:
            targets = [entry]
            following = entry + _WORD.size
        elif following is None:
            raise GuestFileError(work.path, "DT_RELR begins with a bitmap, expected an address", offset=where)
        else:
            bits = range(_RELR_WORDS)
            targets = [following + bit * _WORD.size for bit in bits if entry >> (bit + 1) & 1]
            following += _RELR_WORDS * _WORD.size
        for target in targets:
            place = work.target(target, where)
            linked.write_word(place, linked.read_word(place) + bias)
        if bias:
            linked.write_word(table.behind(index * _WORD.size), _RELR_NOTHING)


def _relocation_name(kind: int) -> str:
    return _NAMES.get(kind) or f"type {kind}"
