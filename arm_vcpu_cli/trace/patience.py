"""Writes to a pipe or terminal whose reader may not read; the end of the run ends the wait.

A write that blocks cannot be interrupted while a guest is inside the engine: a signal only leaves a byte in the
watchdog's pipe. So this waits for room instead, and periodically checks whether the run has been stopped.
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
"""Bytes in each write: a pipe with any room has room for this many."""
PATIENCE: Final = 1.0
"""After a run was stopped, a reader that reads nothing for this many seconds counts as gone: a slow reader should still
get the end of the run."""
_LOOK_MILLISECONDS: Final = 50

Cancelled = Callable[[], bool]
"""Returns whether the run has been stopped."""


def never() -> bool:
    """Return False: there is no run to stop."""
    return False


def may_block(descriptor: int) -> bool:
    """Return whether a write may have to wait for a reader, as for any file but a regular one."""
    return not stat.S_ISREG(os.fstat(descriptor).st_mode)


def own_terminal(descriptor: int) -> int:
    """Return our own descriptor for the file of ``descriptor``. A terminal is reopened, so that no write to it blocks:
    setting O_NONBLOCK on the inherited one would also set it for the shell."""
    if os.isatty(descriptor):
        # Its name may belong to another namespace, or there may be none.
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
        """Write all of ``data``; return the number of bytes written, fewer if nothing reads and the run was stopped.

        Raises OSError.
        """
        view, written = memoryview(data), 0
        while written < len(view) and self._has_room():
            # Another writer may have taken the room.
            with contextlib.suppress(BlockingIOError):
                written += os.write(self._descriptor, view[written : written + CHUNK])
        return written

    def _has_room(self) -> bool:
        """Wait until there is room; return false if the run was stopped and there is still none."""
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
