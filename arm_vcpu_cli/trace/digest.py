"""Gathers the contents of a report from a trace, in one pass and constant memory."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.syndrome.esr import waits_for_event
from arm_vcpu_cli.trace.bins import Bins
from arm_vcpu_cli.trace.event import (
    CONSOLE,
    ENTRY,
    EXCEPTION,
    EXIT,
    IRQ,
    NAME_KEYS,
    STATE,
    TraceEnd,
    TraceEvent,
    TraceHeader,
)
from arm_vcpu_cli.trace.reader import Record, TraceReader
from arm_vcpu_cli.trace.statistics import Statistics
from arm_vcpu_cli.trace.tally import count_record
from arm_vcpu_cli.trace.text import details, event_syndrome, place

KEPT_EVENTS: Final = 2000
"""The number of events kept from the start of a trace, and from its end."""
KEPT_LINES: Final = 1500
"""The number of console lines kept from the start, and from the end."""
MAX_TEXT: Final = 2000
"""The most characters kept of a console line."""
MAX_DETAILS: Final = 400
"""The most characters kept of the details of an event."""
WFI: Final = "WFI"
_HALT: Final = "Halt"
_COMMON: Final = frozenset(
    {"type", "seq", "vcpu", "time_ns", "pc", "symbol", "caller", "el", "esr", "esr_text", "source", "note"}
)
_ACTIVITIES: Final = frozenset({EXIT, ENTRY, EXCEPTION})
_MAX_VCPUS: Final = 64


class ShownEvent(NamedTuple):
    """A row of the table of events; ``time`` in nanoseconds."""

    seq: int
    time: int
    vcpu: int
    type: str
    name: str
    place: str
    details: str


class ConsoleLine(NamedTuple):
    """A line that the guest wrote; ``time`` in nanoseconds."""

    time: int
    text: str


@dataclass
class Digest:
    """``exits`` are exits by reason over time, ``vcpus`` the activity of each vCPU over time (nanoseconds by state, and
    of waiting in WFI), ``interrupts`` acknowledgements by INTID over time. ``first`` and ``last`` are events, ``begin``
    and ``rest`` lines of the console; ``left_out`` and ``lines_left_out`` are the numbers of those in between.
    ``events`` counts all, ``duration`` is the guest's time in nanoseconds."""

    header: TraceHeader
    statistics: Statistics = field(default_factory=Statistics)
    end: TraceEnd | None = None
    truncated: bool = False
    duration: int = 0
    events: int = 0
    lines: int = 0
    waited: int = 0
    exits: Bins = field(default_factory=Bins)
    vcpus: dict[int, Bins] = field(default_factory=dict)
    interrupts: Bins = field(default_factory=Bins)
    first: list[ShownEvent] = field(default_factory=list)
    last: deque[ShownEvent] = field(default_factory=lambda: deque(maxlen=KEPT_EVENTS))
    begin: list[ConsoleLine] = field(default_factory=list)
    rest: deque[ConsoleLine] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))

    @property
    def left_out(self) -> int:
        """The number of events in no table."""
        return self.events - len(self.first) - len(self.last)

    @property
    def lines_left_out(self) -> int:
        """The number of console lines not kept."""
        return self.lines - len(self.begin) - len(self.rest)


def digest(trace: TraceReader) -> Digest:
    """Read a trace to its end. Raises TraceFileError if it is damaged."""
    found = Digest(trace.header)
    activity = _Activity(found)
    for record in trace.records():
        kind, time = record["type"], record["time_ns"]
        found.duration = max(found.duration, time)
        _count(trace, record, found)
        activity.see(record)
        if kind == CONSOLE:
            _keep_line(found, ConsoleLine(time, trace.optional(record, "text")[:MAX_TEXT]))
        found.events += 1
        if len(found.first) < KEPT_EVENTS:
            found.first.append(_shown(record))
        else:
            found.last.append(_shown(record))
    found.end, found.truncated = trace.end, trace.truncated
    if found.end is not None:
        found.duration = max(found.duration, found.end.time)
    activity.finish(found.duration)
    for bins in (found.exits, found.interrupts, *found.vcpus.values()):
        bins.widen_to(max(found.exits.shift, found.interrupts.shift, *(each.shift for each in found.vcpus.values()), 0))
    return found


