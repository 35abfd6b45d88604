"""Keeps a guest's output in a file of limited size: its beginning and its end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

HEAD: Final = 1 << 20
TAIL: Final = 1 << 18


class KeptConsole:
    """Writes the beginning to the file at once, in case the process dies, and the end when closed."""

    def __init__(self, path: Path, head: int = HEAD, tail: int = TAIL) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        self._room = head
        self._most = tail
        self._tail = bytearray()
        self._left_out = 0

    def see(self, data: bytes) -> None:
        """Process output of the guest. A full disk must not disturb the guest."""
        if self._room:
            head = data[: self._room]
            self._room -= len(head)
            self._write(head)
            data = data[len(head) :]
        if data:
            self._tail += data
            if len(self._tail) > 2 * self._most:
                self._cut()

    def close(self) -> None:
        """Write the end, and a line about the part left out."""
        self._cut()
        if self._left_out:
            self._write(f"\n[... {self._left_out} bytes left out ...]\n".encode())
        self._write(bytes(self._tail))
        os.close(self._fd)

    def _cut(self) -> None:
        over = max(len(self._tail) - self._most, 0)
        self._left_out += over
        del self._tail[:over]

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            self._room = 0
