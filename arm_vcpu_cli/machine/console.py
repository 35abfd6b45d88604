"""The serial line between a guest's UART and the host: bytes out to a file descriptor, bytes in from another."""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.errors import ArmVcpuError

ESCAPE: Final = 0x01
"""Ctrl-A starts an escape on an interactive line: x quits, Ctrl-A sends itself."""
_QUIT: Final = ord("x")
_CHUNK: Final = 4096
IDLE_SECONDS: Final = 0.01
"""How long an idle guest sleeps before it may look at its receiver again."""
STALLED_SECONDS: Final = 5.0
"""How long a guest may wait for input that has ended before it counts as stuck."""


class ConsoleClosedError(ArmVcpuError):
    """The reader of the console went away."""


class InputEndedError(ArmVcpuError):
    """The guest only waits for input, and there will be none."""


class Console:
    """A serial line on two file descriptors; ``input_fd`` None is a line on which nothing ever arrives.

    An ``interactive`` line is written byte by byte and read by a thread of its own, so that the escape works
    while the guest computes; ``quit_requested`` is called for it. Other output is written by the line.
    """

    def __init__(
        self,
        output_fd: int,
        input_fd: int | None,
        *,
        interactive: bool = False,
        quit_requested: Callable[[], None] | None = None,
    ) -> None:
        self._output_fd = output_fd
        self._input_fd = input_fd
        self._interactive = interactive
        self._quit_requested = quit_requested
        self._out = bytearray()
        self._in: deque[int] = deque()
        self._ended = input_fd is None
        self._waiting_since: float | None = None
        self._arrived = threading.Event()
        self._escaped = False
        if interactive:
            threading.Thread(target=self._read_terminal, name="armvcpu-terminal", daemon=True).start()

    def set_quit_handler(self, quit_requested: Callable[[], None]) -> None:
        """Set who is told of the escape."""
        self._quit_requested = quit_requested

    def send(self, byte: int) -> None:
        """A byte from the guest."""
        self._out.append(byte)
        self._waiting_since = None
        if self._interactive or byte == 0x0A or len(self._out) >= _CHUNK:
            self.flush()

    def write(self, data: bytes) -> None:
        """Bytes from the guest by another way than the UART."""
        for byte in data:
            self.send(byte)

    def flush(self) -> None:
        """Write what is buffered. Raises :class:`ConsoleClosedError` if nobody reads any more."""
        while self._out:
            try:
                written = os.write(self._output_fd, self._out)
            except BrokenPipeError as error:
                self._out.clear()
                raise ConsoleClosedError("the console's reader is gone") from error
            except BlockingIOError:
                select.select([], [self._output_fd], [])
                continue
            del self._out[:written]

    def receive(self) -> int | None:
        """The next byte for the guest, None while there is none."""
        if not self._in and not self._interactive:
            self._read_available()
        if not self._in:
            return None
        self._waiting_since = None
        return self._in.popleft()

    def wait(self) -> None:
        """Sleep a little, or until input comes. Raises :class:`InputEndedError` when it is pointless."""
        self.flush()
        now = time.monotonic()
        if self._waiting_since is None:
            self._waiting_since = now
        if self._interactive:
            self._arrived.wait(IDLE_SECONDS)
            self._arrived.clear()
        elif self._ended or self._input_fd is None:
            if now - self._waiting_since >= STALLED_SECONDS:
                raise InputEndedError("the guest waits for input, and the input has ended")
            time.sleep(IDLE_SECONDS)
        else:
            select.select([self._input_fd], [], [], IDLE_SECONDS)

    def _read_available(self) -> None:
        if self._ended or self._input_fd is None:
            return
        ready, _, _ = select.select([self._input_fd], [], [], 0)
        if ready:
            data = os.read(self._input_fd, _CHUNK)
            self._ended = not data
            self._in.extend(data)

    def _read_terminal(self) -> None:
        while self._input_fd is not None:
            try:
                data = os.read(self._input_fd, _CHUNK)
            except OSError:
                data = b""
            if not data:
                self._ended = True
                return
            for byte in data:
                self._take_key(byte)
            self._arrived.set()

    def _take_key(self, byte: int) -> None:
        if self._escaped:
            self._escaped = False
            if byte == _QUIT:
                if self._quit_requested is not None:
                    self._quit_requested()
                return
            if byte != ESCAPE:
                self._in.append(ESCAPE)
            self._in.append(byte)
        elif byte == ESCAPE:
            self._escaped = True
        else:
            self._in.append(byte)
