"""HCR_EL2.VI and VF: the desired values, and those written to the core."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arch.registers.el2regs import Hcr
from arm_vcpu_cli.arm_vcpu.interrupt_lines import VirtualInterruptLines

VI, VF = int(Hcr.of(VI=1)), int(Hcr.of(VF=1))
BASE = int(Hcr.of(VM=1, RW=1, IMO=1, FMO=1, TWI=1))


def connected(hcr: int = BASE) -> tuple[VirtualInterruptLines, list[int]]:
    lines, written = VirtualInterruptLines(), list[int]()
    lines.connect(written.append, hcr)
    return lines, written


def test_both_lines_are_low_at_first() -> None:
    lines, written = connected()
    assert (lines.wanted, lines.driven, lines.fiq) == (0, 0, False)
    lines.drive()
    assert written == []


@pytest.mark.parametrize(("irq", "fiq", "bits"), [(True, False, VI), (False, True, VF), (True, True, VI | VF)])
def test_a_line_reaches_the_core_when_it_is_driven(irq: bool, fiq: bool, bits: int) -> None:
    lines, written = connected()
    lines.set(irq=irq, fiq=fiq)
    assert (lines.wanted, lines.driven, lines.fiq) == (bits, 0, fiq)
    assert written == [], "the core may be executing"
    lines.drive()
    assert written == [BASE | bits]
    assert lines.driven == bits


def test_a_line_falls() -> None:
    lines, written = connected()
    lines.set(irq=True, fiq=True)
    lines.drive()
    lines.set(irq=False, fiq=True)
    lines.drive()
    lines.set(irq=False, fiq=False)
    lines.drive()
    assert written == [BASE | VI | VF, BASE | VF, BASE]


def test_the_core_is_told_once() -> None:
    lines, written = connected()
    lines.set(irq=True, fiq=False)
    lines.drive()
    lines.set(irq=True, fiq=False)
    lines.drive()
    assert len(written) == 1


def test_a_line_that_was_only_up_between_two_entries_is_not_seen() -> None:
    lines, written = connected()
    lines.set(irq=True, fiq=False)
    lines.set(irq=False, fiq=False)
    lines.drive()
    assert written == []


@pytest.mark.parametrize("bits", [0, VI, VF, VI | VF])
def test_what_the_register_had_at_first_is_driven_already(bits: int) -> None:
    lines, written = connected(BASE | bits)
    assert lines.driven == bits
    lines.drive()
    # Nobody wants it.
    assert written == ([BASE] if bits else [])


def test_what_is_wanted_without_a_core_reaches_the_next_one() -> None:
    lines, first = connected()
    lines.disconnect()
    lines.set(irq=True, fiq=False)
    lines.drive()
    assert first == []
    second: list[int] = []
    lines.connect(second.append, BASE)
    lines.drive()
    assert second == [BASE | VI]
    assert first == []


@given(st.integers(0, (1 << 64) - 1), st.lists(st.tuples(st.booleans(), st.booleans())))
def test_the_core_has_the_last_levels_and_its_other_bits(hcr: int, levels: list[tuple[bool, bool]]) -> None:
    lines, written = connected(hcr)
    register = hcr
    for irq, fiq in levels:
        lines.set(irq=irq, fiq=fiq)
        lines.drive()
        register = written[-1] if written else hcr
        assert bool(register & VI) is irq
        assert bool(register & VF) is fiq
    assert register & ~(VI | VF) == hcr & ~(VI | VF)
