"""A console without a terminal: it keeps the guest's output, and gives the guest the caller's input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.host.console import IDLE_SECONDS, Console, InputEndedError

_NO_FILE: Final = -1
_END: Final = b""


class CapturedConsole(Console):
    """A console whose ends are both in memory: neither side waits for the other, and a copy of the process has a copy.

    The guest receives ``input`` and what :meth:`feed` adds. Nothing arrives while it runs: for the guest, the input has
    ended until the caller feeds it again.
    """

    def __init__(self, input: bytes) -> None:
        self._printed = bytearray()
        self.starved: Callable[[str], None] | None = None
        """Called with the reason instead of raising :class:`InputEndedError`, after which a run cannot continue."""
        super().__init__(_NO_FILE, None)
        self.replay()
        self.feed(input)
        self.feed(_END)

    def printed(self) -> bytes:
        """Return the output so far."""
        return bytes(self._printed)

    def forget(self) -> None:
        """Discard the output so far."""
        self._printed.clear()

    def wait(self, *, skips: bool = False) -> None:
        """Wait as every console does; :meth:`feed` determines what happens at the end of the input."""
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
