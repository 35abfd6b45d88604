"""Signals while guests run in other processes: they end the suite, and its results are still written."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Stops:
    """Records whether a signal has requested a stop. :meth:`fileno` is then readable."""

    def __init__(self, reader: int) -> None:
        self._reader = reader
        self._is_requested = False

    def fileno(self) -> int:
        """Return the descriptor for a selector."""
        return self._reader

    def requested(self) -> bool:
        """Return whether to stop."""
        return self._is_requested

    def request(self, _number: int, _frame: FrameType | None) -> None:
        """Record the request of a signal."""
        self._is_requested = True


@contextlib.contextmanager
def stops() -> Iterator[Stops]:
    """Make signals that end a process only request a stop; ignored signals stay ignored."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    stopped = Stops(reader)
    before: dict[signal.Signals, Any] = {}
    woken = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        for number in _SIGNALS:
            found = signal.getsignal(number)
            if found not in (signal.SIG_IGN, None):
                before[number] = found
                signal.signal(number, stopped.request)
        yield stopped
    finally:
        for number, old in before.items():
            signal.signal(number, old)
        signal.set_wakeup_fd(woken)
        os.close(reader)
        os.close(writer)
