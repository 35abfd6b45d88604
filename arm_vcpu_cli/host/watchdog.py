"""Stopping a running guest from outside: a deadline, or a request such as Ctrl-C.

While the guest executes, the main thread is inside the engine and runs no Python. A separate thread waits for the
deadline or for a byte in a pipe (which a signal may write), and stops the core. It repeats that until it is notified
that the run is over: a stop between two entries of the engine has no effect.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import Final

from arm_vcpu_cli.host.readiness import wait_readable

_REPEAT_SECONDS: Final = 0.01
_LONGEST_SECONDS: Final = 1e9
"""Seconds; longer than any run, and within the range of the clock."""


class StopCause(Enum):
    """What stopped a guest from outside."""

    TIMEOUT = "timeout"
    INTERRUPT = "interrupt"


class Watchdog:
    """Calls ``stop`` when ``timeout`` seconds (0: never) have passed, or when :meth:`interrupt` is called."""

    def __init__(self, stop: Callable[[], None], timeout: float = 0.0) -> None:
        self._stop = stop
        self.timeout: Final = min(timeout, _LONGEST_SECONDS)
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._over = threading.Event()
        self._resting = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="armvcpu-watchdog", daemon=True)
        self.cause: StopCause | None = None
        self.signalled = False
        """Whether a signal was among the interrupts."""
        self.answered = False
        """Whether the run has ended because of it, or reported it."""

    def __enter__(self) -> Watchdog:
        # Threads inherit the mask. The watchdog's thread must not receive signals, for example those that stop the
        # process.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.interrupt()
        self._thread.join()
        # An interrupt after the end of the run must not write to a file that has reused the descriptor.
        reader, writer = self._reader, self._writer
        self._reader = self._writer = -1
        os.close(reader)
        os.close(writer)

    def fileno(self) -> int:
        """Return the descriptor to which a byte written means :meth:`interrupt`; for ``signal.set_wakeup_fd``."""
        return self._writer

    def has_fired(self) -> bool:
        """Whether the run is being stopped."""
        return self.cause is not None

    def rest(self) -> None:
        """Record that the guest has ended: it will not be stopped any more; :meth:`has_fired` still works."""
        self._resting.set()

    def interrupt(self) -> None:
        """Stop the guest; safe to call from any thread and from a signal handler."""
        try:
            os.write(self._writer, b"\0")
        except BlockingIOError:
            # The pipe is full of requests already.
            return

    def _watch(self) -> None:
        ready = wait_readable(self._reader, self.timeout or None)
        if self._over.is_set():
            return
        self.cause = StopCause.INTERRUPT if ready else StopCause.TIMEOUT
        while not self._over.is_set() and not self._resting.is_set():
            self._stop()
            time.sleep(_REPEAT_SECONDS)
