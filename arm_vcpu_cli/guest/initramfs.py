"""Checks an initial RAM disk as a Linux kernel will read it: compression, archive, and /init.

The formats are those of Linux: Documentation/driver-api/early-userspace/buffer-format.rst, init/initramfs.c.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from arm_vcpu_cli.guest.decompression import CompressionError, Method, can_unpack, unpack
from arm_vcpu_cli.printable import decoded

LONGEST_MAGIC: Final = 6
_CPIO: Final = (b"070701", b"070702")
_CPIO_NAME: Final = "cpio"
_OLD_CPIO: Final = (b"070707", b"\xc7\x71", b"\x71\xc7")
_COMPRESSIONS: Final = (
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x5d\x00\x00", "lzma"),
    (b"BZh", "bzip2"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x89LZO", "lzo"),
)
_METHODS: Final[Mapping[str, Method]] = MappingProxyType({method.value: method for method in Method})
_OTHERS: Final = (
    (0, b"\x7fELF", "an ELF file"),
    (0, b"hsqs", "a squashfs image"),
    (0, b"-rom1fs-", "a romfs image"),
    (0, b"PK\x03\x04", "a zip file"),
    (0, b"\x27\x05\x19\x56", "a U-Boot image (mkimage): without its first 64 bytes it may be one"),
    (257, b"ustar", "a tar archive: Linux wants cpio -H newc"),
    (0x438, b"\x53\xef", "an ext2, ext3 or ext4 image: that is a root file system (root=/dev/ram0)"),
)
_MOST_UNPACKED: Final = 512 << 20
_MOST_ENTRIES: Final = 1 << 20
_HEADER: Final = 110
_FIELD: Final = 8
_MODE, _SIZE, _NAME_SIZE = 1, 6, 11
_ALIGNMENT: Final = 4
_TRAILER: Final = "TRAILER!!!"
_FORMAT, _REGULAR, _LINK, _EXECUTABLE = 0o170000, 0o100000, 0o120000, 0o111
_ELF: Final = b"\x7fELF"
_E_MACHINE: Final = slice(18, 20)
_EM_AARCH64: Final = 183
_PT_INTERP: Final = 3
_SCRIPT: Final = b"#!"
_LONGEST_LINE: Final = 256


class Entry(NamedTuple):
    """A file of an archive; ``data`` is the target of a symbolic link."""

    name: str
    mode: int
    data: bytes


class _BrokenError(ValueError):
    """The kernel cannot read it; the message is the reason."""


def recognised(head: bytes) -> str | None:
    """The format that a Linux kernel recognises at the start of an initial RAM disk, after any zeros; None if it
    recognises none."""
    head = head.lstrip(b"\0")
    if head.startswith(_CPIO):
        return _CPIO_NAME
    return next((name for magic, name in _COMPRESSIONS if head.startswith(magic)), None)


def what_it_is(data: bytes) -> str:
    """Return what a file is that is not an initramfs, as far as its first bytes show."""
    if not data:
        return "it is empty"
    if data.startswith(_OLD_CPIO):
        return "a cpio archive of an old format: Linux wants cpio -H newc"
    found = next((name for offset, magic, name in _OTHERS if data[offset:].startswith(magic)), None)
    return found or f"it begins with the bytes {data[:LONGEST_MAGIC].hex(' ')}"


def complaints(data: bytes, init: str = "/init") -> Iterator[str]:
    """Yield the reasons why a kernel cannot start ``init`` from an initial RAM disk; nothing if everything is there, or
    if the content is in a format that cannot be unpacked here."""
    files: dict[str, Entry] = {}
    try:
        is_whole = _read(data, files)
    except _BrokenError as error:
        yield str(error)
        return
    if is_whole:
        yield from _missing(files, init)


def _read(data: bytes, files: dict[str, Entry]) -> bool:
    """Read the files of all concatenated archives; return False if one is left out."""
    # The kernel skips zeros before and between archives.
    rest = data.lstrip(b"\0")
    while rest:
        kind = recognised(rest)
        if kind is None:
            if files:
                # The kernel keeps what came before.
                return True
            raise _BrokenError(f"it is no initramfs, packed or not: {what_it_is(data)}")
        if kind in _METHODS and can_unpack(_METHODS[kind]):
            try:
                archive, rest = unpack(rest, _METHODS[kind], _MOST_UNPACKED), b""
            except CompressionError as error:
                raise _BrokenError(f"its {kind} data cannot be unpacked: {error}") from None
            if not archive.startswith(_CPIO):
                raise _BrokenError(f"what its {kind} data holds is no cpio archive: {what_it_is(archive)}")
            _read(archive, files)
        elif kind == _CPIO_NAME:
            rest = rest[_read_archive(rest, files) :].lstrip(b"\0")
        else:
            return False
    return True


def _read_archive(archive: bytes, files: dict[str, Entry]) -> int:
    """Read the files of a cpio archive (newc), by their names without a leading slash; return where it ends."""
    offset = 0
    for _ in range(_MOST_ENTRIES):
        header = archive[offset : offset + _HEADER]
        if len(header) < _HEADER or not header.startswith(_CPIO):
            raise _BrokenError(
                f"its archive is truncated or damaged: there is no entry at {offset:#x}, and no end before it"
            )
        try:
            fields = [int(header[at : at + _FIELD], 16) for at in range(LONGEST_MAGIC, _HEADER, _FIELD)]
        except ValueError:
            raise _BrokenError(f"its archive is damaged: the entry at {offset:#x} has invalid numbers") from None
        start = offset + _HEADER
        name = decoded(archive[start : start + fields[_NAME_SIZE] - 1])
        begin = -(-(start + fields[_NAME_SIZE]) // _ALIGNMENT) * _ALIGNMENT
        end = begin + fields[_SIZE]
        if name == _TRAILER:
            return begin
        if end > len(archive):
            raise _BrokenError(
                f"its archive is truncated: {name} should end at {end:#x}, but the archive ends at {len(archive):#x}"
            )
        name = name.removeprefix("./").strip("/")
        files[name] = Entry(name, fields[_MODE], archive[begin:end])
        offset = -(-end // _ALIGNMENT) * _ALIGNMENT
    return offset


def _missing(files: Mapping[str, Entry], init: str) -> Iterator[str]:
    """Yield the obstacles to starting a program of an archive."""
    entry = _resolved(files, init)
    if entry is None:
        yield f"it has no {init}, the program that a kernel starts from it"
        return
    if entry.mode & _FORMAT != _REGULAR:
        yield f"its {init} is not a regular file"
    elif not entry.mode & _EXECUTABLE:
        yield f"its {init} is not executable (mode {entry.mode & 0o7777:o})"
    elif entry.data.startswith(_ELF):
        machine = int.from_bytes(entry.data[_E_MACHINE], "little")
        loader = _interpreter(entry.data)
        if machine != _EM_AARCH64:
            yield f"its {init} is for another machine (EM {machine}), not for AArch64"
        elif loader and _resolved(files, loader) is None:
            yield f"its {init} is dynamically linked, and needs {loader}, which is not in it"
    elif entry.data.startswith(_SCRIPT):
        line = entry.data[len(_SCRIPT) : _LONGEST_LINE].partition(b"\n")[0].split()
        program = decoded(line[0]) if line else ""
        if _resolved(files, program) is None:
            yield f"its {init} is a script for {program or 'nobody'}, which is not in it"
    else:
        yield f"its {init} is neither an ELF file nor a script (#!)"


def _resolved(files: Mapping[str, Entry], path: str) -> Entry | None:
    """Return the file that a path leads to through symbolic links, including those to its parent folders."""
    for _ in range(len(_OTHERS)):
        parts = path.strip("/").split("/")
        for length in range(1, len(parts) + 1):
            entry = files.get("/".join(parts[:length]))
            if entry is not None and entry.mode & _FORMAT == _LINK:
                target = decoded(entry.data)
                folder = "" if target.startswith("/") else "/".join(parts[: length - 1])
                path = _joined(folder, target, parts[length:])
                break
        else:
            return files.get("/".join(parts))
    return None


def _joined(folder: str, target: str, rest: list[str]) -> str:
    parts: list[str] = []
    for part in [*folder.split("/"), *target.split("/"), *rest]:
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _interpreter(elf: bytes) -> str:
    """Return the dynamic linker that a 64-bit ELF file requires; empty if it needs none."""
    start, size = int.from_bytes(elf[32:40], "little"), int.from_bytes(elf[54:56], "little")
    for number in range(int.from_bytes(elf[56:58], "little")):
        header = elf[start + number * size : start + (number + 1) * size]
        if int.from_bytes(header[:4], "little") == _PT_INTERP:
            offset, length = int.from_bytes(header[8:16], "little"), int.from_bytes(header[32:40], "little")
            return decoded(elf[offset : offset + min(length, _LONGEST_LINE)].partition(b"\0")[0])
    return ""
