"""The destinations of trace events: the protocol of all formats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from arm_vcpu_cli.trace.event import TraceEnd, TraceEvent, TraceHeader


class TraceSink(Protocol):
    """Takes a trace: the header, events in order, the end of the run, and the counts."""

    def header(self, header: TraceHeader) -> None:
        """Take the facts about the trace; called once, first."""

    def event(self, event: TraceEvent) -> None:
        """Take one event."""

    def end(self, end: TraceEnd) -> None:
        """Take the end of the run."""

    def summary(self, counts: Mapping[str, int], total: int) -> None:
        """Take the counts, last: exits by reason, and the total, including those not selected."""
