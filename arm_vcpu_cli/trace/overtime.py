"""Counts over the time of a run, in constant memory."""

from __future__ import annotations

from typing import Final

BINS: Final = 128
"""The maximum number of intervals; their length doubles when the run does not fit into them."""
MAX_ROWS: Final = 256
OTHER: Final = "(other)"
"""The row for all names beyond the limit."""
_FIRST_SHIFT: Final = 10


class OverTime:
    """Rows of counts over the same intervals of 2**shift ns from time 0 on, one for each counted thing."""

    __slots__ = ("_rows", "shift")

    def __init__(self) -> None:
        self.shift = _FIRST_SHIFT
        self._rows: dict[str, list[int]] = {}

    def row(self, name: str) -> list[int]:
        """Return the counts of ``name``: the same list as long as this object lives."""
        row = self._rows.get(name)
        if row is None:
            row = self._rows.setdefault(name if len(self._rows) < MAX_ROWS else OTHER, [0] * BINS)
        return row

    def widen(self, time: int) -> None:
        """Lengthen the intervals until ``time`` falls into one of them."""
        while time >> self.shift >= BINS:
            self.shift += 1
            for row in self._rows.values():
                row[:] = [first + second for first, second in zip(row[::2], row[1::2], strict=True)] + [0] * (BINS // 2)

    def add(self, name: str, time: int) -> None:
        """Count one at ``time``."""
        if time >> self.shift >= BINS:
            self.widen(time)
        self.row(name)[time >> self.shift] += 1

    def resampled(self, name: str, width: int) -> list[int]:
        """Return the counts of ``name`` in at most ``width`` intervals, from time 0 to the last one with any counts."""
        used = 1 + max((index for row in self._rows.values() for index, n in enumerate(row) if n), default=0)
        row = self.row(name)[:used]
        step = -(-used // width)
        return [sum(row[start : start + step]) for start in range(0, used, step)]
