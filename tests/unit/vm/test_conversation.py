"""Awaited text on a console, byte by byte: found as early as possible, and only once."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.host.captured_console import CapturedConsole
from arm_vcpu_cli.vm.conversation import Conversation, ExpectationError, compiled
from arm_vcpu_cli.vm.endings import RunResult, exited


class Saying:
    """A machine whose guest says ``text``, and is stopped behind a byte."""

    def __init__(self, text: str) -> None:
        self.left = text.encode()
        self.console = CapturedConsole(b"")
        self.seen_enough: str | None = None
        self.stopped = False

    def request_stop(self) -> None:
        self.stopped = True

    def run(self) -> RunResult:
        self.stopped = False
        while self.left and not self.stopped:
            byte, self.left = self.left[:1], self.left[1:]
            self.console.write(byte)
        self.console.flush()
        return exited(0)


def talk(text: str) -> tuple[Saying, Conversation]:
    guest = Saying(text)
    return guest, Conversation(cast(Any, guest))


@given(st.text("ab\n", max_size=40), st.text("ab", min_size=1, max_size=3), st.text("ab\n", max_size=10))
def test_the_first_place_is_found_and_nothing_behind_it_is_lost(before: str, word: str, after: str) -> None:
    text = before + word + after
    guest, conversation = talk(text)
    assert conversation.expect(re.escape(word), guest.run).group() == word
    place = text.index(word) + len(word)
    assert guest.console.printed().decode() == text[:place]
    rest = guest.left.decode()
    assert rest == text[place:]
    with pytest.raises(ExpectationError) as caught:
        conversation.expect("no such text", guest.run)
    assert caught.value.printed == rest


@pytest.mark.parametrize(
    ("text", "pattern", "matched", "left"),
    [
        ("x 12 y", r"\d+", "12", "y"),
        ("x 12", r"\d+", "12", ""),
        ("one\r\ntwo\r\n", r"one\ntwo$", "one\ntwo", ""),
        ("\x1b[1mred\x1b[0m!", "red!", "red!", ""),
        ("a\nb\nc> ", r"^a\n(?s:.*)> ", "a\nb\nc> ", ""),
        ("name: x", "name: ", "name: ", "x"),
        ("one two\n", "one.*", "one two", ""),
        ("one two\nthree", "^one.*$", "one two", "three"),
    ],
)
def test_how_far_a_guest_gets(text: str, pattern: str, matched: str, left: str) -> None:
    guest, conversation = talk(text)
    assert conversation.expect(pattern, guest.run).group() == matched
    assert guest.left.decode() == left
    assert guest.seen_enough is None
    assert not guest.console.by_byte


def test_long_output_does_not_hide_a_match_and_is_not_searched_again() -> None:
    guest, conversation = talk("line\n" * 5000 + "word: " + "x" * 9000 + "end\nlater\n")
    assert conversation.expect("x{5}end", guest.run).group() == "xxxxxend"
    assert conversation.expect("later", guest.run).group() == "later"
    with pytest.raises(ExpectationError, match=r"^the console does not show .word.: "):
        conversation.expect("word", guest.run)


def test_a_failure_shows_the_last_lines() -> None:
    guest, conversation = talk("".join(f"line {number}\tx\x07\n" for number in range(12)))
    with pytest.raises(ExpectationError) as caught:
        conversation.expect("nothing\x1b", guest.run)
    lines = str(caught.value).splitlines()
    assert lines[0] == r"the console does not show 'nothing\x1b': the guest exited with status 0"
    assert lines[1] == "the last 10 of 12 lines since the last match:"
    assert lines[2:4] == [r"  | line 2  x\x07", r"  | line 3  x\x07"]
    assert len(lines) == 12


@pytest.mark.parametrize("pattern", ["(", "a{3,2}", re.compile(b"x"), b"x", None])
def test_what_is_no_pattern(pattern: Any) -> None:
    with pytest.raises(UsageError):
        compiled(pattern)
