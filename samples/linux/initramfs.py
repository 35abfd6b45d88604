#!/usr/bin/env python3
"""Write an initial RAM disk for Linux: busybox, a link for each of its applets, and a script as /init.

The same inputs give the same bytes. The archive is a cpio archive of the "newc" kind, compressed with gzip
(Linux, Documentation/driver-api/early-userspace/buffer-format.rst).
"""

from __future__ import annotations

import argparse
import gzip
import io
import re
import stat
from pathlib import Path

BLOCK = 512
DIRECTORIES = ("bin", "dev", "proc", "root", "sys", "tmp")

# The names in the table of a busybox: NUL-separated, sorted, from "[" on.
APPLET = re.compile(rb"[a-z0-9_\[][a-z0-9_.\[-]*")
FIRST_APPLETS = b"\0[\0[[\0"


class Archive:
    """A cpio archive under construction."""

    def __init__(self) -> None:
        self._out = io.BytesIO()
        self._inode = 0

    def add(self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        """Append an entry; ``device`` is the (major, minor) number of a device node."""
        self._inode += 1
        links = 2 if stat.S_ISDIR(mode) else 1
        encoded = name.encode() + b"\0"
        # inode, mode, user, group, links, time, size, device of the file system, device node, length of the name, check
        fields = (self._inode, mode, 0, 0, links, 0, len(data), 0, 0, *device, len(encoded), 0)
        self._write(b"070701" + b"".join(b"%08x" % field for field in fields) + encoded)
        self._write(data)

    def finish(self) -> bytes:
        """The whole archive."""
        self.add("TRAILER!!!", 0)
        self._out.write(bytes(-self._out.tell() % BLOCK))
        return self._out.getvalue()

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self._out.write(bytes(-self._out.tell() % 4))


def applets(busybox: bytes) -> list[str]:
    """The names that a busybox answers to, from the table in the program, which cannot be run on the host."""
    start = busybox.find(FIRST_APPLETS)
    if start < 0:
        raise SystemExit("initramfs.py: this is no busybox: it has no table of applets")
    names: list[str] = []
    for raw in busybox[start + 1 :].split(b"\0"):
        name = raw.decode("ascii", "replace")
        if not APPLET.fullmatch(raw) or (names and name <= names[-1]):
            break
        names.append(name)
    return names


def build(busybox: bytes, init: bytes) -> bytes:
    """The compressed archive."""
    archive = Archive()
    for name in DIRECTORIES:
        archive.add(name, stat.S_IFDIR | 0o755)
    # The kernel opens it for /init before anything is mounted.
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.add("init", stat.S_IFREG | 0o755, init)
    archive.add("bin/busybox", stat.S_IFREG | 0o755, busybox)
    for name in applets(busybox):
        if name != "busybox":
            archive.add(f"bin/{name}", stat.S_IFLNK | 0o777, b"busybox")
    return gzip.compress(archive.finish(), compresslevel=9, mtime=0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write an initial RAM disk with busybox in it.")
    parser.add_argument("--busybox", type=Path, required=True, help="a statically linked busybox for the guest")
    parser.add_argument("--init", type=Path, required=True, help="the script that becomes /init")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    options.output.write_bytes(build(options.busybox.read_bytes(), options.init.read_bytes()))


if __name__ == "__main__":
    main()
