"""Counts and times exits: by reason, register, call, place; in constant memory, live and from a trace alike."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from arm_vcpu_cli.arch.registers.gicregs import FIRST_PPI
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.trace.event import EXCEPTION, IRQ
from arm_vcpu_cli.trace.exitkey import CALLER, EXIT_DIMENSIONS, REASON, REGISTER, ExitKey
from arm_vcpu_cli.trace.histogram import Durations
from arm_vcpu_cli.trace.overtime import BINS, OTHER, OverTime

MAX_KEYS: Final = 1 << 16
"""The most kinds of exits counted separately; for later ones, place and caller are no longer recorded."""
MAX_NAMES: Final = 1 << 12
"""The most interrupts, and the most kinds of exceptions, counted separately."""
MAX_ALIKE: Final = 8
"""The most registers whose names differ only in their number that have separate rows."""
UNKNOWN: Final = "(unknown)"

_INDEX: Final = re.compile(r"\d+(?:\[\d+:\d+\])?(?= \w+\Z)")


class Cell:
    """The statistics of one key: number, durations, and (``row``) distribution over time."""

    __slots__ = ("count", "durations", "row")

    def __init__(self, row: list[int]) -> None:
        self.count = 0
        self.durations = Durations()
        self.row = row


class Interrupt(Record):
    """One INTID, of one vCPU or (``vcpu`` None) of all: the number of each of its steps, the guest's time from raised
    to acknowledged (``pending``) and from acknowledged to ended (``active``)."""

    intid: int
    source: str
    actions: Counter[str]
    pending: Durations
    active: Durations
    vcpu: int | None = None


class Row(Record):
    """A line of a table; ``over_time`` has counts in intervals of the run, or is empty."""

    label: str
    count: int
    durations: Durations
    over_time: tuple[int, ...] = ()


class Statistics:
    """Counts events. ``first`` and ``last`` are guest times in nanoseconds, ``events`` counts the
    others by type."""

    def __init__(self) -> None:
        self.first: int | None = None
        self.last = 0
        self.events: Counter[str] = Counter()
        self.over_time = OverTime()
        self._cells: dict[ExitKey, Cell] = {}
        self._exceptions: dict[str, Cell] = {}
        self._interrupts: dict[tuple[int, int], Interrupt] = {}

    def cell(self, key: ExitKey) -> Cell:
        """Return the cell in which exits with this key are counted."""
        cell = self._cells.get(key)
        if cell is None:
            if len(self._cells) >= MAX_KEYS:
                key = ExitKey(key.reason if len(self._cells) < MAX_KEYS + MAX_NAMES else OTHER, symbol=OTHER)
                cell = self._cells.get(key)
            if cell is None:
                cell = self._cells[key] = Cell(self.over_time.row(key.reason))
        return cell

    def see(self, time: int) -> None:
        """Record the time of an event."""
        if self.first is None or time < self.first:
            self.first = time
        if time > self.last:
            self.last = time

    def exit(self, cell: Cell, time: int, host_ns: int | None = None, _latency_ns: int | None = None) -> None:
        """Count an exit in its cell."""
        if time > self.last or self.first is None or time < self.first:
            self.see(time)
        bin_ = time >> self.over_time.shift
        if bin_ >= BINS:
            self.over_time.widen(time)
            bin_ = time >> self.over_time.shift
        cell.row[bin_] += 1
        cell.count += 1
        if host_ns is not None:
            cell.durations.add(host_ns)

    def add(self, key: ExitKey, count: int, durations: Durations) -> None:
        """Count many exits of one key, whose times have already been added."""
        cell = self.cell(key)
        cell.count += count
        cell.durations.merge(durations)

    def event(self, kind: str, time: int, _host_ns: int | None = None, _latency_ns: int | None = None) -> None:
        """Count an event of which only the type is known."""
        self.see(time)
        self.events[kind if kind in self.events or len(self.events) < MAX_NAMES else OTHER] += 1

    def exception(self, kind: str, time: int, _host_ns: int | None = None, _latency_ns: int | None = None) -> None:
        """Count an exception that the guest has taken itself."""
        self.event(EXCEPTION, time)
        cell = self._exceptions.get(kind)
        if cell is None:
            if len(self._exceptions) >= MAX_NAMES:
                kind = OTHER
            cell = self._exceptions.setdefault(kind, Cell([]))
        cell.count += 1

    def interrupt(
        self,
        vcpu: int,
        intid: int,
        source: str,
        action: str,
        time: int,
        _host_ns: int | None = None,
        latency: int | None = None,
    ) -> None:
        """Count a step of an interrupt; ``latency`` is the guest's time since the previous step, see the schema."""
        self.event(IRQ, time)
        found = self._interrupts.get((vcpu, intid))
        if found is None:
            if len(self._interrupts) >= MAX_NAMES:
                vcpu, intid, source = -1, -1, OTHER
            found = self._interrupts.setdefault((vcpu, intid), _interrupt(intid, source, vcpu))
        if action not in found.actions and len(found.actions) >= MAX_NAMES:
            action = OTHER
        found.actions[action] += 1
        if latency is not None and action == "acknowledged":
            found.pending.add(latency)
        elif latency is not None and action == "ended":
            found.active.add(latency)

    @property
    def exits(self) -> int:
        """The number of exits."""
        return sum(cell.count for cell in list(self._cells.values()))

    @property
    def seconds(self) -> float:
        """The guest's time from the first event to the last."""
        return 0.0 if self.first is None else (self.last - self.first) / 1e9

    def durations(self) -> Durations:
        """Return the durations of all exits together."""
        together = Durations()
        for cell in list(self._cells.values()):
            together.merge(cell.durations)
        return together

    def by(self, dimension: str, *, width: int = 0) -> list[Row]:
        """Return the table of one of :data:`EXIT_DIMENSIONS`, the most frequent first, without exits to which it does
        not apply.

        Rows of the reasons have their counts over time in at most ``width`` intervals.
        """
        index = EXIT_DIMENSIONS.index(dimension)
        fold = self._arrays() if dimension == REGISTER else {}
        grouped: dict[tuple[str, str], tuple[list[int], Durations]] = {}
        for key, cell in list(self._cells.items()):
            value = fold.get(key[index], key[index])
            if not value and dimension == CALLER:
                value = UNKNOWN
            if value:
                group = (value, key.device if dimension == REGISTER else "")
                counted, durations = grouped.setdefault(group, ([0], Durations()))
                counted[0] += cell.count
                durations.merge(cell.durations)
        shared = Counter(group[0] for group in grouped)
        rows = []
        for group, (counted, durations) in grouped.items():
            label = group[0] if shared[group[0]] == 1 else f"{group[0]} ({group[1]})"
            history = self.over_time.resampled(group[0], width) if width and dimension == REASON else ()
            rows.append(Row(label, counted[0], durations, tuple(history)))
        return sorted(rows, key=lambda row: (-row.count, row.label))

    def _arrays(self) -> dict[str, str]:
        """Return, for registers with many similar ones, such as GICD_IROUTER988, the name of the array."""
        arrays: dict[str, set[str]] = {}
        for key in list(self._cells):
            stem = _INDEX.sub("<n>", key.register)
            arrays.setdefault(stem, set()).add(key.register)
        return {name: stem for stem, names in arrays.items() if len(names) > MAX_ALIKE for name in names}

    @property
    def folded(self) -> int:
        """The number of exits that came too late for their place to be recorded."""
        return sum(cell.count for key, cell in list(self._cells.items()) if key.symbol == OTHER)

    def exceptions(self) -> list[Row]:
        """Return the exceptions that the guest has taken itself, by kind, the most frequent first."""
        rows = [Row(kind, cell.count, cell.durations) for kind, cell in list(self._exceptions.items())]
        return sorted(rows, key=lambda row: (-row.count, row.label))

    def interrupts(self) -> list[Interrupt]:
        """Return the facts about interrupts, by INTID."""
        together: dict[int, Interrupt] = {}
        for each in self.interrupts_by_vcpu():
            merged = together.setdefault(each.intid, _interrupt(each.intid, each.source))
            # Copy in one step: the guest's thread may continue counting.
            merged.actions.update(each.actions.copy())
            merged.pending.merge(each.pending)
            merged.active.merge(each.active)
        return [interrupt for _, interrupt in sorted(together.items())]

    def interrupts_by_vcpu(self) -> list[Interrupt]:
        """Return the facts about interrupts for each vCPU, by its number and INTID."""
        return [interrupt for _, interrupt in sorted(self._interrupts.items())]

    @property
    def vcpus(self) -> int:
        """The number of vCPUs with exits or interrupts."""
        exited = {key.vcpu for key in list(self._cells) if key.vcpu}
        interrupted = {f"cpu{vcpu}" for vcpu, _ in list(self._interrupts) if vcpu >= 0}
        return len(exited | interrupted)

    def ipis(self) -> Counter[str]:
        """Return the counts of all inter-processor interrupts (SGIs), by action."""
        counts: Counter[str] = Counter()
        for each in self.interrupts_by_vcpu():
            if 0 <= each.intid < FIRST_PPI:
                counts.update(each.actions.copy())
        return counts


def _interrupt(intid: int, source: str, vcpu: int | None = None) -> Interrupt:
    return Interrupt(intid, source, Counter(), Durations(), Durations(), vcpu)
