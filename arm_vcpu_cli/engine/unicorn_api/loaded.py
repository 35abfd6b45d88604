"""The engine's library in this process: its build, and the place of its call table.

The ELF headers are loaded with it (System V ABI, Program Loading and Dynamic Linking); this reads only the necessary
parts, of 64-bit ELF files on Linux.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Iterator
from functools import cache
from typing import Final

from arm_vcpu_cli.engine.unicorn_api.library import library_function
from arm_vcpu_cli.record import Record

_MAGIC: Final = b"\x7fELF\x02\x01"
_HEADER_SIZE: Final = 64
_PROGRAM_HEADER: Final = struct.Struct("<IIQQQQQQ")
_PT_DYNAMIC, _PT_NOTE, _PT_GNU_RELRO = 2, 4, 0x6474_E552
_DT_PLTRELSZ, _DT_PLTGOT = 2, 3
_NT_GNU_BUILD_ID: Final = 3
_RELA_SIZE: Final = 24
_RESERVED_WORDS: Final = 3
WORD: Final = 8


class LoadedLibrary(Record):
    """``build_id`` is the GNU build ID, empty if it has none. ``calls`` is the address, and ``words`` the number of
    words, of the writable table through which the library calls exported functions; 0 words if it is not writable."""

    build_id: bytes
    calls: int
    words: int


class _DlInfo(ctypes.Structure):
    _fields_ = (
        ("path", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    )


@cache
def loaded_library() -> LoadedLibrary | None:
    """Return the library in this process; None if it cannot be found."""
    inside = library_function("uc_version")
    if sys.platform != "linux" or inside is None:
        return None
    info = _DlInfo()
    try:
        known = ctypes.CDLL(None).dladdr(ctypes.c_void_p(inside), ctypes.byref(info))
    except (OSError, AttributeError):
        return None
    return _read(info.base) if known and info.base else None


def _read(base: int) -> LoadedLibrary | None:
    header = ctypes.string_at(base, _HEADER_SIZE)
    if not header.startswith(_MAGIC):
        return None
    table, size, number = *struct.unpack_from("<Q", header, 32), *struct.unpack_from("<HH", header, 54)
    build_id, dynamic, protected = b"", dict[int, int](), range(0)
    for n in range(number):
        kind, _, _, address, _, _, length, _ = _PROGRAM_HEADER.unpack(
            ctypes.string_at(base + table + n * size, _PROGRAM_HEADER.size)
        )
        if kind == _PT_NOTE:
            build_id = build_id or _build_id(ctypes.string_at(base + address, length))
        elif kind == _PT_DYNAMIC:
            dynamic = dict(struct.iter_unpack("<QQ", ctypes.string_at(base + address, length)))
        elif kind == _PT_GNU_RELRO:
            protected = range(base + address, base + address + length)
    start, words = dynamic.get(_DT_PLTGOT, 0), dynamic.get(_DT_PLTRELSZ, 0) // _RELA_SIZE
    # Some dynamic linkers replace these by addresses, others keep the file's offsets.
    start += (0 if start >= base else base) + _RESERVED_WORDS * WORD
    if start in protected or start + (words - 1) * WORD in protected:
        words = 0
    return LoadedLibrary(build_id, start, words)


def _build_id(notes: bytes) -> bytes:
    return next((what for name, kind, what in _notes(notes) if (name, kind) == (b"GNU\0", _NT_GNU_BUILD_ID)), b"")


def _notes(notes: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    at = 0
    while at + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from("<III", notes, at)
        name = at + 12
        content = name + (name_size + 3 & ~3)
        yield notes[name : name + name_size], kind, notes[content : content + size]
        at = content + (size + 3 & ~3)
