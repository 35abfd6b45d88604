"""A guest's output as text, however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.vm.console_text import ConsoleText, plain_text


@pytest.mark.parametrize(
    ("printed", "text"),
    [
        (b"one\r\ntwo\n", "one\ntwo\n"),
        (b"\x1b[1;31mred\x1b[0m\x1b[6n", "red"),
        (b"\x1b]0;title\x07shown\x1b]0;title\x1b\\", "shown"),
        (b"\x1b7saved\x1b8\x1b(Bplain", "savedplain"),
        ("tr\u00e4ge \u2713".encode(), "tr\u00e4ge \u2713"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"begun \x1b[1", "begun "),
    ],
)
def test_what_only_a_terminal_sees_is_left_out(printed: bytes, text: str) -> None:
    assert plain_text(printed) == text
    pieces = ConsoleText()
    assert "".join(pieces.take(bytes([byte])) for byte in printed) == text


def test_an_escape_that_nothing_ends_does_not_hold_back_the_rest() -> None:
    text = ConsoleText()
    assert text.take(b"\x1b]" + b"x" * 300).endswith("x" * 300)
    assert text.take(b"more") == "more"


@given(st.binary(max_size=60), st.integers(1, 10))
def test_it_does_not_matter_where_it_is_cut(printed: bytes, size: int) -> None:
    pieces = ConsoleText()
    cut = "".join(pieces.take(printed[place : place + size]) for place in range(0, len(printed), size))
    assert cut == plain_text(printed)
