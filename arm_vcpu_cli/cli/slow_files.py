"""Files that another process must write first: a time limit also ends the wait for a FIFO without a writer.

Signals end this wait as they end any loading.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

from arm_vcpu_cli.errors import StoppedError
from arm_vcpu_cli.vm.endings import STATUS_LIMIT


@contextlib.contextmanager
def waiting_ends(timeout: float | None) -> Iterator[None]:
    """End the block after ``timeout`` seconds (None and 0: never). Raises StoppedError."""

    def expire(_number: int, _frame: FrameType | None) -> NoReturn:
        raise StoppedError(f"stopped after {timeout:g} s, while its files were read", STATUS_LIMIT)

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, timeout or 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
