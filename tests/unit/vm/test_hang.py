"""Guests that can make no progress, on a core that plays blocks: what is proved, and what is left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest

from arm_vcpu_cli.arch.registers.el1regs import EL1H_MASKED, Spsr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.devices.gic.v3 import GicV3
from arm_vcpu_cli.engine.port import StopReason
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.vm.endings import Ending, RunResult
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.runner import run_machine
from arm_vcpu_cli.vm.timeline import HostClock
from arm_vcpu_cli.vm.watch.hang import INTERVAL, HangWatch, why_uninterrupted
from tests.support.fake_core import LAYOUT, FakeCore, Trap, hvc, write_pstate
from tests.support.fake_machine import ENTRY, machine

OFF = hvc(0x8400_0008)
NOP, ADD, STORE, LOAD, BRANCH = 0xD503201F, 0x91000400, 0xF9000020, 0xF9400020, 0x14000000
READ_COUNTER, FLOATING, UNMASK = 0xD53BE040, 0x1E622820, 0xD50342FF
SPIN = [BRANCH]
UNMASKED = int(Spsr(EL1H_MASKED).replace(D=0, A=0, I=0, F=0))
IRQ_MASKED = int(Spsr(EL1H_MASKED).replace(F=0))
IGRPEN0, IGRPEN1 = lookup("ICC_IGRPEN0_EL1"), lookup("ICC_IGRPEN1_EL1")
INTID = 40


@dataclass
class Block:
    """A block of guest code: its instructions, and the registers that it leaves at each turn."""

    code: list[int]
    registers: Callable[[int], dict[int, int]] = lambda _turn: {}
    leaves: Trap | None = None
    """What it ends with, at the turn ``leaves_at``."""
    leaves_at: int = 0
    address: int = field(default=0)


class LoopCore(FakeCore):
    """A core that executes blocks one after the other, over and over, as the engine does: budgets end it at the start
    of one. ``turns`` is how many there may be before the test has failed."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[Block] = []
        self.turns = 0
        self.most_turns = 1 << 62
        self.entries = 0
        self._next = 0

    def load(self, *blocks: Block, at: int = ENTRY) -> None:
        self.blocks = list(blocks)
        for block in self.blocks:
            block.address = at
            for word in block.code:
                self.instructions[at] = word
                at += 4

    def run(self, pc: int) -> StopReason:
        self.entries += 1
        self._running = True
        while True:
            block = self.blocks[self._next]
            size = len(block.code)
            if self.budget < size:
                return StopReason.BUDGET
            if self._next == 0 and not any(each.leaves for each in self.blocks):
                self._skip()
            self.budget -= size
            self.executed += size
            self.turns += 1
            assert self.turns < self.most_turns, "a guest that nobody stops"
            for number, value in block.registers(self.turns).items():
                self._view.u64[LAYOUT.x0 // 8 + number] = value
            self._next = (self._next + 1) % len(self.blocks)
            self._view.u64[LAYOUT.pc // 8] = self.blocks[self._next].address
            if block.leaves is not None and self.turns > block.leaves_at:
                self._raise(block.leaves)
                if not self._running:
                    return StopReason.STOP

    def _skip(self) -> None:
        """Most of a long time: what is the same at every turn need not be played block by block."""
        whole = sum(len(block.code) for block in self.blocks)
        rounds = max(0, self.budget // whole - 1000)
        self.budget -= rounds * whole
        self.executed += rounds * whole
        self.turns += rounds * len(self.blocks)


@contextmanager
def loop(*blocks: Block, pstate: int = EL1H_MASKED) -> Iterator[tuple[Machine, LoopCore]]:
    """A machine whose guest executes these blocks; it has an interrupt controller with no interrupt enabled."""
    core = LoopCore()
    core.load(*blocks)
    with machine(core=core) as (made, _, _reader):
        write_pstate(made.current.arch.state, pstate)
        yield made, core


def result_of(made: Machine, core: LoopCore, *, most_turns: int = 200_000_000_000) -> RunResult:
    core.most_turns = most_turns
    return run_machine(made, Watchdog(core.stop))


# What is proved ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "blocks",
    [
        [[BRANCH]],
        [[0xD503205F, BRANCH]],
        [[LOAD, 0xB4000000]],
        [[NOP, NOP, BRANCH], [LOAD, LOAD, BRANCH], [BRANCH]],
        [[NOP] * 500 + [BRANCH]],
    ],
)
def test_a_loop_that_is_the_same_at_every_turn_is_a_hang(blocks: list[list[int]]) -> None:
    with loop(*(Block(code) for code in blocks)) as (made, core):
        result = result_of(made, core)
    assert (result.ending, result.status) == (Ending.NO_PROGRESS, 123)
    assert result.message.startswith("the guest hangs in a loop at 0x4008")
    assert result.message.endswith(", with interrupts masked")
    assert result.exits == 0


def test_a_loop_with_a_period_of_several_turns_is_a_hang() -> None:
    with loop(Block([ADD, BRANCH], lambda turn: {0: turn % 7})) as (made, core):
        assert result_of(made, core).status == 123


def test_a_hang_is_found_soon() -> None:
    with loop(Block(SPIN)) as (made, core):
        result_of(made, core)
        assert made.timeline.now() <= 3 * INTERVAL


def test_a_hang_after_a_busy_time_is_found_as_soon() -> None:
    with loop(Block(SPIN)) as (made, core):
        made.current.arch._exits.count = 1000
        result_of(made, core)
        assert made.timeline.now() <= 3 * INTERVAL


def test_a_hang_is_found_soon_though_attempts_have_failed_before() -> None:
    """For some seconds the guest computes; then it leaves often; then it hangs."""
    busy, hung = 3_000_000_000, 6_000_000_000
    with loop(Block([ADD, BRANCH])) as (made, core):
        core.blocks[0].registers = lambda turn: {0: turn if made.timeline.now() < busy else 0}

        def leave() -> None:
            made.current.arch._exits.count += 1
            if made.timeline.now() < hung:
                alarm.set_at(made.timeline.now() + INTERVAL // 3)

        alarm = made.timeline.alarm(leave)
        alarm.set_at(busy)
        assert result_of(made, core).status == 123
        assert hung < made.timeline.now() <= hung + 3 * INTERVAL


# What is not ---------------------------------------------------------------------------------------------------


def goes_on(*blocks: Block, pstate: int = EL1H_MASKED, seconds: int = 2) -> None:
    """The guest of these blocks is still running after so many seconds of its time."""
    limit = seconds * 1_000_000_000
    with loop(*blocks, pstate=pstate) as (made, core):
        late = made.timeline.alarm(lambda: core.blocks[0].__setattr__("leaves", OFF))
        late.set_at(limit)
        result = result_of(made, core)
        assert result.ending is Ending.POWERED_OFF, result.message
        assert made.timeline.now() >= limit


@pytest.mark.parametrize("instruction", [STORE, READ_COUNTER, FLOATING, UNMASK, 0xC8007C41, 0xD538C100, 0])
def test_a_loop_that_does_more_than_compute_is_none(instruction: int) -> None:
    goes_on(Block([instruction, BRANCH]))


def test_a_loop_that_counts_is_none() -> None:
    goes_on(Block([ADD, BRANCH], lambda turn: {0: turn}))


def test_code_that_cannot_be_read_proves_nothing() -> None:
    with loop(Block(SPIN)) as (made, core):
        core.instructions.clear()
        late = made.timeline.alarm(lambda: core.blocks[0].__setattr__("leaves", OFF))
        late.set_at(1_000_000_000)
        assert result_of(made, core).ending is Ending.POWERED_OFF


def test_a_guest_that_leaves_all_the_time_is_none() -> None:
    with loop(Block([NOP] * 400 + [BRANCH], leaves=replace(hvc(0x8400_0000), step=0))) as (made, core):
        made.description = replace(made.description, limits=replace(made.description.limits, max_exits=400_000))
        assert result_of(made, core).ending is Ending.LIMIT


def test_a_guest_that_leaves_while_it_is_followed_is_none() -> None:
    with loop(Block(SPIN)) as (made, core):

        def leave_if_followed(_turn: int) -> dict[int, int]:
            core.blocks[0].leaves = replace(hvc(0x8400_0000), step=0) if core.budget < 100 else None
            return {}

        core.blocks[0].registers = leave_if_followed
        made.description = replace(made.description, limits=replace(made.description.limits, max_exits=20))
        assert result_of(made, core).ending is Ending.LIMIT


@pytest.mark.parametrize("code", [[ADD], [ADD, NOP, BRANCH]])
@pytest.mark.parametrize("late_by", [1, 37, 38, 100])
def test_an_alarm_goes_off_at_the_block_at_which_it_would_without_being_watched(code: list[int], late_by: int) -> None:
    """Whether the guest is being followed at that moment, or not."""

    def turns_at_alarms(watched: bool) -> list[int]:
        turns: list[int] = []
        with loop(Block(code, lambda turn: {0: turn})) as (made, core):
            made.description = replace(made.description, el2=replace(made.description.el2, trap_wfi=watched))

            def again() -> None:
                turns.append(core.turns)
                if len(turns) == 10:
                    core.blocks[0].leaves = OFF
                else:
                    alarm.set_at((len(turns) + 1) * INTERVAL + late_by)

            alarm = made.timeline.alarm(again)
            alarm.set_at(INTERVAL + late_by)
            result_of(made, core)
        return turns

    assert turns_at_alarms(True) == turns_at_alarms(False)


def test_a_guest_that_only_computes_is_hardly_disturbed() -> None:
    with loop(Block([ADD, BRANCH], lambda turn: {0: turn})) as (made, core):
        late = made.timeline.alarm(lambda: core.blocks[0].__setattr__("leaves", OFF))
        late.set_at(20_000_000_000)
        result_of(made, core)
        # 400 looks, and a few attempts of 64 blocks.
        assert core.entries < 3000


# Interrupts ----------------------------------------------------------------------------------------------------


def test_an_unmasked_guest_without_an_enabled_interrupt_hangs() -> None:
    with loop(Block(SPIN), pstate=UNMASKED) as (made, core):
        result = result_of(made, core)
    assert result.message.endswith(", and no interrupt is enabled that could end it")


def test_an_unmasked_guest_with_nothing_left_to_interrupt_it_hangs() -> None:
    with loop(Block(SPIN), pstate=UNMASKED) as (made, core):
        enable(made, IGRPEN1)
        result = result_of(made, core)
    assert result.message.endswith(", and nothing is left that could interrupt it")


def test_an_idle_loop_with_a_timer_is_no_hang() -> None:
    with loop(Block(SPIN), pstate=UNMASKED) as (made, core):
        enable(made, IGRPEN1)
        timer = made.timeline.alarm(lambda: core.blocks[0].__setattr__("leaves", OFF))
        timer.set_at(3_000_000_000)
        assert result_of(made, core).ending is Ending.POWERED_OFF


def test_a_timer_does_not_help_a_guest_that_masks_it() -> None:
    with loop(Block(SPIN)) as (made, core):
        enable(made, IGRPEN1)
        made.timeline.alarm(lambda: None).set_at(3_000_000_000)
        assert result_of(made, core).status == 123
        assert made.timeline.now() < 3_000_000_000


@pytest.mark.parametrize(
    ("pstate", "groups", "reason"),
    [
        (EL1H_MASKED, (), "with interrupts masked"),
        (EL1H_MASKED, (IGRPEN0, IGRPEN1), "with interrupts masked"),
        (IRQ_MASKED, (), "with interrupts masked"),
        (IRQ_MASKED, (IGRPEN1,), "with interrupts masked"),
        (IRQ_MASKED, (IGRPEN0,), None),
        (UNMASKED, (IGRPEN0,), None),
        (UNMASKED, (IGRPEN1,), None),
        (UNMASKED, (), "and no interrupt is enabled that could end it"),
    ],
)
def test_what_can_interrupt_a_guest_with_a_timer(pstate: int, groups: tuple[object, ...], reason: str | None) -> None:
    with loop(Block(SPIN), pstate=pstate) as (made, _):
        enable(made, *groups)
        made.timeline.alarm(lambda: None).set_at(1)
        assert why_uninterrupted(made) == reason


def test_a_machine_without_an_interrupt_controller_interrupts_nobody() -> None:
    with loop(Block(SPIN), pstate=UNMASKED) as (made, _):
        made.gic = None
        assert why_uninterrupted(made) == "and no interrupt is enabled that could end it"


def test_a_pending_interrupt_counts() -> None:
    with loop(Block(SPIN), pstate=UNMASKED) as (made, _):
        enable(made, IGRPEN1)
        made.current.arch.set_interrupt_lines(irq=True, fiq=False)
        assert why_uninterrupted(made) is None


def enable(made: Machine, *groups: object) -> None:
    assert isinstance(made.gic, GicV3)
    for group in groups:
        made.gic.cpu_interface(0).write(group, 1)  # type: ignore[arg-type]


# Which stops are the watch's own -------------------------------------------------------------------------------


def test_a_stop_of_the_host_clock_before_its_time_is_none_of_the_watch() -> None:
    now = 0
    with loop(Block(SPIN)) as (made, core):
        made.timeline = HostClock([core], lambda: now)
        watch = HangWatch(made)
        watch.start()
        now = INTERVAL - 1
        assert not watch.has_stopped()
        now = INTERVAL
        assert watch.has_stopped()


@pytest.mark.parametrize("silent", [False, True])
def test_a_stop_for_an_earlier_alarm_is_none_of_the_watch(silent: bool) -> None:
    with loop(Block(SPIN)) as (made, _):
        watch = HangWatch(made)
        watch.start()
        assert watch.has_stopped()
        made.timeline.alarm(lambda: None, silent=silent).set_at(INTERVAL - 1)
        assert not watch.has_stopped()


# What is said of a guest that was stopped ----------------------------------------------------------------------


def test_how_long_a_guest_has_been_quiet() -> None:
    now = 100.0
    with loop(Block(SPIN)) as (made, _):
        watch = HangWatch(made, monotonic=lambda: now)
        watch.start()
        now = 108.0
        assert watch.quiet_seconds() == 8.0
        made.current.arch._exits.count += 1
        assert watch.quiet_seconds() == 0.0
        watch.look()
        now = 110.5
        assert watch.quiet_seconds() == 2.5


def test_being_preempted_is_nothing_that_the_guest_does() -> None:
    now = 0.0
    with loop(Block(SPIN)) as (made, _):
        watch = HangWatch(made, monotonic=lambda: now)
        made.current.arch._exits.count += 1
        watch.preempted()
        now = 3.0
        assert watch.quiet_seconds() == 3.0


def test_a_guest_that_waits_is_not_woken_by_being_watched() -> None:
    with loop(Block(SPIN)) as (made, _):
        watch = HangWatch(made)
        watch.start()
        due = made.timeline.next_deadline()
        resume = watch.pause()
        assert made.timeline.next_deadline() is None
        resume()
        assert made.timeline.next_deadline() == due == INTERVAL