def _count(trace: TraceReader, record: Record, found: Digest) -> None:
    count_record(trace, record, found.statistics)
    kind, time = record["type"], record["time_ns"]
    if kind == EXIT:
        found.exits.add(record["reason"], time)
    elif kind == IRQ and record["action"] == "acknowledged":
        found.interrupts.add(f"{record['intid']} {trace.optional(record, 'source_name')}".rstrip(), time)


class _Activity:
    """Tracks the activity of the vCPUs over time."""

    def __init__(self, found: Digest) -> None:
        self._found = found
        self._since: dict[int, tuple[str, int]] = {}
        self._halted: dict[int, int] = {}

    def see(self, record: Record) -> None:
        kind, vcpu, time = record["type"], record["vcpu"], record["time_ns"]
        if vcpu >= _MAX_VCPUS:
            return
        if kind == STATE:
            self._change(vcpu, record["state"], time)
        elif kind in _ACTIVITIES:
            if vcpu in self._halted:
                self._wake(vcpu, time)
            if kind == EXIT and record["reason"] == _HALT and not waits_for_event(_number(record.get("esr")) or 0):
                self._halted[vcpu] = time

    def finish(self, time: int) -> None:
        for vcpu in list(self._halted):
            self._wake(vcpu, time)
        for vcpu in list(self._since):
            self._change(vcpu, "", time)

    def _change(self, vcpu: int, state: str, time: int) -> None:
        before, since = self._since.get(vcpu, ("", time))
        if before:
            self._bins(vcpu).add_span(before, since, time)
        self._since[vcpu] = (state, time)

    def _wake(self, vcpu: int, time: int) -> None:
        since = self._halted.pop(vcpu)
        self._found.waited += max(0, time - since)
        self._bins(vcpu).add_span(WFI, since, time)

    def _bins(self, vcpu: int) -> Bins:
        bins = self._found.vcpus.get(vcpu)
        if bins is None:
            bins = self._found.vcpus[vcpu] = Bins()
        return bins


def _keep_line(found: Digest, line: ConsoleLine) -> None:
    found.lines += 1
    if len(found.begin) < KEPT_LINES:
        found.begin.append(line)
    else:
        found.rest.append(line)


def _shown(record: Record) -> ShownEvent:
    """Return an event as a line of a text trace shows it."""
    event = _event(record)
    esr = "" if event.esr is None else event_syndrome(event)
    note = f"[{event.note}]" if event.note else ""
    where = "" if event.pc is None else " ".join(place(event.pc, event.symbol, event.source).split())
    el = "" if event.el is None or not where else f"EL{event.el} "
    return ShownEvent(
        event.seq,
        event.time,
        event.vcpu,
        event.type[:MAX_DETAILS],
        event.name[:MAX_DETAILS],
        f"{el}{where or event.symbol}"[:MAX_DETAILS],
        " ".join(part for part in (details(event), note, esr) if part)[:MAX_DETAILS],
    )


def _event(record: Record) -> TraceEvent:
    kind = record["type"]
    key = NAME_KEYS.get(kind, "")
    return TraceEvent(
        kind,
        record["seq"],
        record["vcpu"],
        record["time_ns"],
        record[key] if key else "",
        _number(record.get("pc")),
        _string(record.get("symbol")),
        _string(record.get("source")),
        el=_integer(record.get("el")),
        esr=_number(record.get("esr")),
        fields=tuple((name, value) for name, value in record.items() if name not in _COMMON and name != key),
        note=_string(record.get("note")),
    )


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _number(value: object) -> int | None:
    """Return an address or a register, which are text in a trace."""
    try:
        return int(value, 16) if isinstance(value, str) else None
    except ValueError:
        return None
