"""PL031 (Arm DDI 0224): its registers and its interrupt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.devices.device_clock import COUNTER_HZ
from arm_vcpu_cli.devices.pl031 import CR, DR, ICR, IMSC, LR, MIS, MR, RIS, Pl031
from tests.support.manual_clock import Line, ManualClock

NOW = 1_700_000_000


class Bench:
    """A clock on the wall in a room without other clocks."""

    def __init__(self, now: int = NOW, ticks: int = 0) -> None:
        self.clock = ManualClock(ticks)
        self.line = Line()
        self.rtc = Pl031(self.clock, self.line, now=now)

    def __getitem__(self, offset: int) -> int:
        return self.rtc.read(offset, 4)

    def __setitem__(self, offset: int, value: int) -> None:
        self.rtc.write(offset, 4, value)

    def at(self, seconds: float) -> None:
        self.clock.advance(int(seconds * COUNTER_HZ))


def test_it_shows_the_time_that_it_was_given_and_counts_seconds() -> None:
    bench = Bench()
    assert bench[DR] == NOW
    bench.clock.advance(COUNTER_HZ - 1)
    assert bench[DR] == NOW
    bench.clock.advance(COUNTER_HZ)
    assert bench[DR] == NOW + 1
    bench.at(86_400)
    assert bench[DR] == NOW + 86_400


def test_the_given_time_is_that_of_tick_0_whenever_the_device_was_made() -> None:
    assert Bench(ticks=10 * COUNTER_HZ)[DR] == NOW + 10


def test_loading_sets_the_time() -> None:
    bench = Bench()
    bench.at(2.5)
    bench[LR] = 1000
    assert (bench[DR], bench[LR]) == (1000, 1000)
    bench.at(2.9)
    assert bench[DR] == 1000
    bench.at(3)
    assert bench[DR] == 1001
    bench[LR] = 0xFFFF_FFFF
    bench.at(4)
    assert bench[DR] == 0


def test_it_is_running_and_cannot_be_stopped() -> None:
    bench = Bench()
    assert bench[CR] == 1
    bench[CR] = 0
    assert bench[CR] == 1
    bench.at(1)
    assert bench[DR] == NOW + 1


def test_the_interrupt_comes_with_the_match_and_stays_until_it_is_cleared() -> None:
    bench = Bench()
    bench[IMSC] = 1
    bench[MR] = NOW + 5
    bench.at(4.999)
    assert (bench[RIS], bench[MIS], bench.line.level) == (0, 0, False)
    bench.at(5)
    assert bench.line.level
    assert (bench[RIS], bench[MIS]) == (1, 1)
    bench.at(7)
    assert bench.line.level
    bench[ICR] = 1
    assert (bench[RIS], bench[MIS], bench.line.level) == (0, 0, False)
    bench.at(100)
    assert not bench.line.level, "one match, one interrupt"


def test_a_masked_match_is_kept_for_later() -> None:
    bench = Bench()
    bench[MR] = NOW + 5
    assert bench.clock.deadline is None, "nothing is to wake a guest that does not want it"
    bench.at(6)
    assert (bench[RIS], bench[MIS], bench.line.level) == (1, 0, False)
    bench[IMSC] = 1
    assert (bench[MIS], bench.line.level) == (1, True)
    bench[IMSC] = 0
    assert (bench[RIS], bench[MIS], bench.line.level) == (1, 0, False)


@pytest.mark.parametrize("reg", [MR, LR])
def test_counter_and_match_set_equal_match_at_once(reg: int) -> None:
    bench = Bench()
    bench[IMSC] = 1
    bench[MR] = 77
    assert not bench.line.level
    bench[reg] = 77 if reg == LR else NOW
    assert bench.line.level


def test_loading_past_the_match_value_is_no_match() -> None:
    bench = Bench()
    bench[IMSC] = 1
    bench[MR] = NOW + 5
    bench[LR] = NOW + 10
    assert not bench.line.level
    bench.at(100)
    assert not bench.line.level


def test_loading_moves_the_time_of_the_interrupt() -> None:
    bench = Bench()
    bench[IMSC] = 1
    bench[MR] = NOW + 5
    bench[LR] = NOW + 3
    assert bench.clock.deadline == 2 * COUNTER_HZ
    bench[LR] = NOW - 10
    assert bench.clock.deadline == 15 * COUNTER_HZ


def test_clearing_the_interrupt_waits_for_the_next_match() -> None:
    bench = Bench()
    bench[IMSC] = 1
    bench[MR] = NOW + 1
    bench.at(1)
    assert bench.clock.deadline is None
    bench[ICR] = 0
    assert bench.line.level, "a 0 clears nothing"
    bench[ICR] = 1
    bench[MR] = NOW + 2
    bench.at(2)
    assert bench.line.level


@given(now=st.integers(0, 2**32 - 1), match=st.integers(0, 2**32 - 1))
def test_the_alarm_is_at_the_next_time_that_the_32_bit_counter_is_equal(now: int, match: int) -> None:
    bench = Bench(now)
    bench[IMSC] = 1
    bench[ICR] = 1
    bench[MR] = match
    distance = (match - now) % 2**32
    assert bench.line.level is (distance == 0)
    if distance:
        assert bench.clock.deadline == distance * COUNTER_HZ
        bench.at(distance)
        assert bench[DR] == match
        assert bench.line.level


def test_it_is_identified_as_a_pl031() -> None:
    ids = [Bench()[offset] for offset in range(0xFE0, 0x1000, 4)]
    part = ids[0] | (ids[1] & 0xF) << 8
    designer = ids[1] >> 4 | (ids[2] & 0xF) << 4
    cell = ids[4] | ids[5] << 8 | ids[6] << 16 | ids[7] << 24
    assert (part, designer, cell) == (0x031, 0x41, 0xB105F00D)


@pytest.mark.parametrize("offset", [DR, RIS, MIS, 0x20, 0x400, 0xFE0, 0xFFC])
def test_writes_to_registers_that_are_not_writable_do_nothing(offset: int) -> None:
    bench = Bench()
    before = [bench[at] for at in range(0, 0x1000, 4)]
    bench[offset] = 0xFFFF_FFFF
    assert [bench[at] for at in range(0, 0x1000, 4)] == before


@given(
    accesses=st.lists(
        st.tuples(st.booleans(), st.integers(0, 0xFFF), st.sampled_from([1, 2, 4, 8]), st.integers(0, 2**64 - 1)),
        max_size=12,
    )
)
def test_any_access_gets_an_answer(accesses: list[tuple[bool, int, int, int]]) -> None:
    bench = Bench()
    for is_read, offset, width, value in accesses:
        if is_read:
            assert 0 <= bench.rtc.read(offset, width) < 1 << min(8 * width, 32)
        else:
            bench.rtc.write(offset, width, value & (1 << 8 * width) - 1)


def test_a_narrow_read_sees_its_part_of_the_register() -> None:
    bench = Bench(now=0x1122_3344)
    assert [bench.rtc.read(n, 1) for n in range(4)] == [0x44, 0x33, 0x22, 0x11]
    assert bench.rtc.read(2, 2) == 0x1122


def test_the_mask_has_one_bit() -> None:
    bench = Bench()
    bench[IMSC] = 0xFFFF_FFFE
    assert bench[IMSC] == 0
    bench[IMSC] = 0xFFFF_FFFF
    assert bench[IMSC] == 1


def test_masking_the_interrupt_again_takes_the_alarm_back() -> None:
    bench = Bench()
    bench[MR] = NOW + 5
    bench[IMSC] = 1
    assert bench.clock.deadline == 5 * COUNTER_HZ
    bench[IMSC] = 0
    assert bench.clock.deadline is None


@pytest.mark.parametrize("reg", [MR, LR])
def test_a_match_that_nobody_saw_is_not_lost_by_setting_the_clock(reg: int) -> None:
    bench = Bench()
    bench[MR] = NOW + 5
    bench.at(6)
    bench[reg] = 1000
    assert bench[RIS] == 1


def test_nothing_is_above_the_32_bits_of_the_counter() -> None:
    bench = Bench(now=2**32 + 5)
    assert bench.rtc.read(DR, 8) == 5
    assert bench.rtc.read(DR + 1, 4) == 0
