"""Sizes as users write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.sizes import format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("4_096", 4096),
        ("0x1000", 4096),
        ("64K", 64 << 10),
        ("64KiB", 64 << 10),
        ("512MiB", 512 << 20),
        ("512 mib", 512 << 20),
        (" 2G ", 2 << 30),
        ("4GiB", 4 << 30),
        ("1T", 1 << 40),
        ("16 TiB", 16 << 40),
        ("010", 10),
    ],
)
def test_a_size_is_a_number_with_a_binary_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "K", "-1", "1.5G", "12kb", "1 2", "0x", "0xG", "MiB4", "9" * 30, "\N{ARABIC-INDIC DIGIT ONE}"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size such as"):
        parse_size(text)


def test_a_long_text_is_not_repeated_in_full() -> None:
    with pytest.raises(ValueError, match="found") as caught:
        parse_size("x" * 10_000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1, "1 byte"), (1025, "1025 bytes"), (3 << 10, "3 KiB"), (5 << 30, "5 GiB"), (1 << 40, "1 TiB")],
)
def test_a_size_is_shown_in_the_largest_unit_that_divides_it(size: int, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(1, 1 << 60))
def test_a_formatted_size_reads_back(size: int) -> None:
    assert parse_size(format_size(size).replace("bytes", "").replace("byte", "")) == size


@given(st.text())
def test_any_text_is_a_size_or_a_value_error(text: str) -> None:
    try:
        assert parse_size(text) >= 0
    except ValueError as error:
        assert "\n" not in str(error)
