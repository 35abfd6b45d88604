"""The file of a snapshot: named parts, each with a digest, and a manifest that lists them.

    header     16 bytes of magic number, the format's version (major, minor: 16 bits each), 12 zero bytes
    parts      one behind the other, without gaps
    manifest   JSON: {"facts": {...}, "parts": [{"name", "size", "raw", "coding", "sha256"}, ...]}
    trailer    the size of the manifest (64 bits), its SHA-256, 8 bytes of magic number

Numbers are little-endian. ``size`` and ``sha256`` are those of the part in the file, ``raw`` is its unpacked size;
``coding`` is "raw" or "zstd". The SHA-256 of the manifest covers every byte of the file except the constant header, so
it identifies the snapshot.

It is written front to back, so nothing must be known in advance, and read back to front. Readers trust nothing: sizes
are limited before anything is read into memory.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Final

from arm_vcpu_cli.errors import FileError
from arm_vcpu_cli.printable import printable
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.saved import Saved
from arm_vcpu_cli.sizes import MIB
from arm_vcpu_cli.vm.snapshot_plain import packed, unpacked

MAJOR: Final = 1
"""The major version; readers refuse any other."""
MINOR: Final = 0
"""The minor version; readers refuse a greater one."""
RAW: Final = "raw"
ZSTD: Final = "zstd"
_MAGIC: Final = b"\x93armvcpu-snap\r\n\x1a"
_END: Final = b"snap-end"
_HEADER: Final = struct.Struct("<16sHH12x")
_TRAILER: Final = struct.Struct("<Q32s8s")
_MOST_MANIFEST: Final = 16 * MIB
_STEP: Final = MIB
_COMPRESSION: Final = "arm_vcpu_cli.trace.compression"
"""Loaded only for parts that are compressed."""


class FilePart(Record):
    """A part of the file: its place, its size there and when unpacked, its coding, and its digest."""

    name: str
    offset: int
    size: int
    raw: int
    coding: str
    sha256: str


class SnapshotWriter:
    """Writes a snapshot to ``file``, front to back. ``compress``: with Zstandard, which must be installed."""

    def __init__(self, file: BinaryIO, *, compress: bool) -> None:
        self._write = file.write
        self._pack: Callable[[bytes], bytes] | None = import_module(_COMPRESSION).frame if compress else None
        self._parts: list[dict[str, Any]] = []
        self._write(_HEADER.pack(_MAGIC, MAJOR, MINOR))

    def add(self, name: str, data: bytes) -> None:
        """Add a part. Several parts may have the same name."""
        held = data if self._pack is None else self._pack(data)
        self._write(held)
        self._parts.append(
            {
                "name": name,
                "size": len(held),
                "raw": len(data),
                "coding": RAW if self._pack is None else ZSTD,
                "sha256": hashlib.sha256(held).hexdigest(),
            }
        )

    def finish(self, facts: Mapping[str, object]) -> str:
        """Write the manifest, with these facts of plain data; return the snapshot's digest."""
        manifest = packed({"facts": dict(facts), "parts": self._parts})
        found = hashlib.sha256(manifest)
        self._write(manifest)
        self._write(_TRAILER.pack(len(manifest), found.digest(), _END))
        return found.hexdigest()


