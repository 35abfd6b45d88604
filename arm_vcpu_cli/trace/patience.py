"""Writing to a pipe or terminal whose reader may not read: a wait that the end of the run ends.

A write that blocks cannot be interrupted while a guest is inside the engine: a signal only leaves a byte in the
watchdog's pipe. So this waits for room instead, and checks every so often whether the run has been stopped.
"""

from __future__ import annotations

import contextlib
import os
import select
import stat
import time
from collections.abc import Callable
from typing import Final

CHUNK: Final = select.PIPE_BUF
"""Bytes written at once: a pipe that has room at all has room for as many."""
PATIENCE: Final = 1.0
"""After a run was stopped, a reader that reads nothing for this many seconds counts as gone: a slow reader should still
get how the run ended."""
_LOOK_MILLISECONDS: Final = 50

Cancelled = Callable[[], bool]
"""Whether the run has been stopped."""


def never() -> bool:
    """False: there is no run that could be stopped."""
    return False


def may_block(descriptor: int) -> bool:
    """Whether a write may have to wait for a reader: not to a regular file."""
    return not stat.S_ISREG(os.fstat(descriptor).st_mode)


def own_terminal(descriptor: int) -> int:
    """A descriptor of our own for the file of ``descriptor``. A terminal is opened once more, so that no write to it
    blocks: O_NONBLOCK on what we were given would be set for the shell too.
    """
    if os.isatty(descriptor):
        # Its name may be that of another namespace, or there may be none.
        with contextlib.suppress(OSError):
            return os.open(os.ttyname(descriptor), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    return os.dup(descriptor)


class PatientWriter:
    """Writes to ``descriptor`` for as long as there is a reader, or the run continues."""

    def __init__(self, descriptor: int, cancelled: Cancelled = never) -> None:
        self._descriptor = descriptor
        self._cancelled = cancelled
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write all of ``data``; the number of bytes that were: fewer if nothing reads and the run was stopped.

        Raises OSError.
        """
        view, written = memoryview(data), 0
        while written < len(view) and self._has_room():
            # Another writer may have taken the room.
            with contextlib.suppress(BlockingIOError):
                written += os.write(self._descriptor, view[written : written + CHUNK])
        return written

    def _has_room(self) -> bool:
        """Wait until there is room; false if the run was stopped and there is still none."""
        deadline: float | None = None
        while not self._poll.poll(_LOOK_MILLISECONDS):
            if not self._cancelled():
                continue
            now = time.monotonic()
            if deadline is None:
                deadline = now + PATIENCE
            elif now >= deadline:
                return False
        return True
