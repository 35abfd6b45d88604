"""Moments by their time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.debug.moments import goto_time, nanoseconds
from arm_vcpu_cli.debug.target import Position, Reason, Stop
from tests.support.fake_target import FakeTarget


class Leaping(FakeTarget):
    """Its time leaps now and then, as where all vCPUs wait."""

    def position(self) -> Position:
        done = self.now.executed
        return Position(done, 10 * done + 5000 * (done // 300))

    def goto(self, instructions: int) -> Stop:
        # Without their memory, which is what takes time here.
        self.now.executed = min(instructions, self.length or instructions)
        return Stop(Reason.ENDED if self.now.executed < instructions else Reason.STEP, 0)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("1s", 10**9),
        ("1.5s", 1_500_000_000),
        ("20ms", 20_000_000),
        ("0.25us", 250),
        ("7ns", 7),
        ("7.9ns", 7),
        ("7", None),
        ("s", None),
        ("-1s", None),
        ("1e3s", None),
    ],
)
def test_times(text: str, time: int | None) -> None:
    assert nanoseconds(text) == time


@given(st.integers(0, 40_000), st.integers(0, 1500))
def test_the_last_moment_that_is_not_later_is_found(wanted: int, begin: int) -> None:
    target = Leaping(length=None)
    target.now.executed = begin
    goto_time(target, wanted)
    at = target.position()
    target.goto(at.instructions + 1)
    assert at.nanoseconds <= wanted < target.position().nanoseconds


def test_a_time_shortly_before_the_end_is_not_the_end() -> None:
    target = Leaping(length=1000)
    goto_time(target, 3_000)
    assert target.position().instructions == 299


def test_a_time_after_the_end_is_the_end() -> None:
    target = Leaping(length=1000)
    assert goto_time(target, 10**9).reason is Reason.ENDED
