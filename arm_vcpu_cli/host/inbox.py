"""Bytes on their way to the guest: from the reader thread to the main thread, which delivers them."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from array import array
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from arm_vcpu_cli.host.readiness import wait_readable

LIMIT: Final = 1 << 16
"""The most bytes read ahead of a guest that does not take them, if the source can wait."""


class Inbox:
    """Input that has arrived and has not been taken; the end of the input counts as news too, once. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._data = bytearray()
        self._changed = threading.Event()

    def __len__(self) -> int:
        return len(self._data)

    def __contains__(self, byte: int) -> bool:
        with self._lock:
            return byte in self._data

    def put(self, data: bytes) -> None:
        """Add input; an empty ``bytes`` marks the end."""
        with self._lock:
            self._data += data
            self._changed.set()

    def take(self) -> bytes:
        """Return everything that has arrived."""
        with self._lock:
            data = bytes(self._data)
            self._data.clear()
            self._changed.clear()
        return data

    def has_news(self) -> bool:
        """Return whether anything was put since the last :meth:`take`."""
        return self._changed.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep until there is news (return True), or the time has passed."""
        return self._changed.wait(seconds)


class FileAhead:
    """A file that is read in chunks, one chunk ahead, so its end is known when the last chunk is taken.

    The descriptor's own position stays unchanged until :meth:`leave` reports how much of the input was used.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._position = self._start = _position(fd)
        self._next = self._read()

    @property
    def has_more(self) -> bool:
        """Whether the next :meth:`take` returns anything."""
        return bool(self._next)

    def remembered(self) -> Any:
        """Return how far the input was read."""
        return self._position

    def recall(self, remembered: Any) -> None:
        """Restore what :meth:`remembered` returned; None restores the time before the first read."""
        self._position = self._start if remembered is None else remembered
        self._next = self._read()

    def take(self) -> bytes:
        """Return the next chunk of at most :data:`LIMIT` bytes."""
        data = self._next
        if data:
            self._position += len(data)
            self._next = self._read()
        return data

    def leave(self, unused: int) -> None:
        """Move the descriptor's position behind what was taken, except the last ``unused`` bytes."""
        with contextlib.suppress(OSError):
            os.lseek(self._fd, self._position - unused, os.SEEK_SET)

    def _read(self) -> bytes:
        try:
            return os.pread(self._fd, LIMIT, self._position)
        except OSError:
            # An unreadable input has ended.
            return b""


def _position(fd: int) -> int:
    try:
        return os.lseek(fd, 0, os.SEEK_CUR)
    except OSError:
        return 0


def has_bytes(fd: int) -> bool:
    """Return whether a read of ``fd`` would return anything, without reading it."""
    count = array("i", [0])
    try:
        # Rarely needed: most guests ask for input before this is called.
        import_module("fcntl").ioctl(fd, import_module("termios").FIONREAD, count)
    except OSError:
        return wait_readable(fd, 0)
    return count[0] > 0


def is_file(fd: int) -> bool:
    """Return whether everything that can ever be read from ``fd`` is available now: a regular file, or the null
    device."""
    try:
        found = os.fstat(fd)
        return stat.S_ISREG(found.st_mode) or os.path.samestat(found, os.stat(os.devnull))  # noqa: PTH116
    except OSError:
        return False


def read_available(fd: int, limit: int) -> bytes | None:
    """Read what is available, waiting for at least one byte: at most ``limit`` bytes, b"" at the end, and None if
    another reader was faster.

    A broken or unreadable line has ended.
    """
    try:
        wait_readable(fd, None)
        return os.read(fd, limit)
    except BlockingIOError:
        return None
    except (OSError, ValueError):
        return b""


def start_reader(name: str, work: Callable[[], None]) -> None:
    """Run ``work`` in a thread that does not keep the process alive."""
    threading.Thread(target=work, name=name, daemon=True).start()
