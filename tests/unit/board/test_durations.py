"""Lengths of guest time with their units."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.board.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0ns", 0),
        ("100ns", 100),
        ("20us", 20_000),
        ("1.5 ms", 1_500_000),
        (" 2s ", 2_000_000_000),
        ("1min", 60_000_000_000),
        ("10_000us", 10_000_000),
        ("0.0000000019s", 1),
    ],
)
def test_a_duration_has_a_unit(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "1 h", "1e3s", "1..2s", "1s1s", "9" * 40 + "s", "٣s"])
def test_anything_else_is_refused_in_a_line(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time such as") as caught:
        parse_duration(text)
    assert "\n" not in str(caught.value)


@given(st.integers(0, 1 << 50))
def test_what_is_printed_can_be_read(nanoseconds: int) -> None:
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds
