"""Splits a guest's output into lines of text of limited length."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.printable import console_text

LONGEST: Final = 4096
"""The most bytes of a line that are examined; a Linux kernel's lines have at most 1024."""
_NEWLINE: Final = b"\n"


class ConsoleLines:
    """Splits bytes into lines: decoded, without carriage returns and terminal control sequences."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def take(self, data: bytes) -> list[str]:
        """Return the lines that ``data`` completes."""
        first, *others = data.split(_NEWLINE)
        self._add(first)
        found: list[str] = []
        for piece in others:
            found.append(self.rest)
            self._rest.clear()
            self._add(piece)
        return found

    @property
    def rest(self) -> str:
        """The incomplete last line."""
        return console_text(bytes(self._rest))

    def _add(self, piece: bytes) -> None:
        self._rest += piece[: LONGEST - len(self._rest)]
