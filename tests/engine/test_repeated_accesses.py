"""Accesses that repeat earlier ones are reported without records, but as if each had one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from arm_vcpu_cli.api import Machine
from arm_vcpu_cli.arm_vcpu.observer import ExitRecord
from arm_vcpu_cli.board.loading import machine_from_document
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.observe.attaching import attach_tracer
from arm_vcpu_cli.observe.counting import ExitCounter, attach_counter
from arm_vcpu_cli.observe.tracing import Tracer
from arm_vcpu_cli.observe.tracing_options import TraceOptions
from arm_vcpu_cli.trace.event import EXCEPTION, EXIT, TraceEvent
from arm_vcpu_cli.trace.selection import Selection
from arm_vcpu_cli.vm.endings import RunResult
from tests.support.sink import Sink

from .harness import GUARD_SECONDS, GUESTS

START = 0x4001_0050
"""An instruction inside the loop."""
PAGES_BASE = 0x0A10_0000
PAGES = {"type": "ram", "base": PAGES_BASE, "size": 0x2000}
ABORT = {"kind": "external-abort", "at": {"access": "pages", "direction": "write", "count": 20}}
WITHOUT_EXCEPTIONS = Selection(types=frozenset({EXIT, "entry", "irq", "state", "console"}))
SELECTIONS = {
    "all": TraceOptions(),
    "no exceptions": TraceOptions(selection=WITHOUT_EXCEPTIONS),
    "last": TraceOptions(last=40),
    "first": TraceOptions(first=50),
    "window": TraceOptions(start_at=(START,)),
}


def opened(**more: Any) -> Machine:
    description = machine_from_document({"device": {"pages": PAGES}, "fault": [ABORT], **more})
    return Machine.open(load_guest(GUESTS / "repeats.elf", ram_base=description.ram.base), description)


def traced(options: TraceOptions, **more: Any) -> tuple[list[TraceEvent], dict[str, int]]:
    sink = Sink()
    with opened(**more) as machine:
        tracer = attach_tracer(machine.parts, sink, options)
        result = machine.run(timeout=GUARD_SECONDS)
        tracer.end(RunResult(result.ending, result.status, result.message, result.exits, 0.0))
        tracer.close()
    return sink.events, sink.counts


def each_with_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (Tracer, ExitCounter):
        monkeypatch.setattr(kind, "wants_repeats", False)


@pytest.mark.parametrize("options", SELECTIONS.values(), ids=SELECTIONS)
@pytest.mark.parametrize("limit", [0, 57, 58])
def test_a_trace_is_the_same(monkeypatch: pytest.MonkeyPatch, options: TraceOptions, limit: int) -> None:
    more = {"limits": {"max_exits": limit}} if limit else {}
    short = traced(options, **more)
    each_with_a_record(monkeypatch)
    assert short == traced(options, **more)
    assert short[0]


def test_repeats_are_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[object] = []
    report = Tracer.exit

    def reported_too(self: Tracer, record: ExitRecord) -> None:
        reported.append(record)
        report(self, record)

    monkeypatch.setattr(Tracer, "exit", reported_too)
    events, counts = traced(TraceOptions(selection=WITHOUT_EXCEPTIONS))
    exits = [event for event in events if event.type == EXIT]
    assert sum(counts.values()) == len(exits) > 100
    # Those of the first round, of instructions that say more than a syndrome, and what did not go as before.
    assert len(reported) < len(exits) - 50


def test_the_abort_and_the_unaligned_accesses_are_in_it() -> None:
    events, _ = traced(TraceOptions())
    notes = Counter(event.note for event in events if event.note)
    assert notes == {"external abort into the guest": 1, "alignment fault into the guest": 6}
    assert sum(event.type == EXCEPTION for event in events) == 7
    stores = [dict(event.fields)["ipa"] for event in events if event.type == EXIT and event.name == "MmioWrite"]
    assert stores.count(PAGES_BASE + 0x1000) == 3
    faults = [dict(event.fields)["ipa"] for event in events if event.name == "NestedPageFault"]
    assert faults == [PAGES_BASE + 0xFFE] * 6


@pytest.mark.parametrize("callers", [False, True])
@pytest.mark.parametrize("exceptions", [False, True])
def test_counts_are_the_same(monkeypatch: pytest.MonkeyPatch, callers: bool, exceptions: bool) -> None:
    def counted() -> dict[Any, int]:
        with opened() as machine:
            counter = attach_counter(machine.parts, callers=callers, exceptions=exceptions)
            machine.run(timeout=GUARD_SECONDS)
        return {key: cell.count for key, cell in counter.statistics._cells.items()}

    short = counted()
    each_with_a_record(monkeypatch)
    assert short == counted()
    assert sum(short.values()) > 100
