"""Refuses Linux programs given as guests, which an ELF file reveals."""

from __future__ import annotations

import struct
from itertools import takewhile
from pathlib import Path
from typing import Final

from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.printable import decoded

_DYNAMIC_ENTRY: Final = struct.Struct("<qQ")  # d_tag, d_val
_DT_NULL: Final = 0
_DT_NEEDED: Final = 1
_NOTE: Final = struct.Struct("<3I")
_GNU: Final = b"GNU\0"
_ABI_TAG: Final = 1
_LINUX: Final = 0
_MOST_NOTES: Final = 64
_ALIGNMENT: Final = 4
_LONGEST_PATH: Final = 4096
_STEP: Final = (
    "guests run on bare metal. Put the program into the initial RAM disk of a kernel (--initrd), or link it for bare "
    "metal"
)


def refuse_dynamic(path: Path, data: bytes, interpreter: tuple[int, int, int], dynamic: bytes) -> None:
    """Refuse a file that needs shared libraries and a dynamic linker for them.

    ``interpreter`` is the place of its program header, that of the name, and the size of the name; ``dynamic`` is the
    dynamic section. Linkers name an interpreter in every PIE by default, which means nothing in a file without
    libraries.
    """
    whole = len(dynamic) - len(dynamic) % _DYNAMIC_ENTRY.size
    tags = takewhile(lambda tag: tag != _DT_NULL, (tag for tag, _ in _DYNAMIC_ENTRY.iter_unpack(dynamic[:whole])))
    if _DT_NEEDED not in tags:
        return
    place, offset, size = interpreter
    name = decoded(data[offset : offset + min(size, _LONGEST_PATH)].partition(b"\0")[0])
    message = (
        f"a program for an operating system: it requests the dynamic linker {name} (PT_INTERP), and {_STEP} (-static; "
        "-static-pie for one that can be moved)"
    )
    raise GuestFileError(path, message, offset=place)


def refuse_linux_program(path: Path, data: bytes, offset: int, size: int) -> None:
    """Refuse a file with a note that it is for Linux (NT_GNU_ABI_TAG), which the C library adds to every program.
    ``offset`` and ``size`` are those of a PT_NOTE segment."""
    end = min(offset + size, len(data))
    for _ in range(_MOST_NOTES):
        if offset + _NOTE.size > end:
            return
        name_size, body_size, kind = _NOTE.unpack_from(data, offset)
        name = offset + _NOTE.size
        body = name + _aligned(name_size)
        if (kind, data[name : name + name_size]) == (_ABI_TAG, _GNU) and body_size >= _ALIGNMENT and body + 4 <= end:
            if int.from_bytes(data[body : body + 4], "little") == _LINUX:
                message = (
                    f"a Linux program, according to its note (.note.ABI-tag), and {_STEP} (-nostdlib); --kernel-type "
                    "elf overrides that"
                )
                raise GuestFileError(path, message, offset=offset)
            return
        offset = body + _aligned(body_size)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
