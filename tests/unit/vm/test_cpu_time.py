"""The timeline of several vCPUs that take turns: the current time, the end of a turn, the owner of an alarm."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.vm.timeline import NEVER, DeviceClock, HostClock, InstructionClock
from tests.support.budgeted_core import MAX_BUDGET, BudgetedCore


def executed(core: BudgetedCore, instructions: int) -> None:
    """The core executes so many instructions, whatever its budget."""
    core.set_budget(MAX_BUDGET)
    assert core.begin(instructions)


def test_the_time_of_a_vcpu_stands_still_while_another_has_its_turn() -> None:
    core = BudgetedCore()
    timeline = InstructionClock([core])
    executed(core, 1000)
    timeline.enter(1, core, 300)
    assert timeline.now() == 300
    executed(core, 50)
    assert timeline.now() == 350
    timeline.enter(0, core, 1000)
    assert timeline.now() == 1000
    executed(core, 1)
    assert timeline.now() == 1001


def test_the_counter_of_the_core_follows_the_vcpu_that_has_its_turn() -> None:
    core = BudgetedCore()
    timeline = InstructionClock([core])
    executed(core, 1000)
    timeline.enter(1, core, 300)
    assert core.elapsed() + core.counter_offset == 300


def test_a_vcpu_keeps_its_time_on_another_core() -> None:
    cores = BudgetedCore(), BudgetedCore()
    timeline = InstructionClock(cores)
    assert all(core.counting for core in cores)
    executed(cores[0], 700)
    executed(cores[1], 20)
    timeline.enter(0, cores[1], 700)
    assert timeline.now() == 700
    executed(cores[1], 5)
    assert timeline.now() == 705
    timeline.limit_turn(800)
    assert (cores[1].budget, timeline.ticks()) == (95, timeline.now() // 16)


def test_a_turn_ends_at_its_limit_or_at_an_earlier_alarm() -> None:
    core = BudgetedCore()
    timeline = InstructionClock([core])
    timeline.alarm(lambda: None).set_at(500)
    timeline.limit_turn(200)
    assert core.budget == 200
    timeline.limit_turn(900)
    assert core.budget == 500


def test_a_budget_that_is_used_up_has_reached_the_end_of_the_turn() -> None:
    """A block is not begun if it would go past it."""
    core = BudgetedCore()
    timeline = InstructionClock([core])
    timeline.limit_turn(200)
    core.begin(190)
    timeline.expire(budget_used=True)
    assert timeline.now() == 200


def test_entering_ends_the_limit_of_the_turn_before() -> None:
    core = BudgetedCore()
    timeline = InstructionClock([core])
    timeline.limit_turn(200)
    timeline.enter(0, core, 0)
    timeline.rearm()
    assert core.budget == MAX_BUDGET


def test_the_end_of_a_turn_is_no_interrupt_of_the_hosts_timer() -> None:
    timeline = InstructionClock([BudgetedCore()])
    timeline.alarm(lambda: None, cpu=0).set_at(500)
    assert not timeline.next_is_silent()
    timeline.limit_turn(499)
    assert timeline.next_is_silent()
    timeline.limit_turn(500)
    assert not timeline.next_is_silent()


def test_an_alarm_of_a_vcpu_is_due_by_its_own_time() -> None:
    core = BudgetedCore()
    timeline = InstructionClock([core])
    calls: list[str] = []
    DeviceClock(timeline, "cpu0", 0).alarm(lambda: calls.append("cpu0"), "timer").set_at(100)
    DeviceClock(timeline, "cpu1", 1).alarm(lambda: calls.append("cpu1"), "timer").set_at(50)
    assert core.budget == 100, "of another one it does not end the turn"
    executed(core, 80)
    timeline.expire()
    assert calls == []
    timeline.enter(1, core, 50)
    timeline.expire()
    assert calls == ["cpu1"]
    timeline.enter(0, core, 100)
    timeline.expire()
    assert calls == ["cpu1", "cpu0"]


def test_an_alarm_of_the_machine_is_due_as_soon_as_any_vcpu_gets_there() -> None:
    core = BudgetedCore()
    timeline = InstructionClock([core])
    calls: list[int] = []
    timeline.alarm(lambda: calls.append(timeline.now())).set_at(100)
    timeline.enter(1, core, 40)
    timeline.rearm()
    assert core.budget == 60
    timeline.skip_to(100)
    timeline.expire()
    assert calls == [100]


def test_what_is_due_when_is_known_by_vcpu_and_of_all() -> None:
    timeline = InstructionClock([BudgetedCore()])
    assert timeline.next_deadline() is None
    assert timeline.due(0) == timeline.due(7) == timeline.due(None) == NEVER
    timeline.alarm(lambda: None, cpu=1).set_at(70)
    timeline.alarm(lambda: None, cpu=1).set_at(60)
    timeline.alarm(lambda: None).set_at(80)
    assert (timeline.due(0), timeline.due(1), timeline.due(None)) == (NEVER, 60, 80)
    assert timeline.next_deadline() == 60


def test_alarms_have_names_that_tell_them_apart() -> None:
    timeline = InstructionClock([BudgetedCore()])
    cpu, device = DeviceClock(timeline, "cpu2", 2), DeviceClock(timeline, "rtc")
    made = [
        cpu.alarm(lambda: None, "virtual"),
        cpu.alarm(lambda: None, "physical"),
        device.alarm(lambda: None, "match"),
    ]
    made += [timeline.alarm(lambda: None, name="watch"), timeline.alarm(lambda: None)]
    assert [(alarm.name, alarm.cpu) for alarm in made] == [
        ("cpu2.virtual", 2),
        ("cpu2.physical", 2),
        ("rtc.match", None),
        ("watch", None),
        ("machine.4", None),
    ]
    with pytest.raises(ValueError, match=r"there is an alarm rtc\.match already"):
        device.alarm(lambda: None, "match")


def test_under_the_host_clock_all_vcpus_have_one_time_and_all_alarms_go_off() -> None:
    cores = BudgetedCore(), BudgetedCore()
    host = [1000]
    timeline = HostClock(cores, lambda: host[0])
    calls: list[str] = []
    for cpu in range(2):
        timeline.alarm(lambda cpu=cpu: calls.append(f"cpu{cpu}"), cpu=cpu).set_at(100 + cpu)  # type: ignore[misc]
    timeline.enter(1, cores[1], 5)
    assert timeline.now() == 0
    host[0] += 101
    timeline.expire()
    assert (timeline.now(), calls) == (101, ["cpu0", "cpu1"])
