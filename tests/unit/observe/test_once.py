"""Events that a run repeats after going back are not reported again."""

from __future__ import annotations

from typing import cast

from arm_vcpu_cli.observe.once import Once
from arm_vcpu_cli.trace.event import TraceEvent


def test_each_event_is_told_once() -> None:
    told: list[object] = []
    once = Once(told.append)

    def events(*names: str) -> None:
        for name in names:
            once.event(cast(TraceEvent, name))

    events("a", "b", "c")
    once.number = 1
    events("b")
    assert told == ["a", "b", "c"]
    events("c", "d")
    assert told == ["a", "b", "c", "d"]
    once.number = once.told = 2
    events("other")
    assert told == ["a", "b", "c", "d", "other"]
