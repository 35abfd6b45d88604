"""Fault injection without a machine: counting, device accesses, interrupt inputs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arm_vcpu.platform import Outcome
from arm_vcpu_cli.board.fault_description import (
    AtAccess,
    AtCode,
    AtInterrupt,
    Direction,
    Effect,
    ExternalAbort,
    FaultDescription,
    FlipRegister,
    Late,
    LoseInterrupt,
    SError,
    Trigger,
    WrongValue,
)
from arm_vcpu_cli.devices.gic.controller import InterruptController
from arm_vcpu_cli.devices.gic.v2 import GicV2
from arm_vcpu_cli.devices.gic.v3 import GicV3
from arm_vcpu_cli.devices.irq import IrqLine
from arm_vcpu_cli.saved import Saved
from arm_vcpu_cli.vm.faults.armed_fault import ArmedFault
from arm_vcpu_cli.vm.faults.faulty_accesses import FaultyAccesses
from arm_vcpu_cli.vm.faults.faulty_lines import FaultyLines

DEVICE = (range(0x1000, 0x1010),)
FLIP = FlipRegister("x0", (0,))


def armed(trigger: Trigger, effect: Effect = FLIP, cpu: int | None = None) -> ArmedFault:
    return ArmedFault(FaultDescription("fault", "kind", trigger, effect, cpu, "fault[0]"))


def occurs(fault: ArmedFault, vcpu: int) -> bool:
    return fault.occurs(vcpu, lambda: 100)


# Counting ----------------------------------------------------------------------------------------------------------


@given(st.integers(1, 5), st.integers(0, 5))
def test_it_is_from_the_nth_occurrence_on_and_so_many_times(count: int, times: int) -> None:
    fault = armed(AtCode(0, count, times))
    found = [number for number in range(1, 20) if occurs(fault, 0)]
    assert found == [*range(count, count + times if times else 20)]


def test_occurrences_of_other_vcpus_and_before_its_time_do_not_count() -> None:
    fault = armed(AtCode(0, count=2), cpu=1)
    assert [occurs(fault, vcpu) for vcpu in (0, 1, 0, 1, 1)] == [False, False, False, True, False]
    assert not occurs(armed(AtCode(0, after=101)), 0)
    assert occurs(armed(AtCode(0, after=100)), 0)


def test_counts_go_on_from_a_state() -> None:
    first, second = armed(AtCode(0, count=3)), armed(AtCode(0, count=3))
    occurs(first, 0)
    first.resuming = 2
    second.load(Saved(first.save()))
    assert second.save() == first.save()
    assert [occurs(second, 0), occurs(second, 0)] == [False, True]
    with pytest.raises(ValueError, match="seen"):
        second.load(Saved({**first.save(), "seen": -1}))


# Accesses ----------------------------------------------------------------------------------------------------------


class Accesses:
    """A device that reads as 0x55, with faults; what happens is noted."""

    def __init__(self, *faults: ArmedFault) -> None:
        self.notes: list[object] = []
        accesses = FaultyAccesses(
            3,
            faults,
            self._read,
            self._write,
            occurs=occurs,
            tell=lambda _fault, vcpu, effect: self.notes.append((vcpu, effect)),
            delay=self.notes.append,
            later=lambda _fault, vcpu: self.notes.append(("later", vcpu)),
        )
        self.read, self.write = accesses.read, accesses.write

    def _read(self, ipa: int, width: int) -> int | Outcome:
        self.notes.append(("read", ipa, width))
        return 0x55 if ipa >= 0x1000 else Outcome.ABORT

    def _write(self, ipa: int, width: int, value: int) -> Outcome:
        self.notes.append(("write", ipa, width, value))
        return Outcome.DONE


def test_an_access_that_aborts_does_not_reach_the_device() -> None:
    device = Accesses(armed(AtAccess("d", DEVICE), ExternalAbort()))
    assert device.read(0x1000, 4) is Outcome.ABORT
    assert device.write(0x1000, 4, 1) is Outcome.DONE
    assert device.notes == [(3, "external abort on the read of 0x1000"), ("write", 0x1000, 4, 1)]


@pytest.mark.parametrize(
    ("effect", "width", "value"),
    [(WrongValue(xor=0xFF), 1, 0xAA), (WrongValue(0x1234), 1, 0x34), (WrongValue(xor=1 << 40), 4, 0x55)],
)
def test_a_read_returns_another_value_of_its_width(effect: WrongValue, width: int, value: int) -> None:
    assert Accesses(armed(AtAccess("d", DEVICE, Direction.READ), effect)).read(0x1004, width) == value


def test_a_read_that_nothing_answers_has_no_value_to_change() -> None:
    fault = armed(AtAccess("d", (range(0x10),), Direction.READ), WrongValue(0))
    assert Accesses(fault).read(0, 4) is Outcome.ABORT


def test_a_late_access_is_complete_before_time_passes() -> None:
    device = Accesses(armed(AtAccess("d", DEVICE, Direction.WRITE), Late(5000)))
    device.read(0x1000, 4)
    device.write(0x1000, 4, 1)
    assert device.notes[1:] == [("write", 0x1000, 4, 1), (3, "write to 0x1000: takes 5 us longer"), 5000]


def test_other_faults_follow_the_access() -> None:
    device = Accesses(armed(AtAccess("d", DEVICE), SError(0)))
    device.write(0x1000, 4, 1)
    assert device.notes == [("write", 0x1000, 4, 1), ("later", 3)]


@pytest.mark.parametrize(
    ("ipa", "width", "hit"), [(0xFFC, 4, False), (0xFFC, 8, True), (0x100F, 1, True), (0x1010, 4, False)]
)
def test_an_access_counts_that_covers_a_byte_of_the_window(ipa: int, width: int, hit: bool) -> None:
    device = Accesses(armed(AtAccess("d", DEVICE), Late(1)))
    device.write(ipa, width, 0)
    assert (len(device.notes) > 1) is hit


# Interrupt inputs --------------------------------------------------------------------------------------------------


def lines(*faults: ArmedFault) -> tuple[FaultyLines, list[object]]:
    notes: list[object] = []
    made = FaultyLines(
        list(faults),
        current=lambda: 1,
        occurs=occurs,
        tell=lambda _fault, vcpu, effect: notes.append((vcpu, effect)),
        later=lambda _fault, vcpu: notes.append(("later", vcpu)),
    )
    return made, notes


def test_a_lost_assertion_lasts_until_the_line_is_deasserted() -> None:
    made, notes = lines(armed(AtInterrupt(40, count=2), LoseInterrupt()))
    levels: list[bool] = []
    line = made.wrap(-1, 40, levels.append)
    for level in (True, False, True, True, False, True):
        line(level)
    assert levels == [True, False, True]
    assert notes == [(1, "INTID 40 is lost")]


def test_lines_that_no_fault_concerns_are_left_alone() -> None:
    made, _ = lines(armed(AtInterrupt(27), LoseInterrupt(), cpu=1))
    levels: list[bool] = []
    original: Callable[[bool], None] = levels.append
    assert made.wrap(0, 27, original) is original
    assert made.wrap(-1, 40, original) is original
    assert made.wrap(1, 27, original) is not original
    assert made.driven == {27}


def test_other_faults_follow_the_assertion_which_is_not_lost() -> None:
    made, notes = lines(armed(AtInterrupt(40, times=0)))
    levels: list[bool] = []
    line = made.wrap(-1, 40, levels.append)
    for level in (True, True, False, True):
        line(level)
    assert levels == [True, True, False, True]
    assert notes == [("later", 1), ("later", 1)]


def test_levels_go_on_from_a_state_and_end_with_a_reset() -> None:
    first, _ = lines(armed(AtInterrupt(40), LoseInterrupt()))
    second, notes = lines(armed(AtInterrupt(40, count=9), LoseInterrupt()))
    first.wrap(-1, 40, lambda _level: None)(True)
    levels: list[bool] = []
    line = second.wrap(-1, 40, levels.append)
    second.load(Saved(first.save()))
    line(True)
    assert (levels, notes) == ([], [])
    second.reset()
    line(True)
    assert levels == [True]


# The interrupt controllers -----------------------------------------------------------------------------------------


def gics() -> list[InterruptController]:
    def signal(_cpu: int, _irq: bool, _fiq: bool) -> None:
        """Nobody listens."""

    return [GicV2(2, signal=signal), GicV3((0, 1), signal=signal)]


@pytest.mark.parametrize("gic", gics(), ids=["v2", "v3"])
def test_a_controller_wraps_its_lines_and_makes_interrupts_pending(gic: InterruptController) -> None:
    seen: list[tuple[str, int, int]] = []
    gic.watch(lambda action, cpu, intid: seen.append((action, cpu, intid)))
    wrapped: list[tuple[int, int]] = []

    def wrap(cpu: int, intid: int, line: IrqLine) -> IrqLine:
        wrapped.append((cpu, intid))
        return line

    gic.wrap_lines(wrap)
    gic.ppi(1, 27)
    gic.spi(40)
    assert wrapped == [(1, 27), (-1, 40)]
    gic.pend(1, 27)
    gic.pend(0, 40)
    assert [(action, intid) for action, _, intid in seen] == [("raised", 27), ("raised", 40)]
    for intid in (15, 1019):
        with pytest.raises(ValueError, match=f"INTID {intid} has no input"):
            gic.pend(0, intid)
