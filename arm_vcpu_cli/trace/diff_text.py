"""Formats the comparison of two traces as text: hunks like those of a unified diff, and a summary."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from arm_vcpu_cli.printable import printable
from arm_vcpu_cli.trace.diff import Hunk, Pair, Totals
from arm_vcpu_cli.trace.diffkeys import END, Comparison, Event, Side
from arm_vcpu_cli.trace.event import EXIT, TraceHeader
from arm_vcpu_cli.trace.reader import Record
from arm_vcpu_cli.trace.records import event_of
from arm_vcpu_cli.trace.text import Style, event_line, plain

_LONGEST_VALUE: Final = 60
_COMPARED: Final = ("guest", "machine", "cpu", "clock", "vcpus", "devices")


class DiffText:
    """The comparison as styled lines of text."""

    def __init__(self, a: Side, b: Side, comparison: Comparison, style: Style = plain) -> None:
        self._a = a
        self._b = b
        self._comparison = comparison
        self._digits = len(str(max(side.trace.header.vcpus for side in (a, b)) - 1))
        self._style = style

    def headings(self) -> Iterator[str]:
        """The names of the traces, and the differences in their headers."""
        for mark, side in (("---", self._a), ("+++", self._b)):
            yield self._style(f"{mark} {side.trace.name}  ({_about(side.trace.header)})", "heading")
        first, second = self._a.trace.header, self._b.trace.header
        for name in _COMPARED:
            values = getattr(first, name), getattr(second, name)
            if values[0] == values[1]:
                continue
            if name == "devices":
                yield self._style("the traced machines have different devices", "changed")
            else:
                was, is_ = (printable(str(value)) for value in values)
                yield self._style(f"{name}: {was} -> {is_}", "changed")

    def hunk(self, hunk: Hunk) -> Iterator[str]:
        """One place where the traces differ."""
        yield self._style(self._position(hunk), "irq")
        changes: list[Pair] = []
        for pair in hunk.pairs:
            if _is_same(pair):
                yield from self._flush(changes)
                changes = []
                yield f"  {self._line(self._a, pair[0])}"
            else:
                changes.append(pair)
        yield from self._flush(changes)
        if hunk.omitted:
            yield self._style(f"... {hunk.omitted} more events at this place", "faint")

    def summary(self, totals: Totals) -> Iterator[str]:
        """The number of differing events, the first difference, and the differing counts."""
        if not totals.differ:
            exits = sum(self._a.counts[name] for name in _exits(self._a))
            yield f"the same: {totals.same} events" + (f", {exits} of them exits" if exits else "")
            return
        yield self._style(f"first difference: {self.first(totals)}", "heading")
        yield (
            f"{totals.same} events are the same, {totals.changed} differ, {totals.only_a} are only in "
            f"{self._a.trace.name}, {totals.only_b} only in {self._b.trace.name}"
        )
        yield from self._counts()

    def first(self, totals: Totals) -> str:
        """The first place where the traces differ."""
        first, second = totals.first or (None, None)
        parts = [self._place(side, event) for side, event in ((self._a, first), (self._b, second)) if event]
        return " / ".join(dict.fromkeys(parts))

    def _counts(self) -> Iterator[str]:
        names = sorted(
            {name for side in (self._a, self._b) for name in side.counts if name != END},
            key=lambda name: (-max(self._a.counts[name], self._b.counts[name]), name),
        )
        rows = [(printable(name), self._a.counts[name], self._b.counts[name]) for name in names]
        different = [row for row in rows if row[1] != row[2]]
        if different:
            width = max(len(name) for name, _, _ in different)
            yield self._style(f"  {'':<{width}} {'---':>10} {'+++':>10}", "faint")
            for name, count_a, count_b in different:
                yield f"  {name:<{width}} {count_a:>10} {count_b:>10} {count_b - count_a:>+9}"

    def _flush(self, changes: list[Pair]) -> Iterator[str]:
        for first, second in changes:
            if first is not None:
                yield self._style(f"- {self._line(self._a, first, plain)}", "removed")
            if second is not None:
                yield self._style(f"+ {self._line(self._b, second, plain)}", "added")
            if first is not None and second is not None:
                said = self._said(first, second)
                if said:
                    yield self._style(f"? {said}", "changed")

    def _said(self, first: Event, second: Event) -> str:
        """The properties of an event that differ."""
        changes = changed(self._comparison, self._a.record(first), self._b.record(second))
        return ", ".join(
            f"{printable(name)} {_shown(was, start)} -> {_shown(is_, start)}"
            for name, (was, is_) in changes.items()
            if name != "esr"
            for start in (_start(str(was), str(is_)),)
        )

    def _line(self, side: Side, event: Event | None, style: Style | None = None) -> str:
        assert event is not None
        record = side.record(event)
        if event.name == END:
            return f"{'end':>7} {record['ending']} (status {record['status']}): {printable(str(record['message']))}"
        told = event_of(record)
        # The syndrome is left out as redundant: the differing fields are shown.
        compared = tuple(said for said in told.fields if said[0] not in self._comparison.ignored)
        shown = told._replace(esr=None, fields=compared)
        return event_line(shown, self._style if style is None else style, self._digits)

    def _place(self, side: Side, event: Event) -> str:
        return _place(side.record(event), event, side.trace.header.vcpus)

    def _position(self, hunk: Hunk) -> str:
        events_a = [first for first, _ in hunk.pairs if first is not None]
        events_b = [second for _, second in hunk.pairs if second is not None]
        text = f"@@ -{_range(events_a)} +{_range(events_b)} @@"
        differing = next((pair for pair in hunk.pairs if not _is_same(pair)), (None, None))
        for side, event in zip((self._a, self._b), differing, strict=True):
            if event is not None:
                return f"{text} {self._place(side, event)}"
        return text


def changed(comparison: Comparison, first: Record, second: Record) -> dict[str, tuple[object, object]]:
    """The compared properties in which two events differ; None stands for a missing one."""
    was, is_ = comparison.properties(first), comparison.properties(second)
    return {name: (was.get(name), is_.get(name)) for name in {**was, **is_} if was.get(name) != is_.get(name)}


def _is_same(pair: Pair) -> bool:
    first, second = pair
    return first is not None and second is not None and first.key == second.key


def _exits(side: Side) -> list[str]:
    return [name for name in side.counts if name in side.exit_names]


def _place(record: Record, event: Event, vcpus: int) -> str:
    """The line, exit number and time of an event, and the guest's location."""
    what = "the end of the run" if event.name == END else f"exit {record['seq']}"
    if event.name != END and record["type"] != EXIT:
        what = f"after exit {record['seq']}"
    if event.name != END and vcpus > 1:
        what = f"{what}, cpu{record['vcpu']}"
    symbol = record.get("symbol") or record.get("pc")
    where = f", {printable(symbol)}" if isinstance(symbol, str) else ""
    return f"line {event.number}, {what}, {record['time_ns'] / 1e9:.9f} s{where}"


def _range(events: list[Event]) -> str:
    return f"{events[0].number},{len(events)}" if events else "0,0"


def _shown(value: object, start: int) -> str:
    if value is None:
        return "(none)"
    text = str(value)
    return printable(text if not start else f"...{text[start:]}", _LONGEST_VALUE)


def _start(was: str, is_: str) -> int:
    """The offset from which two values are shown: for long ones, slightly before their first difference."""
    if max(len(was), len(is_)) <= _LONGEST_VALUE:
        return 0
    differing = (place for place, (one, other) in enumerate(zip(was, is_, strict=False)) if one != other)
    return max(0, next(differing, min(len(was), len(is_))) - _LONGEST_VALUE // 4)


def _about(header: TraceHeader) -> str:
    return printable(f"{header.guest} on {header.machine}, {header.cpu}; {header.tool}")
