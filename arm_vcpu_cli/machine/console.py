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
INTERRUPT: Final = 0x03
NEWLINE: Final = 0x0A
_QUIT: Final = frozenset(b"xX")
CHUNK: Final = 4096
"""Bytes written at once: a pipe that has room at all has room for as many (PIPE_BUF)."""
IDLE_SECONDS: Final = 0.01
"""How long an idle guest sleeps before it may look at its receiver again."""
STALLED_SECONDS: Final = 5.0
"""How long a guest may wait for input that has ended, printing nothing, before it counts as stuck."""
_STALLED_WAITS: Final = round(STALLED_SECONDS / IDLE_SECONDS)
_BLOCKED_SECONDS: Final = 0.05
"""How often a line whose reader is slow looks whether the run is still wanted."""


class ConsoleClosedError(ArmVcpuError):
    """Nothing more can be written to the console: its reader went away, or its disk is full."""


class ConsoleCancelledError(ArmVcpuError):
    """The run was stopped while the console waited for its reader."""


class InputEndedError(ArmVcpuError):
    """The guest only waits for input, and there will be none."""


def _nobody() -> None:
    """Takes what nobody has asked to be told."""


class Console:
    """A serial line on two file descriptors; ``input_fd`` None is a line on which nothing ever arrives.

    An ``interactive`` line is written byte by byte and, once it is connected, read by a thread of its own, so that
    the escape works while the guest computes. Other output is written by the line.
    """

    def __init__(
        self,
        output_fd: int,
        input_fd: int | None,
        *,
        interactive: bool = False,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._output_fd = output_fd
        self._input_fd = input_fd
        self._interactive = interactive
        self._sleep = sleep
        self._quit_requested: Callable[[], None] = _nobody
        self._ignored: Callable[[], None] = _nobody
        self._cancelled: Callable[[], bool] = bool
        self._out = bytearray()
        self._last = NEWLINE
        self._in: deque[int] = deque()
        self._ended = input_fd is None
        self._idle_waits = 0
        self._arrived = threading.Event()
        self._escaped = False

    @property
    def in_line(self) -> bool:
        """Whether a person at the other end sees the cursor behind a line that the guest has not ended."""
        return self._interactive and self._last != NEWLINE

    def connect(
        self,
        *,
        quit_requested: Callable[[], None],
        ignored: Callable[[], None],
        cancelled: Callable[[], bool],
    ) -> None:
        """Say who is told of the escape, and of a Ctrl-C typed when the guest has not taken the one before; and
        what tells whether the run has been stopped, which ends a wait for the reader. Keys are read from now on."""
        self._quit_requested = quit_requested
        self._ignored = ignored
        self._cancelled = cancelled
        if self._interactive:
            threading.Thread(target=self._read_terminal, name="armvcpu-terminal", daemon=True).start()

    def send(self, byte: int) -> None:
        """A byte from the guest."""
        self._out.append(byte)
        self._last = byte
        self._idle_waits = 0
        if self._interactive or byte == NEWLINE or len(self._out) >= CHUNK:
            self.flush()

    def write(self, data: bytes) -> None:
        """Bytes from the guest by another way than the UART."""
        for byte in data:
            self.send(byte)

    def flush(self) -> None:
        """Write what is buffered.

        Raises :class:`ConsoleClosedError` if that is impossible, and :class:`ConsoleCancelledError` if the run is
        stopped while a slow reader is waited for; what could not be written is dropped.
        """
        try:
            while self._out:
                self._wait_for_room()
                try:
                    written = os.write(self._output_fd, self._out[:CHUNK])
                except BlockingIOError:
                    continue
                del self._out[:written]
        except BrokenPipeError as error:
            raise ConsoleClosedError("the reader of the console is gone") from error
        except OSError as error:
            raise ConsoleClosedError(f"the console cannot be written: {error.strerror}") from error
        finally:
            self._out.clear()

    def _wait_for_room(self) -> None:
        """Return when a write will not block. A blocked write could not be interrupted while the guest is inside
        the engine: signals only leave a byte on the watchdog's socket."""
        while not select.select([], [self._output_fd], [], _BLOCKED_SECONDS)[1]:
            if self._cancelled():
                raise ConsoleCancelledError("the console's reader does not read")

    def receive(self) -> int | None:
        """The next byte for the guest, None while there is none."""
        if not self._in and not self._interactive:
            self._read_available()
        if not self._in:
            return None
        self._idle_waits = 0
        return self._in.popleft()

    def wait(self) -> None:
        """Sleep a little, or until input comes. Raises :class:`InputEndedError` when it is pointless."""
        self.flush()
        if self._ended:
            # Waits are counted, not the time since the first one: the guest may have computed in between.
            if self._idle_waits >= _STALLED_WAITS:
                raise InputEndedError("the guest waits for input, and the input has ended")
            self._idle_waits += 1
            self._sleep(IDLE_SECONDS)
        elif self._interactive:
            self._arrived.wait(IDLE_SECONDS)
            self._arrived.clear()
        elif self._input_fd is not None:
            select.select([self._input_fd], [], [], IDLE_SECONDS)

    def _read_available(self) -> None:
        if self._ended or self._input_fd is None:
            return
        ready, _, _ = select.select([self._input_fd], [], [], 0)
        if ready:
            self._in.extend(self._read(self._input_fd))

    def _read(self, fd: int) -> bytes:
        """What is there. A line that is broken, or not readable at all, has ended."""
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            # Somebody else who reads the same line was faster.
            return b""
        except OSError:
            data = b""
        self._ended = not data
        return data

    def _read_terminal(self) -> None:
        while self._input_fd is not None and not self._ended:
            select.select([self._input_fd], [], [])
            for byte in self._read(self._input_fd):
                self._take_key(byte)
            self._arrived.set()

    def _take_key(self, byte: int) -> None:
        if self._escaped:
            self._escaped = False
            if byte in _QUIT:
                self._quit_requested()
                return
            if byte != ESCAPE:
                self._in.append(ESCAPE)
            self._in.append(byte)
        elif byte == ESCAPE:
            self._escaped = True
        else:
            if byte == INTERRUPT and INTERRUPT in tuple(self._in):
                self._ignored()
            self._in.append(byte)
