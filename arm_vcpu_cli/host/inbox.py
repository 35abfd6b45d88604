"""Bytes on their way to the guest: from the thread that reads them to the main thread, which delivers them."""

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
"""How many bytes are read ahead of a guest that does not take them, where the source can wait."""


class Inbox:
    """What has arrived and has not been taken; the end of the input counts as news too, once. Safe between threads."""

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
        """Add what has arrived; an empty ``bytes`` means that the input has ended."""
        with self._lock:
            self._data += data
            self._changed.set()

    def take(self) -> bytes:
        """All that has arrived."""
        with self._lock:
            data = bytes(self._data)
            self._data.clear()
            self._changed.clear()
        return data

    def has_news(self) -> bool:
        """Whether something was put since the last :meth:`take`."""
        return self._changed.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep until there is news (True), or the time has passed."""
        return self._changed.wait(seconds)


class FileAhead:
    """A file that is read by the chunk, one chunk ahead, so its end is known when the last chunk is taken.

    The descriptor's own position stays where it is, until :meth:`leave` says how much was used of what was taken.
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
        """How far the input was read."""
        return self._position

    def recall(self, remembered: Any) -> None:
        """Go back to what :meth:`remembered` gave; None for a time before it was read."""
        self._position = self._start if remembered is None else remembered
        self._next = self._read()

    def take(self) -> bytes:
        """The next chunk of at most :data:`LIMIT` bytes."""
        data = self._next
        if data:
            self._position += len(data)
            self._next = self._read()
        return data

    def leave(self, unused: int) -> None:
        """Put the descriptor's position behind what was taken, but for the last ``unused`` bytes."""
        with contextlib.suppress(OSError):
            os.lseek(self._fd, self._position - unused, os.SEEK_SET)

    def _read(self) -> bytes:
        try:
            return os.pread(self._fd, LIMIT, self._position)
        except OSError:
            # What is not readable at all has ended.
            return b""


def _position(fd: int) -> int:
    try:
        return os.lseek(fd, 0, os.SEEK_CUR)
    except OSError:
        return 0


def has_bytes(fd: int) -> bool:
    """Whether a read of ``fd`` would give something, which is left where it is."""
    count = array("i", [0])
    try:
        # Few guests are asked about before they ask themselves.
        import_module("fcntl").ioctl(fd, import_module("termios").FIONREAD, count)
    except OSError:
        return wait_readable(fd, 0)
    return count[0] > 0


def is_file(fd: int) -> bool:
    """Whether everything that can ever be read from ``fd`` is available now: a regular file, or the null device."""
    try:
        found = os.fstat(fd)
        return stat.S_ISREG(found.st_mode) or os.path.samestat(found, os.stat(os.devnull))  # noqa: PTH116
    except OSError:
        return False


def read_available(fd: int, limit: int) -> bytes | None:
    """What is there, at most ``limit`` bytes; b"" at the end, and None if another reader was faster.

    Waits until there is something. A line that is broken, or not readable at all, has ended.
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
