"""Keeps the exits of a running guest, as a sequence of events in their JSON form and as a trace to write."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, overload

from arm_vcpu_cli.trace.event import NAME_KEYS, TraceEnd, TraceEvent, TraceHeader
from arm_vcpu_cli.trace.jsonlines import JsonLinesSink

MOST_EVENTS: Final = 500_000
"""The most events kept, the first ones: this many take 150 MB, and a guest may never end."""
Event = Mapping[str, Any]
"""An event as the manual's topic ``trace-schema`` describes it."""
_SHOWN: Final = 3
_NO_END: Final = TraceEnd("", 0, "", 0, 0)


class ExitLog(Sequence[Event]):
    """The events of a guest so far, in order. It is a trace sink."""

    def __init__(self) -> None:
        self._events: list[TraceEvent] = []
        self._header: TraceHeader | None = None
        self._end: TraceEnd | None = None
        self._totals: tuple[Mapping[str, int], int] = ({}, 0)

    # Reports of the tracer -------------------------------------------------------------------------------------

    def header(self, header: TraceHeader) -> None:
        """Keep the header of the trace."""
        self._header = header

    def event(self, event: TraceEvent) -> None:
        """Keep an event."""
        self._events.append(event)

    def end(self, end: TraceEnd) -> None:
        """Keep the end."""
        self._end = end

    def summary(self, counts: Mapping[str, int], total: int) -> None:
        """Keep the counts."""
        self._totals = (counts, total)

    # Interface for tests ---------------------------------------------------------------------------------------

    @overload
    def __getitem__(self, place: int) -> Event: ...
    @overload
    def __getitem__(self, place: slice) -> list[Event]: ...
    def __getitem__(self, place: int | slice) -> Event | list[Event]:
        """An event, or some of them."""
        if isinstance(place, slice):
            return _records(self._events[place])
        return _records([self._events[place]])[0]

    def __iter__(self) -> Iterator[Event]:
        return iter(_records(self._events))

    def __len__(self) -> int:
        return len(self._events)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ExitLog):
            return _records(self._events) == _records(other._events)
        if isinstance(other, list | tuple):
            return _records(self._events) == [*other]
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        counts = self.counts.most_common(_SHOWN)
        names = ", ".join(f"{count} {name}" for name, count in counts) + (", ..." if len(self.counts) > _SHOWN else "")
        return f"<{len(self)} events: {names}>" if counts else "<no events>"

    @property
    def is_full(self) -> bool:
        """Whether the limit was reached, so that later events may be missing."""
        return len(self._events) >= MOST_EVENTS

    @property
    def counts(self) -> Counter[str]:
        """The number of events by exit reason, and of other events by type."""
        return Counter(event.name if event.type in NAME_KEYS else event.type for event in self._events)

    def only(self, *names: str, **fields: object) -> list[Event]:
        """Return the events of these exit reasons or types (all by default) that have these properties."""
        kept = [event for event in self._events if not names or event.name in names or event.type in names]
        return [record for record in _records(kept) if all(record.get(name) == value for name, value in fields.items())]

    def text(self, wants: Callable[[str, str, int], bool] | None = None) -> str:
        """Return the log as a trace in JSON Lines, without an end if the guest has not ended; ``wants`` selects events
        by type, name and vCPU."""
        events = [each for each in self._events if wants is None or wants(each.type, each.name, each.vcpu)]
        stream = io.StringIO()
        sink = JsonLinesSink(stream)
        if self._header is not None:
            sink.header(self._header)
        lines = [stream.getvalue(), *_lines(events)]
        stream.truncate(stream.seek(0))
        if self._end is not None:
            sink.end(self._end)
            sink.summary(*self._totals)
        return "".join([*lines, stream.getvalue()])


def _records(events: Sequence[TraceEvent]) -> list[Event]:
    return [json.loads(line) for line in _lines(events)]


def _lines(events: Sequence[TraceEvent]) -> list[str]:
    stream = io.StringIO()
    sink = JsonLinesSink(stream)
    for event in events:
        sink.event(event)
    # A sink may hold back the last event until the end.
    sink.end(_NO_END)
    return stream.getvalue().splitlines(keepends=True)[:-1]
