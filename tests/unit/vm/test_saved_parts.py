"""The state of a machine's parts as plain data: another one that loads it continues like the first."""

from __future__ import annotations

from pathlib import Path
from random import SystemRandom
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arm_vcpu_cli.arm_vcpu.abort_decoder import Element, PendingAccess
from arm_vcpu_cli.arm_vcpu.access import PlainAccess
from arm_vcpu_cli.arm_vcpu.exception import Pending
from arm_vcpu_cli.arm_vcpu.vcpu_saving import load_pending, save_pending
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.saved import Saved
from arm_vcpu_cli.vm.cpu import Activity
from arm_vcpu_cli.vm.guest_input import GuestInput
from arm_vcpu_cli.vm.inputlog import InputLog
from arm_vcpu_cli.vm.random_numbers import RandomNumbers
from arm_vcpu_cli.vm.scheduler import Scheduler
from arm_vcpu_cli.vm.timeline import NEVER, HostClock, InstructionClock, Timeline
from arm_vcpu_cli.vm.watch.idle import IdleTime
from arm_vcpu_cli.vm.watch.panic import PanicWatch
from tests.support.budgeted_core import BudgetedCore
from tests.support.fake_cpu import FakeCpu, as_cpus

QUANTUM = 1000
BYTES = st.binary(max_size=20)


# Random numbers ----------------------------------------------------------------------------------------------------


@given(st.integers(0, 1 << 64), st.lists(st.integers(1, 300), max_size=20))
def test_random_numbers_go_on_at_a_position(seed: int, sizes: list[int]) -> None:
    first, second = RandomNumbers(f"{seed} trng"), RandomNumbers(1)
    for size in sizes:
        first.randbytes(size)
    state = first.save()
    assert state is not None
    second.load(Saved(state))
    assert second.randbytes(3000) == first.randbytes(3000)


def test_random_numbers_have_a_sequence_for_each_seed_and_those_of_the_host_have_none() -> None:
    assert RandomNumbers("1 a").randbytes(8) != RandomNumbers("1 b").randbytes(8)
    host = RandomNumbers(None)
    assert isinstance(host.source, SystemRandom)
    assert host.save() is None


@pytest.mark.parametrize("changes", [{"version": 2}, {"words": [1]}, {"place": 625}])
def test_a_position_that_is_none_is_refused(changes: dict[str, Any]) -> None:
    state = RandomNumbers(1).save()
    with pytest.raises(ValueError, match=r"random numbers of|state\."):
        RandomNumbers(1).load(Saved({**(state or {}), **changes}))


# Time and turns ----------------------------------------------------------------------------------------------------


class Board:
    """Four CPUs on a core that has counted something already, with an alarm each and one of the machine's."""

    def __init__(self, executed: int, seed: int | None) -> None:
        self.core = BudgetedCore()
        self.timeline = InstructionClock([self.core])
        self.core.begin(executed)
        self.scheduler = Scheduler(self.timeline, quantum=QUANTUM, seed=seed)
        self.cpus = [FakeCpu(index, self.core) for index in range(4)]
        self.log: list[object] = []
        self.alarms = [self.timeline.alarm(lambda n=n: self.called(n), name=f"a{n}", cpu=n) for n in range(4)]  # type: ignore[misc]
        self.alarms.append(self.timeline.alarm(lambda: self.called(None), name="machine"))
        self.scheduler.connect(as_cpus(self.cpus))
        self.scheduler.begin()

    def called(self, number: int | None) -> None:
        self.log.append((number, self.timeline.now()))
        if number is not None:
            self.scheduler.raised(number)

    def perform(self, step: tuple[str, int, int]) -> object:
        kind, number, value = step
        scheduler, current = self.scheduler, self.scheduler.current
        if kind == "execute" and current.activity is Activity.RUNNING and not scheduler.over:
            self.core.begin(min(value, self.core.budget))
            self.timeline.expire(budget_used=not self.core.budget)
            scheduler.look()
        elif kind == "wait" and current.activity is Activity.RUNNING:
            scheduler.wait()
        elif kind == "yield" and current.activity is Activity.RUNNING:
            scheduler.wait_for_others()
        elif kind == "raise":
            scheduler.raised(number)
        elif kind == "alarm":
            self.alarms[number].set_at(self.timeline.now() + value)
        elif kind == "choose" and scheduler.over:
            scheduler.choose()
        return self.seen()

    def seen(self) -> object:
        times = [(cpu.time, cpu.turns, cpu.activity) for cpu in self.cpus]
        over = self.scheduler.over
        # What is left of a turn that is over is nobody's.
        budget = None if over else self.core.budget
        return self.scheduler.current.index, over, self.timeline.now(), budget, times, self.log


