"""The machine's clock over a core that counts instructions: alarms, budgets, instruction time and host time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.devices.device_clock import COUNTER_HZ, NANOSECONDS_PER_TICK, Clock
from arm_vcpu_cli.devices.irq import unconnected
from arm_vcpu_cli.devices.timer import LAST_ALARM, GenericTimer
from arm_vcpu_cli.vm.timeline import HostClock, InstructionClock, Timeline
from tests.support.budgeted_core import MAX_BUDGET, BudgetedCore

SECOND = 1_000_000_000


class HostTime:
    """A monotonic clock of the host that a test moves."""

    def __init__(self, now: int = 123_456) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def instruction_clock() -> tuple[InstructionClock, BudgetedCore]:
    core = BudgetedCore()
    return InstructionClock([core]), core


def host_clock() -> tuple[HostClock, BudgetedCore, HostTime]:
    core, host = BudgetedCore(), HostTime()
    return HostClock([core], host), core, host


def run_to(clock: Timeline, core: BudgetedCore, block: int = 1, limit: int = 1 << 20) -> int:
    """Execute blocks until the budget ends, then expire; how many blocks it were."""
    blocks = 0
    while core.begin(block):
        blocks += 1
        assert blocks < limit
    clock.expire(budget_used=True)
    return blocks


class Calls:
    """Remembers when it was called."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self.times: list[int] = []

    def __call__(self) -> None:
        self.times.append(self._now())


# By instructions ---------------------------------------------------------------------------------------------------


def test_it_is_a_clock_of_devices() -> None:
    clock: Clock = instruction_clock()[0]
    assert clock.ticks() == 0


def test_it_has_the_core_count() -> None:
    assert instruction_clock()[1].counting


def test_an_instruction_takes_a_nanosecond() -> None:
    clock, core = instruction_clock()
    core.set_budget(MAX_BUDGET)
    core.begin(1000)
    assert clock.now() == 1000
    assert clock.ticks() == 1000 * COUNTER_HZ // SECOND


def test_a_silent_alarm_ends_a_budget_only_where_nothing_else_does() -> None:
    clock, _ = instruction_clock()
    silent = clock.alarm(lambda: None, silent=True)
    assert not clock.ends_by(silent)
    silent.set_at(1000)
    other = clock.alarm(lambda: None, name="other", silent=True)
    another = clock.alarm(lambda: None, name="another")
    of_another_cpu = clock.alarm(lambda: None, name="of another CPU", cpu=1)
    other.set_at(1000)
    another.set_at(1001)
    of_another_cpu.set_at(1)
    assert clock.ends_by(silent)
    another.set_at(1000)
    assert not clock.ends_by(silent)
    another.cancel()
    clock.limit_turn(1000)
    assert not clock.ends_by(silent)
    clock.limit_turn(1001)
    assert clock.ends_by(silent)
    other.set_at(999)
    assert not clock.ends_by(silent)


def test_a_tick_is_not_there_before_it_is_complete() -> None:
    clock, core = instruction_clock()
    core.set_budget(MAX_BUDGET)
    core.begin(NANOSECONDS_PER_TICK - 1)
    assert clock.ticks() == 0
    core.begin(1)
    assert clock.ticks() == 1


def test_an_alarm_goes_off_at_its_tick() -> None:
    clock, core = instruction_clock()
    called = Calls(clock.ticks)
    clock.alarm(called).set(100)
    assert run_to(clock, core) == 100 * NANOSECONDS_PER_TICK
    assert called.times == [100]


@given(st.integers(1, 50), st.integers(1, 5000))
def test_an_alarm_within_a_block_goes_off_before_it_and_on_time(block: int, due: int) -> None:
    clock, core = instruction_clock()
    called = Calls(clock.now)
    clock.alarm(called).set_at(due)
    run_to(clock, core, block)
    assert called.times == [due]
    assert core.executed <= due < core.executed + block


def test_an_alarm_goes_off_once() -> None:
    clock, core = instruction_clock()
    called = Calls(clock.now)
    clock.alarm(called).set(1)
    run_to(clock, core)
    assert core.budget == MAX_BUDGET
    clock.expire()
    assert len(called.times) == 1


