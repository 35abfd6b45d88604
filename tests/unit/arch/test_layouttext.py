"""Layouts written as text."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.registers.layouttext import declare, declare_bits


def test_a_line_gives_bits_name_values_and_words() -> None:
    layout = declare("Sample", "31:27 HIGH # the top\n9 FLAG = off | on # a switch")
    high, flag = layout.fields()
    assert (high.name, high.msb, high.lsb, high.words, dict(high.values)) == ("HIGH", 31, 27, "the top", {})
    assert (flag.name, flag.msb, flag.lsb, flag.words) == ("FLAG", 9, 9, "a switch")
    assert dict(flag.values) == {0: "off", 1: "on"}
    assert layout.__name__ == "Sample"


def test_values_count_up_from_the_last_number_given() -> None:
    (field,) = declare("Sample", "7:4 KIND = 2 two | three | 0xF fifteen").fields()
    assert dict(field.values) == {2: "two", 3: "three", 15: "fifteen"}


def test_a_name_that_is_a_number_counts_too() -> None:
    (field,) = declare("Sample", "11:8 STEP = 0 256 | 2 512 | 768").fields()
    assert dict(field.values) == {0: "256", 2: "512", 3: "768"}


def test_fields_share_a_line_and_values_go_on_over_lines() -> None:
    layout = declare("Sample", "3 A; 2 B # words\n1:0 C = one |\n    two | three")
    assert [field.name for field in layout.fields()] == ["A", "B", "C"]
    assert layout.fields()[1].words == "words"
    assert list(layout.fields()[2].values.values()) == ["one", "two", "three"]


@pytest.mark.parametrize(
    "text", ["FIELD 3:0", "3:0", "0:3 SWAPPED", "3:0 A\n2 B", "64 BEYOND", "1:0 A = a | b | c | d | e"]
)
def test_what_is_no_layout_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        declare("Bad", text)


def test_single_bits_are_counted_down_and_reserved_ones_skipped() -> None:
    layout = declare_bits("Bits", 63, "TOP - THIRD -60 LOWEST")
    assert {field.name: field.lsb for field in layout.fields()} == {"TOP": 63, "THIRD": 61, "LOWEST": 0}


def test_a_bit_below_zero_is_refused() -> None:
    with pytest.raises(ValueError):
        declare_bits("Bits", 1, "A B C")
