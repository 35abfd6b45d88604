"""A console without a terminal: it keeps what the guest prints, and gives it what the caller sends."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.host.console import Console

_NO_FILE: Final = -1
_END: Final = b""


class CapturedConsole(Console):
    """Both ends are in memory, so that neither side ever waits for the other, and a copy of the process has a copy.

    The guest receives ``input`` and what :meth:`feed` adds. While it runs, nothing more arrives: for the guest, the
    input has ended until somebody feeds it again.
    """

    def __init__(self, input: bytes) -> None:
        self._printed = bytearray()
        super().__init__(_NO_FILE, None)
        self.replay()
        self.feed(input)
        self.feed(_END)

    def printed(self) -> bytes:
        """What has reached the output so far."""
        return bytes(self._printed)

    def forget(self) -> None:
        """Forget what was printed so far."""
        self._printed.clear()

    def _write_out(self, _fd: int, out: bytearray) -> None:
        self._printed += out
        out.clear()
