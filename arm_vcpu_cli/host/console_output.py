"""Writes a guest's output to a file descriptor: buffers it, passes it to observers, and writes it."""

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
"""Bytes in each write: a pipe with any room has room for this many (PIPE_BUF)."""
_BLOCKED_SECONDS: Final = 0.05
"""Seconds between two checks whether the run is cancelled, while the reader is slow."""


class ConsoleClosedError(OutputError):
    """Nothing more can be written to the console: its reader is gone, or its disk is full."""


class ConsoleCancelledError(ArmVcpuError):
    """The run was stopped while the console waited for its reader."""


class ConsoleOutput:
    """One half of a console. It writes ``by_byte`` for a person who watches, else by line.

    ``error_fd`` receives the guest's error messages, None to send them to the console.
    """

    def __init__(self, output_fd: int, error_fd: int | None, *, by_byte: bool) -> None:
        self._output_fd = output_fd
        self._error_fd = error_fd
        self.by_byte = by_byte
        """Whether to write each byte at once, and pass it to observers."""
        self._seen: tuple[Callable[[bytes], None], ...] = ()
        self._out = bytearray()
        self._last = NEWLINE
        self._idle_waits = 0
        """The number of waits since the guest last printed."""
        self._cancelled: Callable[[], bool] = bool
        self.once: ShownOnce | None = None
        """Drops output that was written before, in a run that goes back in time."""

    def observe(self, seen: Callable[[bytes], None]) -> None:
        """Call ``seen`` as well with everything that the guest prints, once, just before it is written."""
        if seen not in self._seen:
            self._seen = (*self._seen, seen)

    def write_lines(self) -> None:
        """Write an interactive line by line too, or when the guest waits for input, because others write to the same
        terminal."""
        self.by_byte = False

    def send(self, byte: int) -> None:
        """Send a byte from the guest's UART."""
        self._out.append(byte)
        self._last = byte
        self._idle_waits = 0
        if self.by_byte or byte == NEWLINE or len(self._out) >= CHUNK:
            self.flush()

    def write(self, data: bytes) -> None:
        """Send bytes that the guest prints without its UART."""
        for byte in data:
            self.send(byte)

    def write_error(self, data: bytes) -> None:
        """Send bytes that the guest intends for its error output, by default the console."""
        if self._error_fd is None:
            self.write(data)
            return
        self.flush()
        self._write_out(self._error_fd, bytearray(data))

    def flush(self) -> None:
        """Write the buffered output.

        Raises :class:`ConsoleClosedError` if that is impossible, and :class:`ConsoleCancelledError` if the run is
        stopped during the wait for a slow reader; unwritten output is dropped.
        """
        if self._out:
            data = bytes(self._out)
            for seen in self._seen:
                seen(data)
        self._write_out(self._output_fd, self._out)

    def _write_out(self, fd: int, out: bytearray) -> None:
        """Write everything in ``out`` that was not written before. It is empty afterwards, even after an error."""
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
        """Wait until a write will not block. A blocked write could not be interrupted while the guest is inside the
        engine: signals only leave a byte in the watchdog's pipe."""
        while not wait_writable(fd, _BLOCKED_SECONDS):
            if self._cancelled():
                raise ConsoleCancelledError("the reader of the console does not read")