def test_the_budget_ends_at_the_earliest_alarm() -> None:
    clock, core = instruction_clock()
    early, late = Calls(clock.now), Calls(clock.now)
    clock.alarm(late).set_at(500)
    clock.alarm(early).set_at(300)
    assert core.budget == 300
    run_to(clock, core)
    assert (early.times, late.times) == ([300], [])
    assert core.budget == 200
    run_to(clock, core)
    assert late.times == [500]


def test_alarms_of_the_same_time_all_go_off() -> None:
    clock, core = instruction_clock()
    calls = [Calls(clock.now) for _ in range(3)]
    for called in calls:
        clock.alarm(called).set_at(40)
    run_to(clock, core)
    assert [called.times for called in calls] == [[40]] * 3


def test_setting_an_alarm_again_replaces_its_time() -> None:
    clock, core = instruction_clock()
    called = Calls(clock.now)
    alarm = clock.alarm(called)
    alarm.set_at(100)
    alarm.set_at(700)
    assert core.budget == 700
    run_to(clock, core)
    assert called.times == [700]


def test_a_cancelled_alarm_does_not_go_off() -> None:
    clock, core = instruction_clock()
    called = Calls(clock.now)
    alarm = clock.alarm(called)
    alarm.cancel()
    alarm.set_at(100)
    alarm.cancel()
    assert core.budget == MAX_BUDGET
    assert clock.next_deadline() is None
    clock.skip_to(1000)
    clock.expire()
    assert called.times == []


def test_an_alarm_in_the_past_goes_off_at_the_next_opportunity() -> None:
    clock, core = instruction_clock()
    clock.skip_to(1000)
    called = Calls(clock.now)
    clock.alarm(called).set_at(3)
    assert called.times == [], "never from within set"
    assert core.budget == 0
    assert run_to(clock, core) == 0
    assert called.times == [1000]


def test_an_alarm_may_set_itself_again() -> None:
    clock, core = instruction_clock()
    times: list[int] = []

    def again() -> None:
        times.append(clock.now())
        alarm.set_at(clock.now() + 250)

    alarm = clock.alarm(again)
    alarm.set_at(250)
    for _ in range(4):
        run_to(clock, core)
    assert times == [250, 500, 750, 1000]


def test_an_alarm_that_sets_itself_into_the_past_does_not_hang_the_machine() -> None:
    clock, _core = instruction_clock()
    times: list[int] = []

    def again() -> None:
        times.append(clock.now())
        alarm.set_at(0)

    alarm = clock.alarm(again)
    alarm.set_at(0)
    clock.expire()
    clock.expire()
    assert len(times) == 2


def test_no_alarm_goes_off_before_it_is_due() -> None:
    clock, core = instruction_clock()
    called = Calls(clock.now)
    clock.alarm(called).set_at(100)
    core.begin(99)
    clock.expire()
    assert called.times == []
    assert core.budget == 1


def test_waiting_skips_to_a_time_and_never_back() -> None:
    clock, core = instruction_clock()
    clock.skip_to(5000)
    assert clock.now() == 5000
    clock.skip_to(4000)
    assert clock.now() == 5000
    core.set_budget(MAX_BUDGET)
    core.begin(10)
    assert clock.now() == 5010


def test_what_is_spent_passes_and_brings_the_alarm_nearer() -> None:
    clock, core = instruction_clock()
    called = Calls(clock.now)
    clock.alarm(called).set_at(1000)
    clock.spend(400)
    assert clock.now() == 400
    assert run_to(clock, core) == 600
    assert called.times == [1000]


def test_spending_past_an_alarm_sets_it_off_at_once_and_late() -> None:
    clock, core = instruction_clock()
    called = Calls(clock.now)
    clock.alarm(called).set_at(1000)
    clock.spend(2500)
    assert run_to(clock, core) == 0
    assert called.times == [2500]


def test_a_stop_for_another_reason_does_not_move_time() -> None:
    clock, core = instruction_clock()
    clock.alarm(lambda: None).set_at(1000)
    core.begin(300)
    clock.expire()
    assert clock.now() == 300


