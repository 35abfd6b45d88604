"""A sink of trace events that keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from arm_vcpu_cli.trace.event import TraceEnd, TraceEvent, TraceHeader


@dataclass
class Sink:
    """Implements the protocol. A tracer does not tell the header: that is who opens the trace."""

    events: list[TraceEvent] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    total: int = -1
    ends: list[TraceEnd] = field(default_factory=list)

    def header(self, header: TraceHeader) -> None:
        """See the protocol."""
        raise AssertionError(header)

    def event(self, event: TraceEvent) -> None:
        """See the protocol."""
        self.events.append(event)

    def end(self, end: TraceEnd) -> None:
        """See the protocol."""
        self.ends.append(end)

    def summary(self, counts: Mapping[str, int], total: int) -> None:
        """See the protocol."""
        self.counts, self.total = dict(counts), total

    def of(self, type_: str) -> list[TraceEvent]:
        """The events of a type, in order."""
        return [event for event in self.events if event.type == type_]

    @property
    def told(self) -> list[str]:
        """Types and names, in order."""
        return [f"{event.type} {event.name}".strip() for event in self.events]

    @property
    def numbers(self) -> list[int]:
        """The numbers of the events, in order."""
        return [event.seq for event in self.events]

    @property
    def lines(self) -> list[object]:
        """What was told of the console."""
        return [event.fields[0][1] for event in self.of("console")]
