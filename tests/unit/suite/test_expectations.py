"""Expectations of a console on the command line, and their results for given output."""

from __future__ import annotations

import re

import pytest

from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.suite.cases import Outcome
from arm_vcpu_cli.suite.console_watch import ConsoleWatch
from arm_vcpu_cli.suite.expectations import Answer, Wanted, parse_answer, parse_pattern
from arm_vcpu_cli.suite.verdict import decide
from arm_vcpu_cli.vm.endings import Ending, RunResult

OFF = RunResult(Ending.POWERED_OFF, 0, "the guest powered off")
STUCK = RunResult(Ending.NO_PROGRESS, 123, "the guest hangs")
STOPPED = RunResult(Ending.LIMIT, 124, "printed everything that was expected")


class Guest:
    """A console that is watched; what it is answered and why it is stopped."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.answers: list[bytes] = []
        self.stops: list[str] = []
        self.watch = ConsoleWatch(wanted, self.answer, self.stops.append)
        self.is_answered = not wanted.answers

    def answer(self, text: bytes, is_last: bool) -> None:
        assert not self.is_answered
        self.is_answered = is_last
        self.answers.append(text)

    def says(self, *pieces: str) -> Guest:
        for piece in pieces:
            self.watch.see(piece.encode())
        return self

    def ends(self, result: RunResult) -> tuple[Outcome, str]:
        self.watch.finish()
        verdict = decide(self.wanted, self.watch, STOPPED if self.stops else result, 0.0)
        return verdict.outcome, verdict.reason


def patterns(*texts: str) -> tuple[re.Pattern[str], ...]:
    return tuple(parse_pattern("--expect", text) for text in texts)


@pytest.mark.parametrize("text", ["(", "*", "[a", "(?P<x", "a{2,1}", "(?z)", "x" * 5000, "(" * 4000, "\\"])
def test_what_is_no_regular_expression_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--expect: ") as refused:
        parse_pattern("--expect", text)
    assert "\n" not in str(refused.value)


def test_a_pattern_that_python_warns_of_is_one(recwarn: pytest.WarningsRecorder) -> None:
    assert parse_pattern("--expect", "[[a]").search("[") is not None
    assert not recwarn.list


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("login: =root", Answer("login: ", b"root\n")),
        ("# =A=B", Answer("# ", b"A=B\n")),
        (r"key=x\c", Answer("key", b"x")),
        (r"key=\x03\t\\\e\0\c", Answer("key", b"\x03\t\\\x1b\0")),
        (r"a\x3db=c", Answer("a=b", b"c\n")),
        ("é=ü", Answer("é", "ü\n".encode())),
        ("> =", Answer("> ", b"\n")),
        ("=at once", Answer("", b"at once\n")),
    ],
)
def test_an_answer(text: str, answer: Answer) -> None:
    assert parse_answer("--send", text) == answer


@pytest.mark.parametrize("text", ["", "prompt", r"a\nb=c", r"a=\q", "a=\\", r"a=\x1", r"\r=x"])
def test_what_is_no_answer_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--send: "):
        parse_answer("--send", text)


def test_a_guest_passes_by_its_status_alone() -> None:
    assert Guest(Wanted()).says("hello\n").ends(OFF) == (Outcome.PASSED, "")
    assert Guest(Wanted()).ends(STUCK) == (Outcome.FAILED, "the guest hangs")


@pytest.mark.parametrize(("status", "outcome"), [(123, Outcome.PASSED), (0, Outcome.FAILED)])
def test_another_status_may_be_expected(status: int, outcome: Outcome) -> None:
    assert Guest(Wanted(status=status)).ends(STUCK)[0] is outcome


def test_a_status_may_mean_that_it_was_skipped() -> None:
    exited = RunResult(Ending.EXITED, 77, "the guest exited with status 77")
    assert Guest(Wanted(skip_statuses=(77,))).ends(exited)[0] is Outcome.SKIPPED
    assert Guest(Wanted(skip_statuses=(76,))).ends(exited)[0] is Outcome.FAILED
    assert Guest(Wanted(skip_statuses=(77,))).says("1..1\nnot ok 1\n").ends(exited)[0] is Outcome.FAILED


def test_a_guest_is_stopped_once_it_has_printed_all_that_is_expected_in_whatever_order() -> None:
    guest = Guest(Wanted(patterns("one", "^two$"))).says("two\n")
    assert guest.stops == []
    assert guest.says("number one\n").stops == ["printed everything that was expected"]
    assert guest.ends(STUCK) == (Outcome.PASSED, "")


def test_nothing_counts_that_is_printed_after_that() -> None:
    guest = Guest(Wanted(patterns("done"), patterns("panic"))).says("done\npanic\n", "panic\n")
    assert guest.ends(STUCK) == (Outcome.PASSED, "")


def test_what_must_not_be_printed_comes_first_and_stops_the_guest() -> None:
    guest = Guest(Wanted(patterns("x"), patterns("BUG: (.*)"))).says("BUG: x\n")
    assert guest.stops == ["printed what --fail forbids"]
    assert guest.ends(STUCK) == (Outcome.FAILED, "--fail 'BUG: (.*)' matches: BUG: x")


def test_a_prompt_that_is_no_line_counts_too() -> None:
    assert Guest(Wanted(patterns("login: $"))).says("login: ").stops


def test_what_is_missing_is_named() -> None:
    outcome, reason = Guest(Wanted(patterns("one", "two"))).says("one\n").ends(STUCK)
    assert (outcome, reason) == (Outcome.FAILED, "--expect 'two' matches no line; the guest hangs")


def test_with_a_status_both_count() -> None:
    guest = Guest(Wanted(patterns("one"), status=0)).says("one\n")
    assert guest.stops == []
    assert guest.ends(STUCK)[0] is Outcome.FAILED
    assert Guest(Wanted(patterns("one"), status=0)).says("one\n").ends(OFF)[0] is Outcome.PASSED


def test_tests_that_have_begun_are_waited_for() -> None:
    guest = Guest(Wanted(patterns("1..2"))).says("1..2\nok 1\n")
    assert guest.stops == []
    assert guest.says("not ok 2 - b\n").stops
    assert guest.ends(STUCK) == (Outcome.FAILED, "1 of 2 tests failed: b")


def test_tests_that_fail_are_named_as_far_as_there_is_room() -> None:
    text = "1..5\n" + "".join(f"not ok {number} - t{number}\n" for number in range(1, 6))
    assert Guest(Wanted()).says(text).ends(OFF) == (Outcome.FAILED, "5 of 5 tests failed: t1, t2, t3 and 2 more")


def test_a_guest_that_skips_all_is_skipped() -> None:
    assert Guest(Wanted()).says("1..0 # SKIP no disk\n").ends(OFF) == (Outcome.SKIPPED, "no disk")
    assert Guest(Wanted()).says("1..0 # SKIP no disk\n").ends(STUCK)[0] is Outcome.FAILED


def test_prompts_are_answered_in_turn_and_each_once() -> None:
    wanted = Wanted(answers=(Answer("$ ", b"a\n"), Answer("$ ", b"b\n"), Answer("> ", b"c\n")))
    guest = Guest(wanted).says("$ ")
    assert guest.answers == [b"a\n"]
    guest.says("a\n", "> no turn of this one yet\n")
    assert guest.answers == [b"a\n"]
    guest.says("$ ", "b> ")
    assert guest.answers == [b"a\n", b"b\n", b"c\n"]
    assert guest.watch.unanswered is None


def test_a_prompt_inside_a_line_is_answered_and_colours_do_not_hide_it() -> None:
    assert Guest(Wanted(answers=(Answer("go? ", b"y"),))).says("\x1b[1mgo\x1b[0m? [yn]\n").answers == [b"y"]


def test_what_needs_no_prompt_is_sent_at_once_and_behind_the_answer_before_it() -> None:
    wanted = Wanted(
        answers=(Answer("", b"a"), Answer("", b"b"), Answer("> ", b"c"), Answer("", b"d"), Answer("", b"e"))
    )
    guest = Guest(wanted)
    guest.watch.begin()
    assert guest.answers == [b"a", b"b"]
    guest.says("> ")
    assert guest.answers == [b"a", b"b", b"c", b"d", b"e"]


def test_while_prompts_are_awaited_only_complete_lines_are_matched() -> None:
    wanted = Wanted(patterns("^ok$"), answers=(Answer("# ", b"a"),))
    guest = Guest(wanted).says("o", "k", "ay\n", "# ")
    assert (guest.stops, guest.is_answered) == ([], True)
    assert guest.says("a\n", "ok").stops