STEPS = st.tuples(
    st.sampled_from(["execute", "execute", "wait", "yield", "raise", "alarm", "choose", "choose"]),
    st.integers(0, 3),
    st.integers(0, 5000),
)


@settings(max_examples=200, deadline=None)
@given(st.none() | st.integers(0, 5), st.integers(0, 9999), st.lists(STEPS, max_size=40), st.lists(STEPS, max_size=40))
def test_time_and_turns_go_on_on_a_core_that_has_counted_otherwise(
    seed: int | None, executed: int, before: list[tuple[str, int, int]], after: list[tuple[str, int, int]]
) -> None:
    first, second = Board(0, seed), Board(executed, seed)
    for step in before:
        first.perform(step)
    turns, time = first.scheduler.save(), first.timeline.save()
    for mine, other in zip(second.cpus, first.cpus, strict=True):
        mine.time, mine.turns, mine.activity, mine.seen = other.time, other.turns, other.activity, other.seen
        mine.origin = first.core.executed - second.core.executed
    second.log[:] = first.log
    second.scheduler.load(turns)
    second.timeline.load(time, [second.core] * 4)
    assert (second.scheduler.save(), second.timeline.save()) == (turns, time)
    assert second.seen() == first.seen()
    for step in after:
        assert second.perform(step) == first.perform(step)
    assert (second.scheduler.save(), second.timeline.save()) == (first.scheduler.save(), first.timeline.save())


def test_turns_of_another_kind_are_refused() -> None:
    with pytest.raises(ValueError, match=r"scheduler\.random is of a scheduler with another seed"):
        Board(0, None).scheduler.load(Board(0, 3).scheduler.save())
    with pytest.raises(ValueError, match=r"scheduler\.current is 7"):
        Board(0, None).scheduler.load({**Board(0, None).scheduler.save(), "current": 7})


def clock() -> tuple[Timeline, BudgetedCore]:
    core = BudgetedCore()
    return InstructionClock([core]), core


def test_an_alarm_that_is_not_there_yet_is_set_when_it_is_made() -> None:
    (first, _), (second, core) = clock(), clock()
    first.alarm(lambda: None, "hang").set_at(500)
    state = first.save()
    second.alarm(lambda: None, "other").set_at(3)
    second.load(state, [core])
    assert second.save() == state, "also while nobody has it"
    assert second.alarm(lambda: None, "hang").due == 500
    assert core.budget == 500
    assert second.save() == state


def test_an_alarm_is_replaced_by_one_that_takes_its_time_over() -> None:
    timeline, core = clock()
    timeline.alarm(lambda: None, "hang").set_at(500)
    replaced = timeline.alarm(lambda: None, "hang", again=True)
    assert (replaced.due, core.budget) == (500, 500)
    replaced.cancel()
    assert timeline.next_deadline() is None


def test_the_clock_of_the_host_goes_on_from_the_time_that_was_saved() -> None:
    now = 1000
    core = BudgetedCore()
    first, second = (HostClock([core], lambda: now) for _ in range(2))
    now = 1700
    state = first.save()
    assert state["now"] == 700
    now = 5_000_000
    second.load(state, [core])
    assert second.now() == 700
    assert second.counter_reads(1, physical=True).host_start == 5_000_000 - 700


# Input, output -----------------------------------------------------------------------------------------------------


def console() -> Console:
    return Console(-1, None)


def test_what_the_guest_has_printed_and_is_about_to_receive_is_kept() -> None:
    first, second = console(), console()
    for each in (first, second):
        each.replay()
    for byte in b"half a li":
        first.send(byte)
    first.feed(b"xyz")
    assert first.receive() == ord("x")
    second.load(first.save())
    assert second.save() == first.save()
    assert [second.receive() for _ in range(3)] == [*b"yz", None]
    first.feed(b"")
    second.load(first.save())
    assert not second.input_open


