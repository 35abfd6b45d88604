"""The exceptions kept as a chain, and the end of a chain."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.syndrome.esr import EC_SHIFT, ExceptionClass
from arm_vcpu_cli.arm_vcpu.exception_chain import FIRST, LATEST, UNRETURNED, ExceptionChain
from arm_vcpu_cli.engine.layout import NOT_EXCLUSIVE
from arm_vcpu_cli.saved import Saved

EL0, EL1 = 0x3C0, 0x3C5
CODE = 0x4008_0000
ABORT = ExceptionClass.DATA_ABORT << EC_SHIFT | 0x10
UNDEFINED = 1 << 25


class Guest:
    """Takes exceptions as a vCPU does, and knows what EL1's registers hold afterwards."""

    def __init__(self) -> None:
        self.chain = ExceptionChain()
        self.elr = self.spsr = self.esr = 0
        self.monitor = NOT_EXCLUSIVE
        self.mapped = False

    def take(self, esr: int, pc: int, *, spsr: int = EL1, sp: int = 0x1000, far: int = 0) -> None:
        self.chain.take(esr, far, pc, sp, spsr, self.elr, self.spsr, self.esr, self.monitor)
        self.elr, self.spsr, self.esr, self.monitor = pc, spsr, esr, UNRETURNED

    def returns(self, *, to: int | None = None) -> None:
        self.elr = self.elr if to is None else to
        self.monitor = NOT_EXCLUSIVE

    def places(self) -> list[tuple[int, int]]:
        return [(each.pc - CODE, each.times) for each in self.chain.exceptions(lambda _far, _esr: self.mapped)]

    def is_unfinished(self, spsr: int = EL1) -> bool:
        return self.chain.is_unfinished(
            spsr=spsr, elr=self.elr, old_spsr=self.spsr, monitor=self.monitor, is_mapped=lambda _far, _esr: self.mapped
        )


@pytest.fixture
def guest() -> Guest:
    return Guest()


def test_a_fault_of_a_handler_is_the_next_of_the_chain(guest: Guest) -> None:
    guest.take(ABORT, CODE)
    guest.take(UNDEFINED, CODE + 0x100)
    assert guest.places() == [(0, 1), (0x100, 1)]
    assert guest.is_unfinished()


def test_what_comes_from_el0_begins_anew(guest: Guest) -> None:
    guest.take(ABORT, CODE)
    guest.take(ABORT, CODE + 8, spsr=EL0)
    assert guest.places() == [(8, 1)]
    assert not guest.is_unfinished(EL0)


def test_what_comes_after_a_return_begins_anew(guest: Guest) -> None:
    guest.take(UNDEFINED, CODE)
    guest.returns(to=CODE + 4)
    assert not guest.is_unfinished()
    guest.take(UNDEFINED, CODE + 8)
    assert guest.places() == [(8, 1)]


def test_after_a_return_to_what_is_mapped_now_there_is_a_new_chain(guest: Guest) -> None:
    guest.take(ABORT, CODE)
    guest.returns()
    guest.take(ABORT, CODE + 8)
    assert guest.places() == [(0, 1), (8, 1)], "it cannot have got further: the access would fault again"
    guest.mapped = True
    assert guest.places() == [(8, 1)]


def test_a_handler_that_takes_a_lock_has_not_returned(guest: Guest) -> None:
    guest.take(UNDEFINED, CODE)
    guest.monitor = NOT_EXCLUSIVE
    assert guest.is_unfinished()
    guest.take(ABORT, CODE + 0x100)
    assert guest.places() == [(0, 1), (0x100, 1)]


def test_a_handler_of_el0_that_takes_a_lock_runs_at_another_level(guest: Guest) -> None:
    guest.mapped = True
    guest.take(ABORT, CODE, spsr=EL0)
    guest.monitor = 0x5000
    guest.take(ABORT, CODE + 0x100)
    assert guest.places() == [(0, 1), (0x100, 1)]


def test_equal_ones_are_counted_also_in_turn(guest: Guest) -> None:
    guest.take(ABORT, CODE)
    for number in range(50):
        guest.take(UNDEFINED, CODE + 0x100, sp=0x1000 - number)
        guest.take(ABORT, CODE + 0x200)
    assert guest.places() == [(0, 1), (0x100, 50), (0x200, 50)]
    marching = guest.chain.exceptions(lambda _far, _esr: False)[1]
    assert (marching.sp, marching.last_sp) == (0x1000, 0x1000 - 49)
    assert marching.repeats_itself


def test_a_handler_that_goes_back_does_not_repeat_itself(guest: Guest) -> None:
    for _ in range(3):
        guest.take(UNDEFINED, CODE)
        guest.returns()
    (only,) = guest.chain.exceptions(lambda _far, _esr: False)
    assert only.times == 3
    assert not only.repeats_itself


def test_of_many_the_first_and_the_latest_are_kept(guest: Guest) -> None:
    for number in range(100):
        guest.take(UNDEFINED, CODE + 4 * number)
    assert [place // 4 for place, _ in guest.places()] == [*range(FIRST), *range(100 - LATEST, 100)]
    assert guest.chain.dropped == 100 - FIRST - LATEST


def test_it_goes_on_from_its_saved_state(guest: Guest) -> None:
    guest.take(ABORT, CODE)
    guest.take(UNDEFINED, CODE + 0x100)
    other = ExceptionChain()
    other.load(Saved(guest.chain.save(), "chain"))
    guest.take(UNDEFINED, CODE + 0x100)
    other.take(UNDEFINED, 0, CODE + 0x100, 0x1000, EL1, CODE + 0x100, EL1, UNDEFINED, UNRETURNED)
    assert other.save() == guest.chain.save()


def test_a_broken_saved_state_changes_nothing(guest: Guest) -> None:
    guest.take(ABORT, CODE)
    state = guest.chain.save()
    with pytest.raises(ValueError, match="number 7 of 1"):
        guest.chain.load(Saved(state | {"last": 7}, "chain"))
    assert guest.chain.save() == state
