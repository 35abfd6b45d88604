"""The tracks that a trace is drawn on, whatever the file format: this module decides what is shown where.

Time is the guest's, in nanoseconds. It stands still while an exit is handled, so exits are instants; how long the host
took is their argument ``host_ns`` and, summed up, the track *host time in exits*. What takes guest time is a slice:

=================  ====================================================================================================
track              what is on it
=================  ====================================================================================================
vCPU N             exits by reason, entries, and the exceptions that the guest takes itself; *WFI* is the slice from a
                   Halt (but for WFE) to what the vCPU does next
vCPU N state       a slice for each state of the vCPU
a device           accesses: ``DR <- 'A'``, ``FR -> 0x90``
an interrupt       its states as the GIC architecture has them (IHI 0069, 1.2.2): *pending*, *active*, *active and
                   pending*; injections as instants
console            what the guest wrote, a line each
exits per ms       a counter for each reason
host time          the nanoseconds of the host in the exits of a vCPU so far, where the trace has them
=================  ====================================================================================================
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from arm_vcpu_cli.arch.registers.intid import is_private
from arm_vcpu_cli.arch.syndrome.esr import describe_esr, waits_for_event
from arm_vcpu_cli.printable import LONGEST_LINE, printable
from arm_vcpu_cli.trace.event import (
    ACCESS,
    CODE,
    CONSOLE,
    ENTRY,
    EXCEPTION,
    EXIT,
    FAULT,
    IRQ,
    STATE,
    Field,
    Hex,
    TraceEnd,
    TraceEvent,
    TraceHeader,
)

Args = tuple[Field, ...]

PENDING: Final = "pending"
ACTIVE: Final = "active"
ACTIVE_AND_PENDING: Final = "active and pending"
WFI: Final = "WFI"
HALT: Final = "Halt"
HOST_TIME: Final = "host_ns"

_COUNTER_PERIOD: Final = 1_000_000
"""The guest time over which exits are counted, in nanoseconds."""
_MAX_PLACES: Final = 1 << 14


class Track(NamedTuple):
    """A row of the display, by a number from 1. ``vcpu`` is set on the track of a vCPU itself, ``unit`` on a counter's,
    ``parent`` is the number of the track above it in the hierarchy."""

    id: int
    group: str
    name: str
    parent: int | None = None
    vcpu: int | None = None
    unit: str | None = None


class TrackWriter(Protocol):
    """Writes the records of one file format. Times of one track never go back."""

    def start(self, header: TraceHeader) -> None:
        """Write the facts about the trace; called first."""

    def track(self, track: Track) -> None:
        """Write a new track; called before anything on it."""

    def instant(self, track: Track, time: int, name: str, args: Args) -> None:
        """Write an event that takes no guest time."""

    def begin(self, track: Track, time: int, name: str, args: Args) -> None:
        """Begin a slice; slices of a track do not overlap."""

    def end(self, track: Track, time: int) -> None:
        """End the slice that is open on the track."""

    def counter(self, track: Track, time: int, value: int) -> None:
        """Write the value of a counter from here on."""

    def flush(self) -> None:
        """Write the pending records, in one piece."""

    def close(self) -> None:
        """Finish the file; the stream stays open."""


VCPUS: Final = "vCPUs"
DEVICES: Final = "devices"
INTERRUPTS: Final = "interrupts"
OUTPUT: Final = "guest"
COUNTERS: Final = "counters"
GROUPS: Final = (OUTPUT, VCPUS, INTERRUPTS, DEVICES, COUNTERS)
"""The groups of tracks, from top to bottom."""


class Timeline:
    """Puts trace events on tracks."""

    def __init__(self, writer: TrackWriter) -> None:
        self._writer = writer
        self._tracks: dict[tuple[str, str], Track] = {}
        self._vcpus = 1
        self._waiting: set[int] = set()
        self._states: set[int] = set()
        self._interrupts: dict[Track, str] = {}
        self._counted: Counter[str] = Counter()
        self._shown: set[str] = set()
        self._period = 0
        self._host_time: Counter[int] = Counter()
        self._place = lru_cache(_MAX_PLACES)(_place)
        self._handlers = {
            EXIT: self._exit,
            ENTRY: self._entry,
            EXCEPTION: self._exception,
            IRQ: self._irq,
            STATE: self._state,
            CONSOLE: self._console,
            ACCESS: self._access,
            CODE: self._code,
            FAULT: self._fault,
        }

    def header(self, header: TraceHeader) -> None:
        """Create the tracks of the machine's parts, so that they are in its order."""
        self._vcpus = header.vcpus
        for vcpu in range(header.vcpus):
            self._vcpu(vcpu)
        for device in header.devices:
            self._track(DEVICES, device.name)
        self._writer.flush()

    def event(self, event: TraceEvent) -> None:
        """Show one event."""
        self._handlers[event.type](event)
        self._writer.flush()

    def end(self, end: TraceEnd) -> None:
        """Close everything open, and write the end of the run."""
        for vcpu in sorted(self._waiting):
            self._writer.end(self._vcpu(vcpu), end.time)
        self._waiting.clear()
        for vcpu in sorted(self._states):
            self._writer.end(self._state_track(vcpu), end.time)
        self._states.clear()
        for track, state in self._interrupts.items():
            if state:
                self._writer.end(track, end.time)
        self._interrupts.clear()
        self._count_period(end.time)
        args: Args = (("status", end.status), ("message", end.message), ("exits", end.exits))
        self._writer.instant(self._track(OUTPUT, "run"), end.time, end.ending, args)
        self._writer.flush()

    def _track(
        self, group: str, name: str, parent: int | None = None, *, vcpu: int | None = None, unit: str | None = None
    ) -> Track:
        track = self._tracks.get((group, name))
        if track is None:
            track = self._tracks[group, name] = Track(len(self._tracks) + 1, group, name, parent, vcpu, unit)
            self._writer.track(track)
        return track

    def _vcpu(self, vcpu: int) -> Track:
        return self._track(VCPUS, f"vCPU {vcpu}", vcpu=vcpu)

    def _state_track(self, vcpu: int) -> Track:
        return self._track(VCPUS, f"vCPU {vcpu} state", self._vcpu(vcpu).id)

    def _awake(self, event: TraceEvent) -> Track:
        """Return the track of the event's vCPU, which is active and so no longer waits."""
        vcpu = event.vcpu
        track = self._vcpu(vcpu)
        if vcpu in self._waiting:
            self._waiting.remove(vcpu)
            self._writer.end(track, event.time)
        return track

    def _args(self, event: TraceEvent) -> Args:
        args = (*self._place(event.pc, event.symbol, event.source, event.caller, event.el, event.esr), *event.fields)
        return (*args, ("note", event.note)) if event.note else args

    def _exit(self, event: TraceEvent) -> None:
        track = self._awake(event)
        name, time, fields = event.name, event.time, event.fields
        args = (("seq", event.seq), *self._args(event))
        if name == HALT and not waits_for_event(event.esr or 0):
            self._writer.begin(track, time, WFI, args)
            self._waiting.add(event.vcpu)
        else:
            self._writer.instant(track, time, name, args)
        if time // _COUNTER_PERIOD != self._period:
            self._count_period(time)
        self._counted[name] += 1
        device = register = ""
        for field, value in fields:
            if field == "device":
                device = str(value)
            elif field == "register":
                register = str(value)
            elif field == HOST_TIME and isinstance(value, int):
                self._host_time[event.vcpu] += value
                counter = self._track(COUNTERS, f"host time in exits, vCPU {event.vcpu}", unit="ns")
                self._writer.counter(counter, time, self._host_time[event.vcpu])
        if device:
            self._writer.instant(self._track(DEVICES, device), time, _access_name(register, fields), fields)

    def _entry(self, event: TraceEvent) -> None:
        self._writer.instant(self._awake(event), event.time, "entry", self._args(event))

    def _exception(self, event: TraceEvent) -> None:
        self._writer.instant(self._awake(event), event.time, event.name, self._args(event))

    def _access(self, event: TraceEvent) -> None:
        fields = dict(event.fields)
        track = self._track(DEVICES, str(fields.get("device", "?")))
        name = _access_name(str(fields.get("register", "")), event.fields)
        self._writer.instant(track, event.time, name, self._args(event))

    def _code(self, event: TraceEvent) -> None:
        self._writer.instant(self._awake(event), event.time, "first execution", self._args(event))

    def _fault(self, event: TraceEvent) -> None:
        name = f"fault {dict(event.fields).get('fault', '?')}"
        # A vCPU that waits in WFI continues to wait, unless the fault wakes it.
        self._writer.instant(self._vcpu(event.vcpu), event.time, name, self._args(event))

    def _console(self, event: TraceEvent) -> None:
        for name, value in event.fields:
            if name == "text":
                self._writer.instant(
                    self._track(OUTPUT, "console"), event.time, printable(str(value), LONGEST_LINE), ()
                )

    def _state(self, event: TraceEvent) -> None:
        track = self._state_track(event.vcpu)
        if event.vcpu in self._states:
            self._writer.end(track, event.time)
        self._states.add(event.vcpu)
        self._writer.begin(track, event.time, event.name, event.fields)

    def _irq(self, event: TraceEvent) -> None:
        fields = dict(event.fields)
        intid, source = int(fields.get("intid", -1)), str(fields.get("source_name", ""))
        name = f"INTID {intid} {source}".rstrip()
        if self._vcpus > 1 and is_private(intid):
            name = f"{name} of vCPU {event.vcpu}"
        track = self._track(INTERRUPTS, name)
        state = self._interrupts.get(track, "")
        after = INTERRUPT_STATES.get((event.name, state), state)
        if after == state:
            self._writer.instant(track, event.time, event.name, self._args(event))
            return
        if state:
            self._writer.end(track, event.time)
        if after:
            self._writer.begin(track, event.time, after, (("vcpu", event.vcpu), *self._args(event)))
        self._interrupts[track] = after

    def _count_period(self, time: int) -> None:
        """Write the exits of the past period, and zeros for reasons without any."""
        start = self._period * _COUNTER_PERIOD
        for reason in sorted(self._shown | self._counted.keys()):
            track = self._track(COUNTERS, f"{reason} exits per ms", unit="exits")
            self._writer.counter(track, start, self._counted[reason])
        self._shown = set(self._counted)
        self._counted.clear()
        now = time // _COUNTER_PERIOD
        if now > self._period + 1:
            for reason in sorted(self._shown):
                track = self._track(COUNTERS, f"{reason} exits per ms", unit="exits")
                self._writer.counter(track, start + _COUNTER_PERIOD, 0)
            self._shown.clear()
        self._period = now


