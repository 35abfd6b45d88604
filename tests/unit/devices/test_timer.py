"""The generic timer (DDI 0487, D12.1 and D12.2) against its formulas."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arch.registers.el1regs import Cntkctl
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup, sysregs
from arm_vcpu_cli.devices.timer import (
    CNTFRQ,
    CNTP_CTL,
    CNTP_CVAL,
    CNTP_TVAL,
    CNTPCT,
    CNTV_CTL,
    CNTV_CVAL,
    CNTV_TVAL,
    CNTVCT,
    GenericTimer,
    el0_may_access,
)
from tests.support.manual_clock import Line, ManualClock

ENABLE, IMASK, ISTATUS = 1, 2, 4
U64 = st.integers(0, 2**64 - 1)
TICKS = st.integers(0, 2**62)


class Bench:
    """A timer with its clock and lines; the registers of one of its two timers by their short names."""

    def __init__(self, now: int = 0, which: str = "V") -> None:
        self.clock = ManualClock(now)
        self.virtual, self.physical = Line(), Line()
        self.timer = GenericTimer(self.clock, virtual=self.virtual, physical=self.physical)
        self.ctl, self.cval, self.tval, self.ct = (
            (CNTV_CTL, CNTV_CVAL, CNTV_TVAL, CNTVCT) if which == "V" else (CNTP_CTL, CNTP_CVAL, CNTP_TVAL, CNTPCT)
        )
        self.line = self.virtual if which == "V" else self.physical
        self.other = self.physical if which == "V" else self.virtual

    def __getitem__(self, reg: SysReg) -> int:
        value = self.timer.read(reg)
        assert value is not None
        return value

    def __setitem__(self, reg: SysReg, value: int) -> None:
        assert self.timer.write(reg, value)


@pytest.fixture(params=["V", "P"])
def make(request: pytest.FixtureRequest) -> Callable[..., Bench]:
    def make(now: int = 0) -> Bench:
        return Bench(now, request.param)

    return make


def test_the_counters_are_the_clock_and_its_frequency_is_known() -> None:
    bench = Bench(1234)
    assert (bench[CNTPCT], bench[CNTVCT], bench[CNTFRQ]) == (1234, 1234, 62_500_000)


def test_at_reset_timers_are_off_and_lines_low(make: Callable[..., Bench]) -> None:
    bench = make(100)
    bench.clock.advance(10**12)
    assert (bench[bench.ctl], bench[bench.cval], bench.line.level) == (0, 0, False)


def test_the_line_rises_exactly_when_the_count_reaches_the_compare_value(make: Callable[..., Bench]) -> None:
    bench = make(10)
    bench[bench.cval] = 100
    bench[bench.ctl] = ENABLE
    bench.clock.advance(99)
    assert (bench.line.level, bench[bench.ctl]) == (False, ENABLE)
    bench.clock.advance(100)
    assert (bench.line.level, bench[bench.ctl]) == (True, ENABLE | ISTATUS)
    assert bench.line.levels == [True]
    assert bench.other.levels == []


def test_istatus_follows_the_counter_even_before_the_alarm_is_delivered(make: Callable[..., Bench]) -> None:
    bench = make(10)
    bench[bench.cval] = 100
    bench[bench.ctl] = ENABLE
    bench.clock.now = 100
    assert bench[bench.ctl] == ENABLE | ISTATUS


def test_the_comparison_is_unsigned(make: Callable[..., Bench]) -> None:
    bench = make(2**63 - 1)
    bench[bench.cval] = 2**63
    bench[bench.ctl] = ENABLE
    assert (bench[bench.ctl], bench.line.level) == (ENABLE, False)
    bench.clock.now = 2**63
    assert bench[bench.ctl] == ENABLE | ISTATUS


@pytest.mark.parametrize("compare", [2**63, 2**64 - 1])
def test_a_compare_value_out_of_reach_keeps_nobody_waiting(make: Callable[..., Bench], compare: int) -> None:
    bench = make(50)
    bench[bench.cval] = compare
    bench[bench.ctl] = ENABLE
    assert bench.clock.deadline is None


def test_the_mask_hides_the_interrupt_and_not_the_condition(make: Callable[..., Bench]) -> None:
    bench = make(5)
    bench[bench.ctl] = ENABLE | IMASK
    assert (bench[bench.ctl], bench.line.level) == (ENABLE | IMASK | ISTATUS, False)
    bench[bench.ctl] = ENABLE
    assert bench.line.level
    bench[bench.ctl] = ENABLE | IMASK
    assert not bench.line.level


@pytest.mark.parametrize("control", [0, IMASK, ENABLE | IMASK])
def test_a_timer_that_cannot_interrupt_sets_no_alarm(make: Callable[..., Bench], control: int) -> None:
    bench = make(5)
    bench[bench.cval] = 100
    bench[bench.ctl] = ENABLE
    assert bench.clock.deadline == 100
    bench[bench.ctl] = control
    assert bench.clock.deadline is None


def test_istatus_reads_zero_while_the_timer_is_off(make: Callable[..., Bench]) -> None:
    bench = make(5)
    bench[bench.ctl] = IMASK
    assert bench[bench.ctl] == IMASK


def test_moving_the_compare_value_on_lowers_the_line_at_once(make: Callable[..., Bench]) -> None:
    bench = make(5)
    bench[bench.ctl] = ENABLE
    assert bench.line.level
    bench[bench.cval] = 6
    assert not bench.line.level
    bench.clock.advance(6)
    assert bench.line.level
    bench[bench.tval] = 1
    assert not bench.line.level


@given(value=U64)
def test_control_keeps_enable_and_mask_only(value: int) -> None:
    for which in "VP":
        bench = Bench(0, which)
        bench[bench.cval] = 1
        bench[bench.ctl] = value
        assert bench[bench.ctl] == value & (ENABLE | IMASK)


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
def test_a_timer_value_is_a_signed_32_bit_distance_from_now(
    make: Callable[..., Bench], now: int, tval: int, compare: int
) -> None:
    bench = make(now)
    bench[bench.tval] = tval
    assert bench[bench.cval] == compare
    assert bench[bench.tval] == tval & 0xFFFF_FFFF


def test_the_timer_value_counts_down_below_zero(make: Callable[..., Bench]) -> None:
    bench = make(10)
    bench[bench.cval] = 12
    values = []
    for bench.clock.now in (10, 12, 13):
        values.append(bench[bench.tval])
    assert values == [2, 0, 0xFFFF_FFFF]


@given(now=U64, offset=U64, compare=U64, control=st.integers(0, 3))
def test_condition_and_line_are_what_the_manuals_formula_says(
    now: int, offset: int, compare: int, control: int
) -> None:
    bench = Bench(now)
    bench.timer.offset = offset
    bench[CNTV_CVAL] = compare
    bench[CNTV_CTL] = control
    count = (now - offset) % 2**64
    met = bool(control & ENABLE) and count >= compare
    assert bench[CNTVCT] == bench.timer.virtual_count() == count
    assert bench[CNTPCT] == bench.timer.physical_count() == now
    assert bench[CNTV_TVAL] == (compare - count) % 2**32
    assert bench[CNTV_CTL] == control | (ISTATUS if met else 0)
    assert bench.virtual.level is (met and not control & IMASK)


@given(steps=st.lists(st.tuples(st.sampled_from(["ctl", "cval", "tval", "offset", "wait"]), TICKS), max_size=20))
def test_with_time_passing_the_line_is_never_other_than_the_formula_says(steps: list[tuple[str, int]]) -> None:
    bench = Bench()
    control = compare = offset = 0
    for what, number in steps:
        if what == "ctl":
            bench[CNTV_CTL] = control = number % 4
        elif what == "cval":
            bench[CNTV_CVAL] = compare = bench.clock.now + number % 1000
        elif what == "tval":
            bench[CNTV_TVAL] = number
            signed = (number % 2**32 ^ 2**31) - 2**31
            compare = (bench.clock.now - offset + signed) % 2**64
        elif what == "offset":
            offset = number % 2000
            bench.timer.offset = offset
        else:
            bench.clock.advance(bench.clock.now + number % 1000)
        met = (bench.clock.now - offset) % 2**64 >= compare
        assert bench.virtual.level is (control == ENABLE and met)


def test_the_offset_moves_the_virtual_timer_and_not_the_physical_one() -> None:
    bench = Bench(1000)
    for reg in (CNTV_CVAL, CNTP_CVAL):
        bench[reg] = 1000
    for reg in (CNTV_CTL, CNTP_CTL):
        bench[reg] = ENABLE
    assert (bench.virtual.level, bench.physical.level) == (True, True)
    bench.timer.offset = 400
    assert bench.timer.offset == 400
    assert (bench[CNTVCT], bench[CNTPCT]) == (600, 1000)
    assert (bench.virtual.level, bench.physical.level) == (False, True)
    assert bench.clock.deadline == 1400
    bench.clock.advance(1400)
    assert bench.virtual.level


def test_an_offset_ahead_of_the_clock_wraps_the_virtual_counter() -> None:
    bench = Bench(10)
    bench.timer.offset = 20
    bench[CNTV_CVAL] = 5
    bench[CNTV_CTL] = ENABLE
    assert (bench[CNTVCT], bench.virtual.level) == (2**64 - 10, True)
    bench.clock.advance(20)
    assert (bench[CNTVCT], bench.virtual.level) == (0, False)
    bench.clock.advance(25)
    assert bench.virtual.level


def test_the_table_of_handlers_is_complete_and_does_the_same() -> None:
    bench = Bench(77)
    assert set(bench.timer.handlers) == {
        CNTFRQ, CNTPCT, CNTVCT, CNTP_CTL, CNTP_CVAL, CNTP_TVAL, CNTV_CTL, CNTV_CVAL, CNTV_TVAL,
    }  # fmt: skip
    for read, write in bench.timer.handlers.values():
        if write is not None:
            write(1)
        assert read is not None
    assert (bench[CNTV_CTL], bench[CNTP_CTL]) == (ENABLE, ENABLE)
    assert bench[CNTP_CVAL] == 78


@pytest.mark.parametrize("reg", [CNTPCT, CNTVCT, CNTFRQ])
def test_counters_and_frequency_are_read_only(reg: SysReg) -> None:
    assert Bench().timer.write(reg, 1) is False


def test_every_other_register_is_not_the_timers() -> None:
    bench = Bench()
    for name, reg in sysregs().items():
        if reg not in bench.timer.handlers:
            assert bench.timer.read(reg) is None, name
            assert bench.timer.write(reg, 1) is False, name


# Access from EL0 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reg", "fields"),
    [
        (CNTPCT, {"EL0PCTEN"}),
        (CNTVCT, {"EL0VCTEN"}),
        (CNTFRQ, {"EL0PCTEN", "EL0VCTEN"}),
        (CNTP_CTL, {"EL0PTEN"}),
        (CNTP_CVAL, {"EL0PTEN"}),
        (CNTP_TVAL, {"EL0PTEN"}),
        (CNTV_CTL, {"EL0VTEN"}),
        (CNTV_CVAL, {"EL0VTEN"}),
        (CNTV_TVAL, {"EL0VTEN"}),
        (lookup("CNTKCTL_EL1"), set()),
    ],
)
def test_el0_may_access_what_one_field_of_cntkctl_says(reg: SysReg, fields: set[str]) -> None:
    assert not el0_may_access(0, reg)
    for field in Cntkctl.fields():
        everything = field.mask << field.lsb
        assert el0_may_access(everything, reg) is (field.name in fields), field.name
