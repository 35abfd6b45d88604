"""Lines of a console, as they are searched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.suite.console_lines import LONGEST, ConsoleLines


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain", "plain"),
        (b"dos\r", "dos"),
        (b"\x1b[1;32mgreen\x1b[0m and \x1b]0;title\x07bare", "green and bare"),
        (b"caf\xc3\xa9 \xff", "caf\u00e9 \ufffd"),
        (b"a\tb\x00", "a\tb\x00"),
    ],
)
def test_a_line_is_text_without_what_only_a_terminal_sees(raw: bytes, text: str) -> None:
    assert ConsoleLines().take(raw + b"\n") == [text]


def test_a_line_that_is_not_complete_can_be_seen() -> None:
    lines = ConsoleLines()
    assert (lines.take(b"one\ntw"), lines.rest) == (["one"], "tw")
    assert (lines.take(b"o\n\n"), lines.rest) == (["two", ""], "")


def test_of_a_line_without_end_only_the_beginning_is_kept() -> None:
    lines = ConsoleLines()
    for _ in range(3):
        assert lines.take(b"x" * LONGEST) == []
    assert lines.take(b"y\nnext\n") == ["x" * LONGEST, "next"]


@given(st.lists(st.binary(max_size=50)))
def test_it_does_not_matter_how_the_bytes_arrive(pieces: list[bytes]) -> None:
    at_once, bit_by_bit = ConsoleLines(), ConsoleLines()
    whole = at_once.take(b"".join(pieces))
    assert [line for piece in pieces for line in bit_by_bit.take(piece)] == whole
    assert bit_by_bit.rest == at_once.rest
