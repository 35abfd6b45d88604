"""Files that somebody else has to write first: a wait for a FIFO without a writer ends with a limit or a signal."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Final, NoReturn

from arm_vcpu_cli.errors import StoppedError
from arm_vcpu_cli.machine.runner import STATUS_INTERRUPTED, STATUS_LIMIT

_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C ends what is being loaded anyway."""


@contextlib.contextmanager
def waiting_ends(timeout: float | None) -> Iterator[None]:
    """Have SIGTERM, SIGHUP, and ``timeout`` in seconds (None and 0: never), end the block. Raises StoppedError."""

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        raise StoppedError("interrupted", STATUS_INTERRUPTED)

    def expire(_number: int, _frame: FrameType | None) -> NoReturn:
        raise StoppedError(f"stopped after {timeout:g} s, while its files were read", STATUS_LIMIT)

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, timeout or 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, old in before.items():
            signal.signal(number, old)