@pytest.mark.parametrize("tick", [1 << 58, 1 << 59, 1 << 60, (1 << 60) + 1, LAST_ALARM - 1])
def test_an_alarm_in_a_thousand_years_does_not_disturb_today(tick: int) -> None:
    """Longer than a budget can be: the core's is a signed number of 64 bits."""
    clock, core = instruction_clock()
    called = Calls(clock.now)
    clock.alarm(called).set(tick)
    assert 0 < core.budget <= MAX_BUDGET
    core.begin(100)
    assert clock.now() == 100
    clock.expire()
    assert (called.times, clock.now()) == ([], 100)
    assert clock.next_deadline() == tick * NANOSECONDS_PER_TICK
    clock.skip_to(tick * NANOSECONDS_PER_TICK)
    clock.expire()
    assert called.times == [tick * NANOSECONDS_PER_TICK], "it can be waited for"


@given(st.integers(0, (1 << 64) - 1), st.integers(0, 1 << 40))
def test_any_compare_value_of_a_timer_leaves_time_alone(compare: int, started: int) -> None:
    clock, core = instruction_clock()
    clock.skip_to(started)
    timer = GenericTimer(clock, virtual=unconnected, physical=unconnected)
    for reg, (_, write) in timer.handlers.items():
        if write is not None and "CVAL" in reg.name:
            write(compare)
        if write is not None and "CTL" in reg.name:
            write(1)
    assert clock.now() == started
    clock.expire(budget_used=not core.begin(1))
    assert clock.now() - started <= 1


def test_silent_alarms_are_told_from_those_of_devices() -> None:
    clock, _core = instruction_clock()
    assert not clock.next_is_silent()
    device, own = clock.alarm(lambda: None), clock.alarm(lambda: None, silent=True)
    own.set_at(100)
    assert clock.next_is_silent()
    device.set_at(100)
    assert not clock.next_is_silent(), "the guest has a part in it"
    device.set_at(101)
    assert clock.next_is_silent()
    own.set_at(102)
    assert not clock.next_is_silent()


# By the host -------------------------------------------------------------------------------------------------------


def test_the_host_clock_starts_at_zero_and_follows_the_host() -> None:
    clock, core, host = host_clock()
    assert clock.follows_host
    assert clock.now() == 0
    host.now += 3 * SECOND
    assert clock.now() == 3 * SECOND
    assert clock.ticks() == 3 * COUNTER_HZ
    core.set_budget(MAX_BUDGET)
    core.begin(1000)
    clock.skip_to(10 * SECOND)
    clock.spend(SECOND)
    assert clock.now() == 3 * SECOND


def test_the_host_clock_calls_what_is_due() -> None:
    clock, core, host = host_clock()
    called = Calls(clock.now)
    clock.alarm(called).set_at(1000)
    clock.expire(budget_used=True)
    assert called.times == [], "a budget that was used up means nothing"
    host.now += 999
    clock.expire()
    assert called.times == []
    host.now += 1
    clock.expire()
    assert called.times == [1000]
    assert core.budget == MAX_BUDGET


def test_the_host_clock_stops_the_core_early_and_again() -> None:
    """It learns how fast the guest executes, so that an alarm is a fraction of a millisecond late at most."""
    clock, core, host = host_clock()
    called = Calls(clock.now)
    for rate in (0.02, 0.5, 3.0):
        for _ in range(20):
            called.times.clear()
            due = clock.now() + 5_000_000
            alarm = clock.alarm(called)
            alarm.set_at(due)
            stops = 0
            while not called.times:
                given, core.budget = core.budget, 0
                assert given < MAX_BUDGET
                core.executed += given
                host.now += int(given / rate)
                clock.expire(budget_used=True)
                stops += 1
        assert 0 <= called.times[0] - due < 1_100_000
        assert stops < 100


def test_the_host_clock_looks_again_within_a_hundredth_of_a_second() -> None:
    clock, core, _host = host_clock()
    clock.alarm(lambda: None).set(LAST_ALARM - 1)
    assert core.budget < SECOND


def test_the_host_clock_gives_an_overdue_alarm_no_budget() -> None:
    clock, core, host = host_clock()
    alarm = clock.alarm(lambda: None)
    alarm.set_at(100)
    host.now += 200
    clock.rearm()
    assert core.budget == 0
    alarm.cancel()
    assert core.budget == MAX_BUDGET


def test_a_host_whose_clock_stands_still_is_no_fault() -> None:
    clock, core, _host = host_clock()
    clock.alarm(lambda: None).set_at(1000)
    for _ in range(10):
        core.executed += core.budget
        core.budget = 0
        clock.expire(budget_used=True)
        assert 0 < core.budget <= MAX_BUDGET
