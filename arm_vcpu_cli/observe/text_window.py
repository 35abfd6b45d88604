"""A part of the guest's output that begins with one text and ends with another."""

from __future__ import annotations

from typing import Final


class TextWindow:
    """Looks for the ``start`` and the ``stop`` of a window in output that arrives in pieces; empty bytes: no such
    text. ``tail`` is what may be the beginning of a text."""

    def __init__(self, start: bytes, stop: bytes) -> None:
        self._start: Final = start
        self._stop: Final = stop
        self._longest: Final = max(len(start), len(stop))
        self.tail = b""

    def look(self, data: bytes) -> bool | None:
        """Whether ``data`` opens the window or closes it; None if it does neither."""
        if not self._longest:
            return None
        text = self.tail + data
        # The first byte not searched before may be the end of the text.
        fresh = len(self.tail)
        began, ended = _last(text, self._start, fresh), _last(text, self._stop, fresh)
        self.tail = text[max(0, len(text) - self._longest + 1) :]
        if began > ended:
            return True
        return False if ended >= 0 else None


def _last(text: bytes, wanted: bytes, fresh: int) -> int:
    """The last position in ``text`` at which ``wanted`` ends, if after ``fresh``; else -1."""
    if not wanted:
        return -1
    at = text.rfind(wanted)
    return at + len(wanted) if at >= 0 and at + len(wanted) > fresh else -1
