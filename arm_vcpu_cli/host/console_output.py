"""What a guest prints, on its way to a file descriptor: gathered, shown to those who watch, and written."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from arm_vcpu_cli.errors import ArmVcpuError, OutputError
from arm_vcpu_cli.host.readiness import wait_writable

if TYPE_CHECKING:
    from arm_vcpu_cli.host.shown_once import ShownOnce

NEWLINE: Final = 0x0A
CHUNK: Final = 4096
"""Bytes written at once: a pipe that has room at all has room for as many (PIPE_BUF)."""
_BLOCKED_SECONDS: Final = 0.05
"""How often a line whose reader is slow looks whether the run is still wanted."""


class ConsoleClosedError(OutputError):
    """Nothing more can be written to the console: its reader went away, or its disk is full."""


class ConsoleCancelledError(ArmVcpuError):
    """The run was stopped while the console waited for its reader."""


class ConsoleOutput:
    """One half of a console. It is written ``by_byte`` for a person who watches, else by the line.

    ``error_fd`` is where the guest's error messages go, None for where everything goes.
    """

    def __init__(self, output_fd: int, error_fd: int | None, *, by_byte: bool) -> None:
        self._output_fd = output_fd
        self._error_fd = error_fd
        self.by_byte = by_byte
        """Whether each byte is written, and shown to those who watch, at once."""
        self._seen: tuple[Callable[[bytes], None], ...] = ()
        self._out = bytearray()
        self._last = NEWLINE
        self._idle_waits = 0
        """For how many waits the guest has printed nothing."""
        self._cancelled: Callable[[], bool] = bool
        self.once: ShownOnce | None = None
        """Drops what has been written before, in a run that goes back in time."""

    def observe(self, seen: Callable[[bytes], None]) -> None:
        """Have ``seen`` called as well, once, with all that the guest prints, just before it is written."""
        if seen not in self._seen:
            self._seen = (*self._seen, seen)

    def write_lines(self) -> None:
        """Have an interactive line written by the line too, or when the guest waits for input: others write to the
        same terminal."""
        self.by_byte = False

    def send(self, byte: int) -> None:
        """A byte from the guest."""
        self._out.append(byte)
        self._last = byte
        self._idle_waits = 0
        if self.by_byte or byte == NEWLINE or len(self._out) >= CHUNK:
            self.flush()

    def write(self, data: bytes) -> None:
        """Bytes from the guest by another way than the UART."""
        for byte in data:
            self.send(byte)

    def write_error(self, data: bytes) -> None:
        """Bytes that the guest means for where errors go; that is the console unless there is something else."""
        if self._error_fd is None:
            self.write(data)
            return
        self.flush()
        self._write_out(self._error_fd, bytearray(data))

    def flush(self) -> None:
        """Write what is buffered.

        Raises :class:`ConsoleClosedError` if that is impossible, and :class:`ConsoleCancelledError` if the run is
        stopped while a slow reader is waited for; what could not be written is dropped.
        """
        if self._out:
            data = bytes(self._out)
            for seen in self._seen:
                seen(data)
        self._write_out(self._output_fd, self._out)

    def _write_out(self, fd: int, out: bytearray) -> None:
        """Write all of ``out`` that is not repeated. It is empty then, also where that is impossible."""
        if self.once is not None:
            self.once.drop(fd, out)
        self._write_all(fd, out)

    def _write_all(self, fd: int, out: bytearray) -> None:
        try:
            while out:
                self._wait_for_room(fd)
                try:
                    written = os.write(fd, out[:CHUNK])
                except BlockingIOError:
                    continue
                del out[:written]
        except BrokenPipeError as error:
            raise ConsoleClosedError("the reader of the console has gone away") from error
        except OSError as error:
            raise ConsoleClosedError(f"the console cannot be written: {error.strerror}") from error
        finally:
            out.clear()

    def _wait_for_room(self, fd: int) -> None:
        """Return when a write will not block. A blocked write could not be interrupted while the guest is inside
        the engine: signals only leave a byte in the watchdog's pipe."""
        while not wait_writable(fd, _BLOCKED_SECONDS):
            if self._cancelled():
                raise ConsoleCancelledError("the reader of the console does not read")
