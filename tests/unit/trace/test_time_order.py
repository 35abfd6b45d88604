"""Events of several vCPUs sorted by time."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.trace import time_order
from arm_vcpu_cli.trace.event import TraceEvent
from arm_vcpu_cli.trace.time_order import TimeOrder
from tests.support.sink import Sink

from .traces import END

WINDOW = 1000


def told(events: list[TraceEvent], window: int = WINDOW) -> list[TraceEvent]:
    sink = Sink()
    ordered = TimeOrder(sink, window)
    for each in events:
        ordered.event(each)
    ordered.end(END)
    ordered.summary({"Halt": 1}, 1)
    assert (sink.ends, sink.counts, sink.total) == ([END], {"Halt": 1}, 1)
    return sink.events


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, WINDOW))))
def test_vcpus_that_are_not_too_far_apart_are_in_order_and_nothing_is_lost(turns: list[tuple[int, int]]) -> None:
    clocks, events = [0, 0, 0, 0], []
    for number, (vcpu, step) in enumerate(turns):
        # Nobody gets further ahead of the last one than the window.
        clocks[vcpu] = min(clocks[vcpu] + step, min(clocks) + WINDOW)
        events.append(TraceEvent("exit", number, vcpu, clocks[vcpu], "Halt"))
    found = told(events)
    assert sorted(found, key=lambda each: each.seq) == events
    assert all(before.time <= after.time for before, after in pairwise(found))
    for vcpu in range(4):
        own = [each.seq for each in found if each.vcpu == vcpu]
        assert own == sorted(own), "a vCPU's events stay as they came, those of the same time too"


def test_an_event_is_told_as_soon_as_all_are_beyond_it() -> None:
    sink = Sink()
    ordered = TimeOrder(sink, WINDOW)
    for time in (5, 0, 1004, 1005, 1006):
        ordered.event(TraceEvent("exit", 1, 0, time, "Halt"))
    assert [each.time for each in sink.events] == [0, 5]


def test_not_more_is_kept_than_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_order, "MAX_KEPT", 10)
    sink = Sink()
    ordered = TimeOrder(sink, 1 << 60)
    for time in range(100):
        ordered.event(TraceEvent("exit", 1, 0, time, "Halt"))
    assert [each.time for each in sink.events] == list(range(90))
