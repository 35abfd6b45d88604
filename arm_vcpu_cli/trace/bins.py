"""Amounts over the time of a trace, in constant memory, for the report's drawings.

The bins cover the time from 0 on. Whenever the trace does not fit, pairs of bins are merged and the width doubles.
"""

from __future__ import annotations

from typing import Final

BINS: Final = 2048
MAX_ROWS: Final = 24
OTHER: Final = "(other)"


class Bins:
    """Rows of :data:`BINS` amounts, by name, each over ``1 << shift`` nanoseconds; at most :data:`MAX_ROWS`, further
    names share the row :data:`OTHER`."""

    def __init__(self) -> None:
        self.shift = 0
        self.rows: dict[str, list[int]] = {}

    def add(self, name: str, time: int, amount: int = 1) -> None:
        """Add an amount at ``time``, in nanoseconds."""
        if time >> self.shift >= BINS:
            self._widen(time)
        self._row(name)[time >> self.shift] += amount

    def add_span(self, name: str, start: int, end: int) -> None:
        """Add the nanoseconds from ``start`` to ``end``, each to its bin."""
        if end <= start:
            return
        if end - 1 >> self.shift >= BINS:
            self._widen(end - 1)
        row, shift = self._row(name), self.shift
        first, last = start >> shift, end - 1 >> shift
        if first == last:
            row[first] += end - start
            return
        row[first] += (first + 1 << shift) - start
        for middle in range(first + 1, last):
            row[middle] += 1 << shift
        row[last] += end - (last << shift)

    def used(self, end: int) -> int:
        """Return the number of bins of a trace of ``end`` nanoseconds."""
        return min(BINS, (end >> self.shift) + 1)

    def widen_to(self, shift: int) -> None:
        """Make the bins at least ``1 << shift`` nanoseconds wide."""
        while self.shift < shift:
            self._double()

    def _row(self, name: str) -> list[int]:
        row = self.rows.get(name)
        if row is None:
            if len(self.rows) >= MAX_ROWS and name != OTHER:
                return self._row(OTHER)
            row = self.rows[name] = [0] * BINS
        return row

    def _widen(self, time: int) -> None:
        while time >> self.shift >= BINS:
            self._double()

    def _double(self) -> None:
        self.shift += 1
        for row in self.rows.values():
            row[:] = [first + second for first, second in zip(row[::2], row[1::2], strict=True)] + [0] * (BINS // 2)
