"""Splits the guest's output into lines."""

from __future__ import annotations

from typing import Final

_NEWLINE: Final = b"\n"
_LONGEST: Final = 4096
"""Bytes of a line; a longer one is cut."""


def complete_lines(line: bytearray, data: bytes) -> list[bytes]:
    """Append ``data`` to ``line``; remove the complete lines from it and return them."""
    if _NEWLINE not in data and len(line) + len(data) < _LONGEST:
        # Most guests print character by character.
        line += data
        return []
    complete = []
    for piece in data.splitlines(keepends=True):
        line += piece
        if piece.endswith(_NEWLINE) or len(line) >= _LONGEST:
            complete.append(bytes(line))
            line.clear()
    return complete
