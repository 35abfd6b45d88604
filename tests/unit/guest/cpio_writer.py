"""Creates minimal archives for an initial RAM disk (cpio, newc)."""

from __future__ import annotations

from collections.abc import Mapping

EXECUTABLE, PLAIN, LINK, FOLDER = 0o100755, 0o100644, 0o120777, 0o040755


def cpio(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """An archive of files by name: mode and contents, or where a symbolic link leads."""
    entries = [*files.items(), ("TRAILER!!!", (0, b""))]
    return b"".join(_entry(name.encode() + b"\0", mode, data) for name, (mode, data) in entries)


def _entry(name: bytes, mode: int, data: bytes) -> bytes:
    fields = (1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
    return _padded(b"070701" + b"".join(b"%08x" % field for field in fields) + name) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
