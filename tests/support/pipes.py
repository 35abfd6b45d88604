"""A console between two pipes, for the tests of its output and its input."""

from __future__ import annotations

import os
import threading
import time
from contextlib import ExitStack, suppress

from arm_vcpu_cli.host.console import Console

LONG_SECONDS = 60
"""A guard against a hang, never a measure."""


class Pipes:
    """A console between two pipes, with a sleep that only counts."""

    def __init__(self, *, interactive: bool = False, with_input: bool = True) -> None:
        self.to_guest, self.slept = -1, 0.0
        self.from_guest, self.output = os.pipe()
        source, self.to_guest = os.pipe()
        self._fds = [self.from_guest, self.output, source, self.to_guest]
        os.set_blocking(self.from_guest, False)
        self.quits = 0
        self.ignored = 0
        self.cancelled = False
        self.console = Console(self.output, source if with_input else None, interactive=interactive, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.slept += seconds

    def connect(self) -> None:
        self.console.connect(quit_requested=self._quit, ignored=self._ignored, cancelled=lambda: self.cancelled)

    def _quit(self) -> None:
        self.quits += 1

    def _ignored(self) -> None:
        self.ignored += 1

    def output_so_far(self) -> bytes:
        try:
            return os.read(self.from_guest, 1 << 20)
        except BlockingIOError:
            return b""

    def type(self, data: bytes) -> None:
        os.write(self.to_guest, data)

    def end_input(self) -> None:
        self.close(self.to_guest)

    def close(self, fd: int) -> None:
        self._fds.remove(fd)
        os.close(fd)

    def join_readers(self) -> None:
        for thread in threading.enumerate():
            if thread.name in ("armvcpu-terminal", "armvcpu-input"):
                thread.join(LONG_SECONDS)

    def received(self) -> bytes:
        """All that the guest may receive now."""
        received = bytearray()
        while (byte := self.console.receive()) is not None:
            received.append(byte)
        return bytes(received)

    def wait_and_receive(self) -> bytes:
        """The next bytes of a guest that polls."""
        deadline = time.monotonic() + LONG_SECONDS
        while time.monotonic() < deadline:
            received = self.received()
            if received:
                return received
            self.console.wait()
        return b""

    def close_all(self) -> None:
        # A reader ends with its input; only then may its descriptor go to somebody else.
        if self.to_guest in self._fds:
            self.end_input()
        self.received()
        self.join_readers()
        for fd in self._fds:
            with suppress(OSError):
                os.close(fd)


def pipes(stack: ExitStack, *, interactive: bool = False, with_input: bool = True) -> Pipes:
    made = Pipes(interactive=interactive, with_input=with_input)
    stack.callback(made.close_all)
    return made