INTERRUPT_STATES: Final = {
    ("raised", ""): PENDING,
    ("raised", ACTIVE): ACTIVE_AND_PENDING,
    ("acknowledged", ""): ACTIVE,
    ("acknowledged", PENDING): ACTIVE,
    ("withdrawn", PENDING): "",
    ("withdrawn", ACTIVE_AND_PENDING): ACTIVE,
    ("ended", ACTIVE): "",
    ("ended", ACTIVE_AND_PENDING): PENDING,
}
"""(action, state before) -> state after, of IHI 0069, 4.1; "" is inactive. All other actions change nothing."""


def _place(pc: int | None, symbol: str, source: str, caller: str, el: int | None, esr: int | None) -> Args:
    args: list[Field] = []
    if pc is not None:
        args.append(("pc", Hex(pc)))
    args += [(name, text) for name, text in (("symbol", symbol), ("source", source), ("caller", caller)) if text]
    if el is not None:
        args.append(("el", el))
    if esr is not None:
        args += [("esr", Hex(esr)), ("esr_text", describe_esr(esr))]
    return tuple(args)


def _access_name(register: str, fields: Args) -> str:
    """Return ``DR <- 'A'`` for a write, ``FR -> 0x90`` for a read, of the register without the name of its device."""
    read = write = meaning = offset = ""
    for name, value in fields:
        if name == "data":
            write = str(value)
        elif name == "value":
            read = str(value)
        elif name == "meaning":
            meaning = str(value)
        elif name == "offset":
            offset = str(value)
    name = register.rpartition(".")[2] or (f"+{offset}" if offset else "access")
    if write:
        return f"{name} <- {meaning or write}"
    return f"{name} -> {meaning or read}" if read else name


class TimelineSink:
    """A :class:`~arm_vcpu_cli.trace.sinks.TraceSink` that draws the tracks with a writer."""

    def __init__(self, writer: TrackWriter) -> None:
        self._writer = writer
        self._timeline = Timeline(writer)
        self.event: Final = self._timeline.event
        self.end: Final = self._timeline.end

    def header(self, header: TraceHeader) -> None:
        """Begin the timeline with the facts about the trace."""
        self._writer.start(header)
        self._timeline.header(header)

    def summary(self, counts: Mapping[str, int], total: int) -> None:  # noqa: ARG002
        """Write nothing: the counters show it."""
        self._writer.close()
