"""Waits for a descriptor with poll(2), because select(2) cannot handle descriptors from 1024 on.

A descriptor that cannot be waited for (closed, hung up, a directory) counts as ready: the next call on it reports the
error.
"""

from __future__ import annotations

import select
import time
from typing import Final

_LONGEST_SECONDS: Final = 1e6
"""The longest single wait: poll() takes milliseconds in an int."""
_MILLISECONDS: Final = 1000


def wait_readable(fd: int, seconds: float | None) -> bool:
    """Wait ``seconds`` at most (None: no limit) until a read of ``fd`` will not block; return whether it will not."""
    return _wait(fd, select.POLLIN | select.POLLPRI, seconds)


def wait_writable(fd: int, seconds: float | None) -> bool:
    """Wait as :func:`wait_readable` does, for a write."""
    return _wait(fd, select.POLLOUT, seconds)


def _wait(fd: int, events: int, seconds: float | None) -> bool:
    if fd < 0:
        return True
    poll = select.poll()
    poll.register(fd, events)
    if seconds is None:
        return bool(poll.poll())
    if seconds <= _LONGEST_SECONDS:
        return bool(poll.poll(seconds * _MILLISECONDS))
    deadline = time.monotonic() + seconds
    while not poll.poll(min(max(deadline - time.monotonic(), 0.0), _LONGEST_SECONDS) * _MILLISECONDS):
        if time.monotonic() >= deadline:
            return False
    return True
