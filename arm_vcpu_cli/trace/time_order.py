"""Sorts events of several vCPUs by time, for formats whose readers expect that.

A trace has events in the order in which the machine created them. Each vCPU's times never go back, but vCPUs take
turns, and the one that has the turn may be ahead of another one, or behind it, by up to the length of a turn. So an
event is held back until all vCPUs are beyond it, and the effect of one vCPU on another may appear before its cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush
from typing import Final

from arm_vcpu_cli.trace.event import TraceEnd, TraceEvent, TraceHeader
from arm_vcpu_cli.trace.sinks import TraceSink

MAX_KEPT: Final = 1 << 16
"""The most events held back; with more of them in the window, the oldest is passed on too early."""


class TimeOrder:
    """A :class:`~arm_vcpu_cli.trace.sinks.TraceSink` that passes events to another one in the order of time; events of
    the same time keep their order. ``window`` is the maximum difference of the vCPUs' times in nanoseconds."""

    def __init__(self, sink: TraceSink, window: int) -> None:
        self._sink = sink
        self._window = window
        self._kept: list[tuple[int, int, TraceEvent]] = []
        self._seen = 0
        self._latest = 0

    def header(self, header: TraceHeader) -> None:
        """Pass the header on."""
        self._sink.header(header)

    def event(self, event: TraceEvent) -> None:
        """Hold an event back until no earlier one can follow."""
        kept, time = self._kept, event.time
        self._seen += 1
        heappush(kept, (time, self._seen, event))
        if time > self._latest:
            self._latest = time
        over = self._latest - self._window
        while kept[0][0] < over or len(kept) > MAX_KEPT:
            self._sink.event(heappop(kept)[2])

    def end(self, end: TraceEnd) -> None:
        """Pass on the events held back, and the end."""
        while self._kept:
            self._sink.event(heappop(self._kept)[2])
        self._sink.end(end)

    def summary(self, counts: Mapping[str, int], total: int) -> None:
        """Pass the counts on."""
        self._sink.summary(counts, total)
