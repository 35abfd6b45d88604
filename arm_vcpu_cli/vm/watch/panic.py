"""Detects a Linux kernel panic in what the guest prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from arm_vcpu_cli.printable import decoded
from arm_vcpu_cli.saved import Saved

_VERSION: Final = 1
"""The version of a saved state."""
_PANIC: Final = b"Kernel panic - not syncing"
_END: Final = b"---[ end " + _PANIC
_ORDERLY: Final = b"reboot: "
"""The kernel's messages on a requested reboot, halt or power-off, which it does not print after a panic."""
_NEWLINE: Final = b"\n"
_LONGEST: Final = 4096
"""The most bytes kept of an unfinished line; the kernel's lines have at most 1024."""
_LONGEST_TEXT: Final = 200


class PanicWatch:
    """Looks for a panic in the lines of the guest's console (``panic()`` of the Linux kernel, kernel/panic.c).

    The kernel first prints a line with "Kernel panic - not syncing: " and the reason. Unless it reboots, it then prints
    "---[ end Kernel panic - not syncing: ... ]---" and loops forever: ``stop`` is called at that point. Neither line
    alone has an effect; a program that prints both is indistinguishable from a panic.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._rest = bytearray()
        self.printed = 0
        """The number of bytes seen so far."""
        self.text: str | None = None
        """The reason of the panic; None if there was none, or an orderly shutdown after it."""
        self.over = False
        """Whether the panic is complete."""

    @property
    def unfinished(self) -> bytes:
        """The line that the guest is printing, or its end."""
        return bytes(self._rest)

    def save(self) -> dict[str, Any]:
        """Return the state as plain data."""
        return {
            "version": _VERSION,
            "rest": bytes(self._rest),
            "printed": self.printed,
            "text": self.text,
            "over": self.over,
        }

    def load(self, state: object) -> None:
        """Restore the state that :meth:`save` returned. Raises ValueError, without any change, for any other state."""
        saved = Saved(state, "panic", version=_VERSION)
        rest, printed, over = saved.data("rest"), saved.integer("printed"), saved.flag("over")
        self.text = None if saved.is_none("text") else saved.text("text")
        self._rest[:] = rest
        self.printed, self.over = printed, over

    def forget(self) -> None:
        """Reset the state, because another kernel starts."""
        self._rest.clear()
        self.text = None
        self.over = False

    def see(self, data: bytes) -> None:
        """Process the guest's next output."""
        self.printed += len(data)
        rest = self._rest
        rest += data
        end = rest.rfind(_NEWLINE) + 1
        if end:
            if self.text is not None or rest.find(_PANIC, 0, end) >= 0:
                for line in bytes(rest[:end]).splitlines():
                    self._see_line(line)
            del rest[:end]
        elif len(rest) > _LONGEST:
            del rest[:-_LONGEST]

    def see_unprinted(self, text: str) -> None:
        """Process a message in the memory of the guest's kernel that it has not printed."""
        for line in text.splitlines():
            self._see_line(line.encode())

    def _see_line(self, line: bytes) -> None:
        if self.over:
            return
        if _END in line:
            if self.text is not None:
                self.over = True
                self._stop()
        elif _PANIC in line:
            self.text = _reason(line.partition(_PANIC)[2])
        elif _ORDERLY in line:
            self.text = None


def _reason(text: bytes) -> str:
    """The reason of a panic, as printable text."""
    return decoded(text.removeprefix(b":").strip(), _LONGEST_TEXT) or "no reason given"
