"""The scheduler: the order and length of turns, and the effect of one vCPU on another's time."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.vm.cpu import Activity
from arm_vcpu_cli.vm.scheduler import Scheduler
from arm_vcpu_cli.vm.timeline import HostClock, InstructionClock
from tests.support.budgeted_core import MAX_BUDGET, BudgetedCore
from tests.support.fake_cpu import FakeCpu, as_cpus

QUANTUM = 1000


class Board:
    """CPUs on one core, under the instruction clock, all running unless ``waiting`` or ``off`` has them."""

    def __init__(
        self,
        count: int,
        *,
        seed: int | None = None,
        waiting: tuple[int, ...] = (),
        off: tuple[int, ...] = (),
        cores: int = 1,
    ) -> None:
        self.cores = [BudgetedCore() for _ in range(cores)]
        self.core = self.cores[0]
        self.timeline = InstructionClock(self.cores)
        self.scheduler = Scheduler(self.timeline, quantum=QUANTUM, seed=seed)
        self.cpus = [FakeCpu(index, self.cores[index % cores]) for index in range(count)]
        for cpu in self.cpus:
            if cpu.index in waiting or cpu.index in off:
                cpu.activity = Activity.OFF if cpu.index in off else Activity.WAITING
        self.scheduler.connect(as_cpus(self.cpus))
        self.scheduler.begin()

    @property
    def budget(self) -> int:
        return self.cores[self.scheduler.current.index % len(self.cores)].budget

    def execute(self, instructions: int) -> None:
        """The current CPU executes so many."""
        core = self.cores[self.scheduler.current.index % len(self.cores)]
        assert core.begin(instructions), "that is more than its turn"

    def choose(self) -> int | None:
        chosen = self.scheduler.choose()
        return None if chosen is None else chosen.index

    def turn(self) -> tuple[int | None, int]:
        """The next turn, to its end: whose it is, and its length."""
        index, length = self.choose(), self.budget
        self.execute(length)
        self.timeline.expire(budget_used=True)
        self.scheduler.look()
        assert self.scheduler.over
        return index, length


def test_who_is_furthest_behind_is_next_and_the_first_of_several() -> None:
    board = Board(3)
    board.execute(500)
    assert board.choose() == 1
    board.execute(200)
    assert board.choose() == 2
    board.execute(300)
    assert board.choose() == 1
    assert [cpu.time for cpu in board.cpus] == [500, 200, 300]
    assert board.cpus[1].entered == board.cpus[1].turns == 2


def test_nobody_gets_ahead_of_the_others_by_more_than_the_quantum() -> None:
    board = Board(3)
    board.execute(100)
    assert board.choose() == 1
    assert board.budget == QUANTUM
    board.execute(QUANTUM // 2)
    assert board.choose() == 2
    assert board.budget == 100 + QUANTUM


def test_a_turn_that_is_used_up_doubles_the_quantum_and_up_to_a_bound() -> None:
    board = Board(2)
    board.choose()
    lengths = [board.turn()[1] for _ in range(40)]
    assert lengths[:3] == [QUANTUM, 3 * QUANTUM, 6 * QUANTUM]
    # From then on they overtake each other: both have what they are behind, and the quantum.
    assert lengths[-1] == 2 * 64 * QUANTUM


def test_a_turn_that_ends_early_does_not_make_the_quantum_longer() -> None:
    board = Board(2)
    board.choose()
    for _ in range(10):
        board.execute(10)
        board.choose()
    assert board.budget <= QUANTUM + 100


def test_what_one_does_to_another_makes_the_quantum_short_and_its_own_turn_too() -> None:
    board = Board(2)
    board.choose()
    for _ in range(20):
        board.turn()
    board.choose()
    assert board.budget > 10 * QUANTUM
    current, other = board.scheduler.current.index, 1 - board.scheduler.current.index
    ahead = board.cpus[other].time - board.cpus[current].time
    board.scheduler.raised(other)
    assert board.budget == ahead + QUANTUM
    board.execute(board.budget)
    assert board.choose() == other
    assert board.budget == 3 * QUANTUM, "what it is behind, and a quantum that begins to grow again"


def test_an_interrupt_to_oneself_shortens_nothing() -> None:
    board = Board(2)
    board.choose()
    for _ in range(20):
        board.turn()
    board.choose()
    before = board.budget
    assert before > 10 * QUANTUM
    board.scheduler.raised(board.scheduler.current.index)
    assert board.budget == before


def test_a_turn_is_not_over_before_its_end() -> None:
    board = Board(2)
    board.choose()
    board.execute(10)
    board.scheduler.look()
    assert not board.scheduler.over


def test_the_first_turn_is_on_the_core_that_the_first_is_bound_to() -> None:
    cores = [BudgetedCore(), BudgetedCore()]
    timeline = InstructionClock(cores)
    scheduler = Scheduler(timeline)
    scheduler.connect(as_cpus([FakeCpu(0, cores[1])]))
    timeline.alarm(lambda: None).set_at(500)
    scheduler.begin()
    assert cores[1].budget == 500
    assert cores[1].begin(20)
    assert timeline.now() == 20


def test_alone_it_executes_without_end() -> None:
    board = Board(3, off=(1, 2))
    assert board.choose() == 0
    assert board.budget == MAX_BUDGET


# Waiting -----------------------------------------------------------------------------------------------------------


def test_one_that_waits_has_no_turns() -> None:
    board = Board(2)
    board.execute(100)
    board.scheduler.wait()
    assert board.scheduler.over
    for _ in range(3):
        assert board.choose() == 1
        board.execute(500)


def test_one_that_is_woken_goes_on_at_the_time_of_who_wakes_it() -> None:
    board = Board(2, waiting=(1,))
    board.choose()
    board.execute(700)
    board.scheduler.raised(1)
    assert board.cpus[1].activity is Activity.RUNNING
    assert board.cpus[1].time == 700
    board.execute(50)
    assert board.choose() == 1
    assert board.timeline.now() == 700


def test_one_that_is_woken_by_who_is_behind_does_not_go_back_in_time() -> None:
    board = Board(2, waiting=(1,))
    board.cpus[1].time = 5000
    board.choose()
    board.execute(700)
    board.scheduler.raised(1)
    assert board.cpus[1].time == 5000


def test_the_timer_of_one_that_waits_goes_off_at_its_time() -> None:
    board = Board(2, waiting=(1,))
    woken: list[int] = []

    def wake() -> None:
        woken.append(board.timeline.now())
        board.scheduler.raised(1)

    board.timeline.alarm(wake, cpu=1).set_at(400)
    board.choose()
    assert board.budget == 400 + QUANTUM
    board.execute(board.budget)
    assert board.choose() == 1
    assert woken == [400]
    assert board.timeline.now() == 400


def test_if_all_wait_nobody_is_next_until_time_has_come_for_one() -> None:
    board = Board(2, waiting=(1,))
    board.timeline.alarm(lambda: board.scheduler.raised(1), cpu=1).set_at(9000)
    board.execute(100)
    board.scheduler.wait()
    assert board.choose() is None
    assert board.scheduler.over
    board.scheduler.wake_at(9000)
    assert board.choose() == 1
    assert board.timeline.now() == 9000


def test_one_that_is_woken_while_all_wait_begins_at_that_time() -> None:
    """It was the last to have a turn, so that nothing else brings its time forward."""
    board = Board(1)
    board.execute(100)
    board.scheduler.wait()
    assert board.choose() is None
    board.timeline.skip_to(7000)
    board.scheduler.raised(0)
    assert board.choose() == 0
    assert board.timeline.now() == 7000


# On and off --------------------------------------------------------------------------------------------------------


def test_one_that_is_switched_on_begins_now() -> None:
    board = Board(2, off=(1,))
    board.choose()
    board.execute(300)
    board.scheduler.switch_on(as_cpus(board.cpus)[1])
    assert board.cpus[1].time == 300
    assert board.budget == QUANTUM, "it is to begin soon"
    board.execute(board.budget)
    assert board.choose() == 1
    assert board.timeline.now() == 300


def test_one_that_is_switched_off_has_no_turns_and_no_interrupts() -> None:
    board = Board(2)
    board.scheduler.switch_off()
    assert board.scheduler.over
    assert board.cpus[0].activity is Activity.OFF
    assert board.choose() == 1
    board.scheduler.raised(0)
    assert board.cpus[0].activity is Activity.OFF
    assert board.choose() == 1


def test_another_core_may_have_written_what_this_one_has_cached() -> None:
    board = Board(2, cores=2)
    for core in board.cores:
        core.log.clear()
    assert board.choose() == 0
    assert not {"flush_tlb", "flush_code"} & set(board.core.log), "nobody else has executed"
    board.execute(10)
    assert board.choose() == 1
    assert {"flush_tlb", "flush_code"} <= set(board.cores[1].log)
    assert not {"flush_tlb", "flush_code"} & set(board.core.log)


# By chance ---------------------------------------------------------------------------------------------------------


def turns(seed: int | None) -> list[tuple[int | None, int]]:
    board = Board(3, seed=seed)
    return [board.turn() for _ in range(60)]


def test_a_seed_makes_runs_differ_and_repeat() -> None:
    assert turns(None) == turns(None)
    assert turns(1) == turns(1)
    assert turns(1) != turns(2)
    assert turns(1) != turns(None)


@pytest.mark.parametrize("seed", range(5))
def test_by_chance_nobody_is_left_behind_by_more_than_two_quanta(seed: int) -> None:
    board = Board(3, seed=seed)
    for _ in range(200):
        board.turn()
        times = [cpu.time for cpu in board.cpus if cpu.index != board.scheduler.current.index] + [board.timeline.now()]
        assert max(times) - min(times) <= 2 * QUANTUM
    assert min(cpu.turns for cpu in board.cpus) > 30


# By the host -------------------------------------------------------------------------------------------------------


def test_under_the_hosts_clock_they_take_turns_of_a_millisecond() -> None:
    host = [0]
    core = BudgetedCore()
    timeline = HostClock([core], lambda: host[0])
    scheduler = Scheduler(timeline)
    cpus = [FakeCpu(index, core) for index in range(3)]
    cpus[2].activity = Activity.WAITING
    scheduler.connect(as_cpus(cpus))
    scheduler.begin()
    order: list[int] = []
    for _ in range(6):
        chosen = scheduler.choose()
        assert chosen is not None
        order.append(chosen.index)
        host[0] += 999_999
        scheduler.look()
        assert not scheduler.over
        host[0] += 1
        scheduler.look()
        assert scheduler.over
    assert order == [0, 1, 0, 1, 0, 1]
    scheduler.raised(2)
    following = scheduler.choose()
    assert following is not None
    assert following.index == 2


def test_under_the_hosts_clock_a_waker_gives_way_at_once() -> None:
    host = [0]
    core = BudgetedCore()
    scheduler = Scheduler(HostClock([core], lambda: host[0]))
    cpus = [FakeCpu(0, core), FakeCpu(1, core, Activity.WAITING)]
    scheduler.connect(as_cpus(cpus))
    scheduler.begin()
    scheduler.choose()
    host[0] += 5
    scheduler.raised(1)
    assert core.budget == 0
    scheduler.look()
    assert scheduler.over
