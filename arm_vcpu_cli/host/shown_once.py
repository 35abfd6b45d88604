"""Shows a guest's output once, in a run that goes back in time and repeats some of it."""

from __future__ import annotations

from typing import Any


class ShownOnce:
    """Drops console output that was shown before. Repeated output equals the original, so a count of bytes for each
    file descriptor suffices."""

    def __init__(self) -> None:
        self._printed: dict[int, int] = {}
        """The number of bytes printed up to this point of the run."""
        self._shown: dict[int, int] = {}

    def drop(self, fd: int, out: bytearray) -> None:
        """Remove from ``out``, which is about to be written, everything shown before."""
        before = self._printed.get(fd, 0)
        shown = self._shown.get(fd, 0)
        self._printed[fd] = after = before + len(out)
        self._shown[fd] = max(after, shown)
        del out[: max(shown - before, 0)]

    def forget_future(self) -> None:
        """Show everything from here on: it may differ from what was shown before."""
        self._shown = dict(self._printed)

    def remembered(self) -> Any:
        """Return how much was printed so far."""
        return dict(self._printed)

    def recall(self, remembered: Any) -> None:
        """Restore what :meth:`remembered` returned."""
        self._printed = dict(remembered)
