"""The times of several vCPUs in events: they never go back, and an effect has the time of its target."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.observe.vcpu_times import VcpuTimes
from arm_vcpu_cli.vm.cpu import Activity
from arm_vcpu_cli.vm.machine import Machine

RUNNING, WAITING, OFF = Activity.RUNNING, Activity.WAITING, Activity.OFF


@dataclass
class FakeCpu:
    index: int
    time: int
    activity: Activity = RUNNING


@dataclass
class FakeTime:
    follows_host: bool = False
    time: int = 0

    def now(self) -> int:
        return self.time


@dataclass
class FakeTurn:
    current: FakeCpu


@dataclass
class FakeMachine:
    """As much of a machine as has to do with time."""

    cpus: list[FakeCpu]
    timeline: FakeTime = field(default_factory=FakeTime)

    def __post_init__(self) -> None:
        self.scheduler = FakeTurn(self.cpus[0])
        self.timeline.time = self.cpus[0].time

    def turn(self, index: int, lasts: int = 0) -> None:
        """The turn of a CPU, that goes on for so long."""
        self.scheduler.current.time = self.timeline.time
        self.scheduler.current = self.cpus[index]
        self.timeline.time = self.cpus[index].time + lasts

    def times(self) -> VcpuTimes:
        return VcpuTimes(cast("Machine", self))


def test_who_has_the_turn_is_asked_on_the_clock_and_others_have_their_own() -> None:
    machine = FakeMachine([FakeCpu(0, 700), FakeCpu(1, 100), FakeCpu(2, 900)])
    times = machine.times()
    assert (times.now(), times.of(0), times.of(1), times.of(2)) == (700, 700, 100, 900)


def test_one_that_waits_or_is_off_is_woken_at_the_time_of_the_waker() -> None:
    machine = FakeMachine([FakeCpu(0, 700), FakeCpu(1, 100, WAITING), FakeCpu(2, 900, OFF)])
    times = machine.times()
    assert (times.of(1), times.of(2)) == (700, 900)


def test_one_that_is_woken_for_something_earlier_does_not_go_back() -> None:
    machine = FakeMachine([FakeCpu(0, 700), FakeCpu(1, 100, WAITING)])
    times = machine.times()
    assert times.of(1) == 700
    machine.cpus[1].activity = RUNNING
    machine.turn(1, 50)
    assert (machine.timeline.time, times.now(), times.of(1)) == (150, 700, 700)
    machine.timeline.time = 800
    assert times.now() == 800
    assert not times._ahead, "nothing is kept of what time has overtaken"


def test_one_that_waits_does_not_go_back_for_a_second_one_that_is_behind_the_first() -> None:
    machine = FakeMachine([FakeCpu(0, 700), FakeCpu(1, 100, WAITING), FakeCpu(2, 600)])
    times = machine.times()
    assert times.of(1) == 700
    machine.turn(2)
    assert (times.now(), times.of(1)) == (600, 700)


def test_the_clock_of_the_host_is_everybodys() -> None:
    machine = FakeMachine([FakeCpu(0, 700), FakeCpu(1, 100), FakeCpu(2, 900, WAITING)], FakeTime(follows_host=True))
    times = machine.times()
    machine.timeline.time = 1000
    assert [times.of(each) for each in range(3)] == [1000, 1000, 1000]


steps = st.lists(
    st.tuples(st.sampled_from(("turn", "told", "done to", "waits", "wakes")), st.integers(0, 2), st.integers(0, 50))
)


@given(steps)
def test_no_vcpu_ever_goes_back(script: list[tuple[str, int, int]]) -> None:
    machine = FakeMachine([FakeCpu(index, 0) for index in range(3)])
    times = machine.times()
    last = [0, 0, 0]
    for what, vcpu, amount in script:
        if what == "turn":
            machine.turn(vcpu, amount)
            machine.cpus[vcpu].activity = RUNNING
            continue
        if what == "waits" and vcpu != machine.scheduler.current.index:
            machine.cpus[vcpu].activity = WAITING
            continue
        if what == "wakes" and vcpu != machine.scheduler.current.index:
            # As the scheduler does with one that is signalled an interrupt.
            cpu = machine.cpus[vcpu]
            cpu.activity, cpu.time = RUNNING, max(cpu.time, machine.timeline.time)
            continue
        whose = machine.scheduler.current.index if what == "told" else vcpu
        time = times.now() if what == "told" else times.of(vcpu)
        assert time >= last[whose]
        last[whose] = time
