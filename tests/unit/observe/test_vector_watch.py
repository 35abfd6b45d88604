"""Interrupts that a guest takes at EL1 are detected at its vectors, wherever it moves them."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.registers.el1regs import Spsr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.observer import El1ExceptionRecord
from arm_vcpu_cli.arm_vcpu.vectors import TrapKind
from arm_vcpu_cli.observe.vector_watch import VectorWatch
from tests.support.fake_core import FakeCore

VBAR, OTHER = 0x4008_0800, 0xFFFF_8000_0801_2800
EL0T, EL1H = 0x0, 0x5


class Watched:
    """A core whose vectors are watched."""

    def __init__(self) -> None:
        self.core = FakeCore()
        self.taken: list[El1ExceptionRecord] = []
        self.watch = VectorWatch(self.core, lambda: self.core.sysreg("VBAR_EL1"), lambda: 77, self.taken.append)

    def move(self, vbar: int) -> None:
        self.core.write_sysreg(lookup("VBAR_EL1"), vbar)
        self.watch.look()

    def interrupt(self, vector: int, *, elr: int = 0x1234, spsr: int = EL1H) -> None:
        self.core.write_sysreg(lookup("ELR_EL1"), elr)
        self.core.write_sysreg(lookup("SPSR_EL1"), Spsr(spsr))
        self.core.execute(vector)


@pytest.mark.parametrize(
    ("offset", "kind", "spsr", "el"),
    [
        (0x080, TrapKind.IRQ, 0x4, 1),
        (0x100, TrapKind.FIQ, 0x4, 1),
        (0x280, TrapKind.IRQ, EL1H, 1),
        (0x300, TrapKind.FIQ, EL1H, 1),
        (0x480, TrapKind.IRQ, EL0T, 0),
        (0x500, TrapKind.FIQ, EL0T, 0),
    ],
)
def test_an_interrupt_is_told_with_its_kind_and_where_the_guest_was(offset: int, kind: int, spsr: int, el: int) -> None:
    watched = Watched()
    watched.move(VBAR)
    watched.interrupt(VBAR + offset, spsr=spsr)
    assert watched.taken == [El1ExceptionRecord(77, kind, None, None, 0x1234, el, VBAR + offset, 0)]


@pytest.mark.parametrize("offset", [0x0, 0x200, 0x380, 0x400, 0x680, 0x284])
def test_synchronous_exceptions_and_other_instructions_are_not(offset: int) -> None:
    watched = Watched()
    watched.move(VBAR)
    watched.interrupt(VBAR + offset)
    assert watched.taken == []


def test_vectors_that_are_moved_are_followed_and_those_that_are_left_say_nothing() -> None:
    watched = Watched()
    for vbar in (VBAR, OTHER):
        watched.move(vbar)
    watched.interrupt(VBAR + 0x280)
    watched.interrupt(OTHER + 0x280)
    assert [record.vector for record in watched.taken] == [OTHER + 0x280]
    watched.move(VBAR)
    watched.interrupt(VBAR + 0x280)
    assert [record.vector for record in watched.taken] == [OTHER + 0x280, VBAR + 0x280]


def test_each_table_is_watched_once_and_not_endlessly_many_are() -> None:
    watched = Watched()
    for _ in range(3):
        watched.move(VBAR)
        watched.move(OTHER)
    once = len(watched.core.watches)
    assert once == 2 * 6
    for number in range(1000):
        watched.move(VBAR + 0x800 * number)
    assert len(watched.core.watches) < 20 * 9