def replayed(log: InputLog | None) -> tuple[GuestInput, Timeline, BudgetedCore]:
    timeline, core = clock()
    made = GuestInput(console(), timeline, ())
    if log is not None:
        made.replay(log)
    return made, timeline, core


def test_a_recorded_run_goes_on_where_it_was() -> None:
    log = InputLog(Path("log"), {}, ((100, b"a"), (200, b"b"), (300, b"")), 400)
    first, timeline, core = replayed(log)
    core.begin(100)
    timeline.expire()
    assert first.save()["next"] == 1
    second, other, core = replayed(log)
    other.load(timeline.save(), [core])
    second.load(first.save())
    assert (second.save(), other.save()) == (first.save(), timeline.save())
    assert other.next_deadline() == 200
    alone, other, core = replayed(None)
    other.load(timeline.save(), [core])
    alone.load(first.save())
    assert other.next_deadline() is None, "nothing is repeated"
    short = InputLog(Path("log"), {}, (), None)
    with pytest.raises(ValueError, match=r"input\.next is 1, expected 0 to 0"):
        replayed(short)[0].load(first.save())


# Who watches -------------------------------------------------------------------------------------------------------


@given(st.lists(BYTES | st.just(b"\nKernel panic - not syncing: x\n"), max_size=8), st.lists(BYTES, max_size=4))
def test_who_looks_for_a_panic_goes_on(before: list[bytes], after: list[bytes]) -> None:
    first, second = PanicWatch(lambda: None), PanicWatch(lambda: None)
    for data in before:
        first.see(data)
    second.load(first.save())
    for data in (*after, b"\n---[ end Kernel panic - not syncing: x ]---\n"):
        first.see(data)
        second.see(data)
        assert second.save() == first.save()
    assert (second.text, second.over) == (first.text, first.over)


def test_idle_time_goes_on() -> None:
    first, second = IdleTime(), IdleTime()
    first.waited(5, 10_000_000_000, 3)
    second.load(first.save())
    assert second.seconds(11_000_000_000, 3) == first.seconds(11_000_000_000, 3) > 0


# What is left to do for an exit ------------------------------------------------------------------------------------

elements = st.builds(
    Element,
    ipa=st.integers(0, NEVER >> 10),
    size=st.sampled_from([1, 2, 4, 8]),
    register=st.integers(0, 31),
    at=st.sampled_from([0, 8]),
    vector=st.booleans(),
    sign_extend=st.booleans(),
    is_64bit=st.booleans(),
    address=st.integers(0, (1 << 64) - 1),
    lane=st.booleans(),
    copies=st.sampled_from([1, 8, 16]),
    swapped=st.booleans(),
)


@st.composite
def accesses(draw: st.DrawFn) -> PendingAccess:
    made = PendingAccess(
        tuple(draw(st.lists(elements, min_size=1, max_size=4))),
        draw(st.booleans()),
        draw(st.integers(0, 31)),
        draw(st.integers(-256, 256)),
    )
    made.index = draw(st.integers(0, len(made.elements) - 1))
    made.values = draw(st.lists(st.integers(0, 255), min_size=made.index, max_size=made.index)) if made.is_load else []
    return made


@given(accesses())
def test_an_access_that_is_under_way_is_kept(access: PendingAccess) -> None:
    found = load_pending(Saved(save_pending(access)))
    assert isinstance(found, PendingAccess)
    for name in PendingAccess.__slots__:
        assert getattr(found, name) == getattr(access, name)


@pytest.mark.parametrize(
    "pending",
    [*Pending, PlainAccess(4, False, 3, 207, 0xFFFF_FFFF, True, False), PlainAccess(8, True, 31, -1, 1, False, True)],
)
def test_what_is_left_to_do_is_kept(pending: Pending | PlainAccess) -> None:
    assert load_pending(Saved(save_pending(pending))) == pending
    with pytest.raises(ValueError, match=r"state\.kind is 'nonsense'"):
        load_pending(Saved({"kind": "nonsense"}))
