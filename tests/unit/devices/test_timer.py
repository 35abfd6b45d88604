"""The trapped physical timer (DDI 0487, D11.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arch.sysreg import lookup
from arm_vcpu_cli.devices.timer import CNTP_CTL, CNTP_CVAL, CNTP_TVAL, CNTPCT, PhysicalTimer

ENABLE, IMASK, ISTATUS = 1, 2, 4
U64 = st.integers(0, 2**64 - 1)


class Counter:
    def __init__(self, now: int = 0) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def test_at_reset_it_is_off_and_shows_no_condition() -> None:
    timer = PhysicalTimer(Counter(100))
    assert timer.read(CNTP_CTL) == 0
    assert timer.read(CNTP_CVAL) == 0
    assert timer.read(CNTPCT) == 100


@pytest.mark.parametrize(("now", "met"), [(99, 0), (100, ISTATUS), (101, ISTATUS), (2**64 - 1, ISTATUS)])
def test_the_condition_is_met_from_the_compare_value_on(now: int, met: int) -> None:
    counter = Counter()
    timer = PhysicalTimer(counter)
    timer.write(CNTP_CVAL, 100)
    timer.write(CNTP_CTL, ENABLE)
    counter.now = now
    assert timer.read(CNTP_CTL) == ENABLE | met


def test_the_comparison_is_unsigned() -> None:
    timer = PhysicalTimer(Counter(2**63 - 1))
    timer.write(CNTP_CVAL, 2**63)
    timer.write(CNTP_CTL, ENABLE)
    assert timer.read(CNTP_CTL) == ENABLE


def test_the_mask_hides_the_interrupt_and_not_the_condition() -> None:
    timer = PhysicalTimer(Counter(5))
    timer.write(CNTP_CTL, ENABLE | IMASK)
    assert timer.read(CNTP_CTL) == ENABLE | IMASK | ISTATUS


@given(value=U64)
def test_control_keeps_enable_and_mask_only(value: int) -> None:
    timer = PhysicalTimer(Counter(0))
    timer.write(CNTP_CVAL, 1)
    assert timer.write(CNTP_CTL, value)
    assert timer.read(CNTP_CTL) == value & (ENABLE | IMASK)


@pytest.mark.parametrize(
    ("now", "tval", "compare"),
    [
        (1000, 5, 1005),
        (1000, 0, 1000),
        (1000, 0xFFFF_FFFF, 999),
        (1 << 40, 0x8000_0000, (1 << 40) - (1 << 31)),
        (1000, 0x7FFF_FFFF, 1000 + 0x7FFF_FFFF),
        (1000, 0x1_0000_0001, 1001),
        (0, 0xFFFF_FFFF, 2**64 - 1),
        (2**64 - 1, 1, 0),
    ],
)
def test_a_timer_value_is_a_signed_32_bit_distance_from_now(now: int, tval: int, compare: int) -> None:
    timer = PhysicalTimer(Counter(now))
    timer.write(CNTP_TVAL, tval)
    assert timer.read(CNTP_CVAL) == compare
    assert timer.read(CNTP_TVAL) == tval & 0xFFFF_FFFF


def test_the_timer_value_counts_down_below_zero() -> None:
    counter = Counter(10)
    timer = PhysicalTimer(counter)
    timer.write(CNTP_CVAL, 12)
    values = []
    for counter.now in (10, 12, 13):
        values.append(timer.read(CNTP_TVAL))
    assert values == [2, 0, 0xFFFF_FFFF]


@given(now=U64, compare=U64)
def test_the_registers_keep_64_bits(now: int, compare: int) -> None:
    timer = PhysicalTimer(Counter(now))
    timer.write(CNTP_CVAL, compare)
    assert timer.read(CNTPCT) == now
    assert timer.read(CNTP_CVAL) == compare
    assert timer.read(CNTP_TVAL) == (compare - now) % 2**32


def test_other_registers_are_not_the_timers() -> None:
    timer = PhysicalTimer(Counter())
    assert timer.read(lookup("CNTV_CTL_EL0")) is None
    assert timer.write(lookup("CNTV_CTL_EL0"), 1) is False
    assert timer.write(CNTPCT, 1) is False
