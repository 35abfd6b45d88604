"""Several CPUs without progress, on a core that executes small programs: what is tried, proved and left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from arm_vcpu_cli.arch.registers.el1regs import EL1H_MASKED, Spsr
from arm_vcpu_cli.arm_vcpu.rehearsal import Rehearsal
from arm_vcpu_cli.engine.port import StopReason
from arm_vcpu_cli.errors import EngineError
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.vm.cpu import Activity
from arm_vcpu_cli.vm.endings import Ending
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.power import Start
from arm_vcpu_cli.vm.runner import run_machine
from arm_vcpu_cli.vm.standing import Doing, Standing, cpu_names, culprit_first, survey, why_nobody_gets_on
from arm_vcpu_cli.vm.watch import hang
from arm_vcpu_cli.vm.watch.hang import are_left_alone
from arm_vcpu_cli.vm.watch.loops import Loop, Read, find_loops
from tests.support.fake_core import LAYOUT, FakeCore, data_abort, write_pstate
from tests.support.fake_machine import ENTRY, description, fake_machine

NOP, BRANCH, STORE, LOAD, LOAD_X1, WFE = 0xD503201F, 0x14000000, 0xF9000020, 0xF9400020, 0xF9400021, 0xD503205F
LOAD_EXCLUSIVE, BRANCH_IF_NOT, STORE_EXCLUSIVE, ADD = 0xC85FFC20, 0xB5000000, 0xC8007C20, 0x91000400
LOCK = 0x4010_0000
UNMASKED = int(Spsr(EL1H_MASKED).replace(I=0, F=0))
PROGRAMS = [ENTRY + 0x1000 * number for number in range(4)]
"""Where the program of each CPU begins."""


class ProgramCore(FakeCore):
    """Executes blocks that each end with the branch back to their beginning; a store in one is seen in ``stores``.

    ``leaves`` are addresses of blocks that take an exception, ``works`` is what a block does beside.
    """

    def __init__(self) -> None:
        super().__init__()
        self.blocks: dict[int, list[int]] = {}
        self.next: dict[int, int] = {}
        self.leaves: set[int] = set()
        self.fails: set[int] = set()
        self.works: dict[int, Callable[[], None]] = {}
        self.entered: list[int] = []
        self.reasons: list[StopReason] = []

    def load(self, at: int, code: Sequence[int], then: int | None = None) -> None:
        self.blocks[at] = list(code)
        self.next[at] = at if then is None else then
        for number, word in enumerate(code):
            self.instructions[at + 4 * number] = word

    def run(self, pc: int) -> StopReason:
        self._running = True
        u64 = self._view.u64
        u64[LAYOUT.pc // 8] = pc
        while True:
            at = u64[LAYOUT.pc // 8]
            size = len(self.blocks[at])
            if self.budget < size:
                return StopReason.BUDGET
            self.entered.append(at)
            if at in self.fails:
                raise EngineError("no more")
            self.budget -= size
            self.executed += size
            if at in self.leaves:
                self._raise(data_abort(0x900_0000, is_write=False))
                if not self._running:
                    return StopReason.STOP
            if at in self.works:
                self.works[at]()
            u64[LAYOUT.pc // 8] = self.next[at]
            if self.reasons:
                return self.reasons.pop(0)

    def add_to(self, number: int) -> Callable[[], None]:
        def work() -> None:
            self._view.u64[LAYOUT.x0 // 8 + number] += 1

        return work


@contextmanager
def board(count: int = 2, *, spinning: int | None = None) -> Iterator[tuple[Machine, ProgramCore]]:
    """A machine of several CPUs that are all on, each at its own program: the branch to itself."""
    core = ProgramCore()
    with fake_machine(description(cpus=count), [core]) as (made, _):
        made.start()
        for cpu, at in zip(made.cpus, PROGRAMS, strict=False):
            core.load(at, [BRANCH])
            write_pstate(cpu.arch.state, EL1H_MASKED)
            cpu.arch.state.u64[LAYOUT.pc // 8] = at
            cpu.arch.state.u64[LAYOUT.x0 // 8 + 1] = LOCK
            if spinning is None or cpu.index < spinning:
                cpu.activity = Activity.RUNNING
                if cpu.index:
                    made.power.cpu_on(cpu.affinity, ENTRY, 0)
                    made.power.take_start(cpu.affinity)
        made.current.arch.synchronise()
        yield made, core


# What is tried out ---------------------------------------------------------------------------------------------


def test_a_loop_is_where_it_begins_and_what_it_reads_exclusively() -> None:
    with board() as (made, core):
        begin = PROGRAMS[1]
        core.load(begin, [WFE, LOAD, LOAD_EXCLUSIVE, BRANCH_IF_NOT], begin + 16)
        core.load(begin + 16, [NOP, BRANCH], begin)
        found = find_loops(made, made.cpus)
        assert found == {0: Loop(PROGRAMS[0]), 1: Loop(begin, Read(LOCK, begin + 8))}


def test_what_is_read_last_is_what_a_loop_watches() -> None:
    with board() as (made, core):
        core.load(PROGRAMS[1], [LOAD, LOAD, BRANCH_IF_NOT])
        assert find_loops(made, made.cpus)[1].watched == Read(LOCK, PROGRAMS[1] + 4)


def test_an_address_that_the_loop_has_loaded_itself_is_not_guessed() -> None:
    with board() as (made, core):
        core.load(PROGRAMS[1], [LOAD_X1, LOAD, BRANCH_IF_NOT])
        watched = find_loops(made, made.cpus)[1].watched
        assert watched == Read(LOCK, PROGRAMS[1])


@pytest.mark.parametrize("word", [STORE, STORE_EXCLUSIVE, 0xD503207E, 0xD53BE040])
def test_what_does_more_than_read_is_not_even_executed(word: int) -> None:
    with board() as (made, core):
        core.load(PROGRAMS[1], [NOP, word, BRANCH])
        assert find_loops(made, made.cpus) == {0: Loop(PROGRAMS[0])}
        assert PROGRAMS[1] not in core.entered


def test_a_loop_that_counts_is_given_up() -> None:
    with board() as (made, core):
        core.load(PROGRAMS[1], [ADD, BRANCH])
        core.works[PROGRAMS[1]] = core.add_to(0)
        before = made.cpus[1].arch.ctx.gpr(0)
        assert 1 not in find_loops(made, made.cpus)
        assert made.cpus[1].arch.ctx.gpr(0) == before


@pytest.mark.parametrize("kind", ["leaves", "fails"])
def test_a_load_that_reaches_a_device_is_none_and_the_device_hears_nothing(kind: str) -> None:
    with board() as (made, core):
        getattr(core, kind).add(PROGRAMS[1])
        before = made.exits
        assert 1 not in find_loops(made, made.cpus)
        assert made.exits == before


def test_after_one_that_does_something_no_other_is_asked() -> None:
    with board(3) as (made, core):
        core.load(PROGRAMS[0], [STORE, BRANCH])
        assert find_loops(made, made.cpus, all_or_none=True) == {}
        assert core.entered == []


def test_a_stop_that_somebody_wants_meanwhile_comes_afterwards() -> None:
    with board() as (made, core):
        core.reasons = [StopReason.REQUEST]
        assert 0 not in find_loops(made, made.cpus)
        assert core.requests == 1


def test_a_wait_for_an_event_goes_on_at_once() -> None:
    with board() as (made, core):
        core.load(PROGRAMS[0], [WFE, BRANCH])
        core.reasons = [StopReason.WAIT]
        assert find_loops(made, made.cpus)[0].place == PROGRAMS[0]


@pytest.mark.parametrize("asked", [(0,), (2, 0), (1, 2)])
def test_nothing_has_happened(asked: tuple[int, ...]) -> None:
    with board(3) as (made, core):
        for cpu in reversed(made.cpus):
            cpu.arch.synchronise()
        made.current.arch.state.u64[LAYOUT.exclusive // 8] = LOCK
        made.timeline.skip_to(1000)
        states = [cpu.arch.state.u64.tobytes() for cpu in made.cpus]
        made.timeline.alarm(lambda: None, cpu=0).set_at(5000)
        hook = core.hook
        find_loops(made, [made.cpus[number] for number in asked])
        assert [cpu.arch.state.u64.tobytes() for cpu in made.cpus] == states
        assert (made.timeline.now(), core.hook) == (1000, hook)
        assert core.budget == 4000
        assert made.current is made.cpus[0]
        residency = made.current.arch.residency
        assert residency is not None
        assert residency.here
        assert core.log.count("hush True") == core.log.count("hush False") == len({0, *asked})
        assert bytes(core.live) == states[0]


def test_one_that_waits_is_put_back_onto_its_core() -> None:
    with board() as (made, core):
        made.cpus[0].activity = Activity.WAITING
        hook = core.hook
        assert list(find_loops(made, made.cpus[1:])) == [1]
        assert core.hook == hook
        assert core.pc == PROGRAMS[0]


def test_too_much_is_no_whole_number_of_blocks() -> None:
    with board() as (made, core):
        core.load(PROGRAMS[0], [NOP, NOP, BRANCH])
        with made.scheduler.aside(), Rehearsal(made.current.arch, core) as rehearsal:
            assert rehearsal.execute(6)
            assert not rehearsal.execute(2)


# What is proved ------------------------------------------------------------------------------------------------


def test_who_is_masked_is_reached_by_nothing() -> None:
    with board() as (made, _):
        assert are_left_alone(made)
        made.cpus[1].arch.set_interrupt_lines(irq=True, fiq=False)
        assert are_left_alone(made)
        made.cpus[1].activity = Activity.WAITING
        assert not are_left_alone(made)


def test_who_waits_may_be_woken_by_its_own_alarm_and_those_of_devices_only() -> None:
    with board() as (made, _):
        made.cpus[1].activity = Activity.WAITING
        alarm = made.timeline.alarm(lambda: None, cpu=0)
        alarm.set_at(10**12)
        assert are_left_alone(made)
        made.timeline.alarm(lambda: None, cpu=1).set_at(10**12)
        assert not are_left_alone(made)


def test_who_takes_interrupts_may_get_one_as_long_as_there_is_anything_to_raise_it() -> None:
    with board() as (made, _):
        write_pstate(made.cpus[1].arch.state, UNMASKED)
        assert made.gic is not None
        assert are_left_alone(made)
        made.gic.enabled_groups = lambda cpu: (cpu == 1, False)  # type: ignore[method-assign]
        assert are_left_alone(made)
        made.timeline.alarm(lambda: None).set_at(10**12)
        assert not are_left_alone(made)


def test_who_is_about_to_start_is_not_left_alone() -> None:
    with board() as (made, _):
        made.cpus[1].starts = True
        assert not are_left_alone(made)


def test_a_machine_whose_cpus_all_spin_is_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hang, "INTERVAL", 100_000)
    with board() as (made, core):
        result = run_machine(made, Watchdog(core.stop))
        assert (result.ending, result.status) == (Ending.NO_PROGRESS, 123)
        assert result.message.startswith("no CPU can make progress: cpu0 runs in a loop at 0x40080000 <main>; cpu1")


# Who is to blame -----------------------------------------------------------------------------------------------


def standing(cpu: int, doing: Doing, *, masked: bool = True, watches: int | None = None, pc: int = ENTRY) -> Standing:
    loop = None
    if doing is Doing.SPINNING:
        loop = Loop(pc, None if watches is None else Read(watches, pc))
    return Standing(cpu, doing, pc, masked=masked, loop=loop)


def order(*standings: Standing) -> list[int]:
    return [each.cpu for each in culprit_first(standings)]


def test_the_many_wait_for_the_few() -> None:
    spinning = [standing(cpu, Doing.SPINNING, watches=LOCK) for cpu in (0, 2)]
    assert order(*spinning, standing(3, Doing.SPINNING, watches=LOCK + 8)) == [3, 0, 2]
    assert order(*spinning, standing(3, Doing.SPINNING)) == [3, 0, 2]
    assert order(*spinning, standing(3, Doing.WAITING)) == [3, 0, 2]
    assert order(*spinning, standing(3, Doing.WAITING, masked=False)) == [0, 2, 3]
    assert order(*spinning, standing(1, Doing.NEVER_ON), standing(3, Doing.OFF)) == [0, 2, 3, 1]


def test_what_each_does_is_found_out() -> None:
    with board(4, spinning=2) as (made, core):
        core.load(PROGRAMS[0], [STORE, BRANCH])
        core.load(PROGRAMS[1], [LOAD_EXCLUSIVE, BRANCH_IF_NOT])
        made.cpus[3].activity = Activity.WAITING
        made.power.cpu_on(made.cpus[3].affinity, ENTRY, 0)
        made.power.take_start(made.cpus[3].affinity)
        found = survey(made)
        assert [each.doing for each in found] == [Doing.RUNNING, Doing.SPINNING, Doing.NEVER_ON, Doing.WAITING]
        made.power.suspend(made.cpus[3].affinity, Start(ENTRY))
        made.power.cpu_off(made.cpus[1].affinity)
        made.cpus[0].starts = True
        found = survey(made)
        assert [each.doing.value for each in found[:2]] == ["about to start", "never switched on"]
        assert found[3].doing is Doing.SUSPENDED


def test_the_line_on_them_names_places_and_is_bounded() -> None:
    with board() as (made, _):
        spinning = [standing(cpu, Doing.SPINNING, watches=LOCK) for cpu in range(60)]
        line = why_nobody_gets_on(made, culprit_first([*spinning, standing(61, Doing.WAITING, pc=ENTRY + 4)]))
        assert line == (
            "no CPU can make progress: cpu61 waits for an interrupt at 0x40080004 <main+0x4> with interrupts masked; "
            "cpu0 to cpu59 spin at 0x40080000 <main> on 0x40100000"
        )
        many = [standing(cpu, Doing.SPINNING, watches=LOCK + 8 * cpu) for cpu in range(9)]
        assert why_nobody_gets_on(made, many).endswith("; and so on for 5 more")
        others = [standing(0, Doing.NEVER_ON), standing(1, Doing.OFF), standing(2, Doing.WAITING, masked=False)]
        assert why_nobody_gets_on(made, culprit_first(others)) == (
            "no CPU can make progress: cpu2 waits for an interrupt at 0x40080000 <main>, and nothing can raise one; "
            "cpu1 is off; cpu0 was never switched on"
        )


@pytest.mark.parametrize(
    ("numbers", "names"),
    [
        ((3,), "cpu3"),
        ((1, 0), "cpu0 and cpu1"),
        ((0, 1, 2), "cpu0 to cpu2"),
        ((0, 2, 4, 5, 6, 7), "cpu0, cpu2 and cpu4 to cpu7"),
        (range(0, 64, 2), "32 CPUs (cpu0, cpu2, cpu4, cpu6 ...)"),
    ],
)
def test_names_of_cpus(numbers: Sequence[int], names: str) -> None:
    assert cpu_names(numbers) == names