class SnapshotFile:
    """A snapshot open for reading; close it when done (or use it as a context manager).

    ``facts`` are those given to :meth:`SnapshotWriter.finish`, ``parts`` are in the order of the file, and ``digest``
    identifies the whole.
    """

    def __init__(self, path: Path) -> None:
        """Open a file and check its manifest. Raises :class:`FileError`."""
        self.path: Final = path
        self._fd = _open(path)
        try:
            manifest, start, self.digest = self._manifest(os.fstat(self._fd).st_size)
            self.facts: Final = manifest.part("facts")
            self.parts: Final = tuple(_parts(manifest, start))
        except ValueError as error:
            os.close(self._fd)
            raise FileError(path, str(error)) from error
        except BaseException:
            os.close(self._fd)
            raise

    def _manifest(self, size: int) -> tuple[Saved, int, str]:
        """Return the manifest, its offset, and its digest."""
        header = self._read(0, min(_HEADER.size, size))
        if not header.startswith(_MAGIC[: len(header)]) or not header:
            raise ValueError("this is no snapshot of armvcpu")
        if size < _HEADER.size + _TRAILER.size:
            raise ValueError("the snapshot is cut off")
        _, major, minor = _HEADER.unpack(header)
        if major != MAJOR or minor > MINOR:
            raise ValueError(f"a snapshot of format {major}.{minor}, expected {MAJOR}.{MINOR}: take it again")
        if header != _HEADER.pack(_MAGIC, major, minor):
            raise ValueError("the header is damaged")
        length, found, end = _TRAILER.unpack(self._read(size - _TRAILER.size, _TRAILER.size))
        if end != _END:
            raise ValueError("the snapshot is cut off, or its end is damaged")
        if length > min(_MOST_MANIFEST, size - _HEADER.size - _TRAILER.size):
            raise ValueError("the size of its manifest is damaged")
        start = size - _TRAILER.size - length
        manifest = self._read(start, length)
        if hashlib.sha256(manifest).digest() != found:
            raise ValueError("the manifest is damaged: it does not have its digest")
        return Saved(unpacked(manifest), "manifest"), start, found.hex()

    def named(self, name: str) -> list[FilePart]:
        """Return all parts of that name."""
        return [part for part in self.parts if part.name == name]

    def read(self, part: FilePart, most: int) -> bytes:
        """Return a part, unpacked. Raises :class:`FileError` if it is damaged, or has more than ``most`` bytes."""
        if part.raw > most:
            raise FileError(self.path, f"the part {part.name} has {part.raw} bytes, more than {most}")
        held = self._held(part)
        return held if part.coding == RAW else self._unpacked(part, held)

    def check(self, part: FilePart) -> None:
        """Read a part, and raise :class:`FileError` if its digest is wrong."""
        found = hashlib.sha256()
        for offset in range(0, part.size, _STEP):
            found.update(self._read(part.offset + offset, min(_STEP, part.size - offset)))
        self._check(part, found.hexdigest())

    def _held(self, part: FilePart) -> bytes:
        held = self._read(part.offset, part.size)
        self._check(part, hashlib.sha256(held).hexdigest())
        return held

    def _check(self, part: FilePart, digest: str) -> None:
        if digest != part.sha256:
            raise FileError(self.path, f"the part {printable(part.name)} is damaged: it does not have its digest")

    def read_into(self, part: FilePart, views: Sequence[memoryview]) -> None:
        """Read a part into ``views``, which must have exactly its size; raises as :meth:`read` does."""
        if part.coding == RAW:
            self._scatter(part, views)
            return
        data = memoryview(self.read(part, part.raw))
        at = 0
        for view in views:
            view[:] = data[at : at + view.nbytes]
            at += view.nbytes

    def _unpacked(self, part: FilePart, held: bytes) -> bytes:
        compression = import_module(_COMPRESSION)
        if not compression.is_known(".zst"):
            package = "the zstandard package (pip install 'arm-vcpu-cli[zstd]')"
            raise FileError(self.path, f"the snapshot is compressed, which needs {package}")
        try:
            data: bytes = compression.unframe(held, part.raw)
        except ValueError as error:
            raise FileError(self.path, f"the part {part.name} is damaged: {error}") from error
        return data

    def _scatter(self, part: FilePart, views: Sequence[memoryview]) -> None:
        found = hashlib.sha256()
        offset = part.offset
        for first in range(0, len(views), _MOST_VIEWS):
            group = views[first : first + _MOST_VIEWS]
            wanted = sum(view.nbytes for view in group)
            if os.preadv(self._fd, group, offset) != wanted:
                # A part is short enough for a single read, unless the file has been truncated.
                raise FileError(self.path, f"the part {part.name} cannot be read")
            for view in group:
                found.update(view)
            offset += wanted
        self._check(part, found.hexdigest())

    def _read(self, offset: int, size: int) -> bytes:
        try:
            data = os.pread(self._fd, size, offset)
        except OSError as error:
            raise FileError(self.path, f"cannot be read: {error.strerror}") from error
        if len(data) != size:
            raise FileError(self.path, "the snapshot is cut off")
        return data

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> SnapshotFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_MOST_VIEWS: Final = 1000
"""Below Linux's IOV_MAX, the most that one call of readv accepts."""


def _open(path: Path) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise FileError(path, f"cannot be read: {reason}") from error
    if not path.is_file():
        os.close(fd)
        raise FileError(path, "expected a regular file")
    return fd


def _parts(saved: Saved, end: int) -> list[FilePart]:
    """Return the parts that a manifest lists, which fill the file from the header to ``end``."""
    found = []
    offset = _HEADER.size
    for each in saved.parts("parts", None):
        size, raw, coding = each.number("size", end), each.number("raw", 1 << 40), each.text("coding")
        if coding not in (RAW, ZSTD):
            raise ValueError(f"a part is coded as {coding!r}, expected {RAW} or {ZSTD}")
        if coding == RAW and size != raw:
            raise ValueError("a part that is not packed has two sizes")
        found.append(FilePart(each.text("name"), offset, size, raw, coding, each.text("sha256")))
        offset += size
    if offset != end:
        raise ValueError("the parts do not fill the file")
    return found
