"""Signals while guests run in processes of their own: they end the suite, and its results are still written."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Stops:
    """Whether a signal has asked to stop. :meth:`fileno` is readable then."""

    def __init__(self, reader: int) -> None:
        self._reader = reader
        self._is_requested = False

    def fileno(self) -> int:
        """For a selector."""
        return self._reader

    def requested(self) -> bool:
        """Whether to stop."""
        return self._is_requested

    def request(self, _number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        self._is_requested = True


@contextlib.contextmanager
def stops() -> Iterator[Stops]:
    """A context in which signals that end a process only note it; those that are ignored stay so."""
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
