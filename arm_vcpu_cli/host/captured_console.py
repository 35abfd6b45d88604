"""A console without a terminal: it keeps what the guest prints, and gives it what the caller sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.host.console import IDLE_SECONDS, Console, InputEndedError

_NO_FILE: Final = -1
_END: Final = b""


class CapturedConsole(Console):
    """Both ends are in memory, so that neither side ever waits for the other, and a copy of the process has a copy.

    The guest receives ``input`` and what :meth:`feed` adds. While it runs, nothing more arrives: for the guest, the
    input has ended until somebody feeds it again.
    """

    def __init__(self, input: bytes) -> None:
        self._printed = bytearray()
        self.starved: Callable[[str], None] | None = None
        """Called, with the reason, instead of raising :class:`InputEndedError`, which nobody could go on after."""
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

    def wait(self, *, skips: bool = False) -> None:
        """Wait as every console does; what happens at the end of the input follows from :meth:`feed`."""
        try:
            super().wait(skips=skips)
        except InputEndedError as error:
            if self.starved is None:
                raise
            self._idle_waits = 0
            self.starved(str(error))
            return
        if not skips and not self.input_open:
            self._sleep(IDLE_SECONDS)

    def _write_out(self, _fd: int, out: bytearray) -> None:
        self._printed += out
        out.clear()
