"""Shows what a guest prints once, in a run that goes back in time and repeats some of it."""

from __future__ import annotations

from typing import Any


class ShownOnce:
    """Drops bytes of a console's output that are not further on than all that were shown before. What is repeated is
    equal to what it repeats, so a count for each file descriptor is enough."""

    def __init__(self) -> None:
        self._printed: dict[int, int] = {}
        """How many bytes there have been at this point of the run."""
        self._shown: dict[int, int] = {}

    def drop(self, fd: int, out: bytearray) -> None:
        """Leave in ``out``, which is about to be written, what has not been shown yet."""
        before = self._printed.get(fd, 0)
        shown = self._shown.get(fd, 0)
        self._printed[fd] = after = before + len(out)
        self._shown[fd] = max(after, shown)
        del out[: max(shown - before, 0)]

    def forget_future(self) -> None:
        """Show what comes from here on: it may differ from what was shown before."""
        self._shown = dict(self._printed)

    def remembered(self) -> Any:
        """How much was printed so far."""
        return dict(self._printed)

    def recall(self, remembered: Any) -> None:
        """Restore what :meth:`remembered` gave."""
        self._printed = dict(remembered)
