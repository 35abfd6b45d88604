"""An access like an earlier one is counted without a record, with the same results."""

from __future__ import annotations

from pathlib import Path

import pytest

from arm_vcpu_cli.api import Machine
from arm_vcpu_cli.arm_vcpu.observer import ExitRecord, SilentObserver
from arm_vcpu_cli.observe.counting import ExitCounter, attach_counter
from arm_vcpu_cli.trace.exitkey import EXIT_DIMENSIONS
from arm_vcpu_cli.trace.statistics import Statistics

EXITS = Path(__file__).resolve().parents[2] / "samples" / "exits"


class Records(SilentObserver):
    """Keeps how many exits it was told of; beside another observer it makes both get a record of each."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def exit(self, record: ExitRecord) -> None:
        self.reasons.append(type(record.reason).__name__)


def figures(statistics: Statistics) -> dict[str, list[tuple[str, int, int]]]:
    """Labels, counts and how many were timed, of each table."""
    return {
        dimension: [(row.label, row.count, row.durations.count) for row in statistics.by(dimension)]
        for dimension in EXIT_DIMENSIONS
    }


def counted(guest: Path, *, limit: int = 0, recorded: bool) -> tuple[ExitCounter, int]:
    """Run a guest; ``recorded``: with a record of each exit. The counter and the number of exits."""
    machine = {"limits": {"max_exits": limit}} if limit else None
    with Machine.open(guest, machine) as opened:
        counter = attach_counter(opened.parts)
        if recorded:
            opened.observe(Records())
        result = opened.run()
    return counter, result.exits


@pytest.mark.parametrize("limit", [0, *range(30, 48)])
def test_what_is_only_counted_has_the_figures_of_what_is_recorded(limit: int) -> None:
    guest = EXITS / "exits.elf"
    alone, exits = counted(guest, limit=limit, recorded=False)
    beside, expected = counted(guest, limit=limit, recorded=True)
    assert exits == expected
    assert alone.statistics.exits == exits
    assert figures(alone.statistics) == figures(beside.statistics)
    assert alone.statistics.last == beside.statistics.last


def test_most_accesses_to_a_device_get_no_record() -> None:
    """The guest prints by one instruction: only the first of its accesses is told."""
    told = 0

    class Counter(ExitCounter):
        def exit(self, record: ExitRecord) -> None:
            nonlocal told
            told += 1
            super().exit(record)

    with Machine.open(EXITS.parent / "hello" / "hello.elf") as opened:
        parts = opened.parts
        counter = Counter(parts.image.symbols, parts.bus, parts.timeline.now)
        opened.observe(counter)
        result = opened.run()
    assert result.console.count(b"\n") >= 1
    assert counter.statistics.exits == result.exits > 2 * told
