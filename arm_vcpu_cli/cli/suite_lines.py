"""The text output of a suite: a line for each guest, the details of failures, and a summary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.printable import LONGEST_LINE, console_text, printable, printable_path
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.suite.cases import Outcome, Protocol
from arm_vcpu_cli.suite.keeping import Kept
from arm_vcpu_cli.suite.pool import Result

WORDS: Final = MappingProxyType(
    {
        Outcome.PASSED: "PASS",
        Outcome.FAILED: "FAIL",
        Outcome.SKIPPED: "SKIP",
        Outcome.ERROR: "ERROR",
        Outcome.NOT_RUN: "-",
    }
)
_WORD: Final = max(map(len, WORDS.values()))
_LONGEST_NAME: Final = 60
_CONSOLE_LINES: Final = 20
_MOST_CASES: Final = 10
_MOST_DETAILS: Final = 12
FAILED: Final = (Outcome.FAILED, Outcome.ERROR)


class Part(Record):
    """A part of a line with its role: an outcome's name, ``name``, ``faint``, ``heading`` or empty."""

    text: str
    role: str = ""


Line = Sequence[Part]


def plain(line: Line) -> str:
    """Return a line without its roles."""
    return "".join(part.text for part in line).rstrip()


def name_width(guests: Sequence[object]) -> int:
    """Return the number of columns for the names of these guests."""
    return min(max((len(printable(str(guest))) for guest in guests), default=0), _LONGEST_NAME)


def result_line(result: Result, width: int) -> Line:
    """Return the line for a guest."""
    verdict = result.verdict
    name = printable_path(result.guest)
    notes = [verdict.reason] if verdict.reason else []
    if not verdict.reason and verdict.protocol.seen:
        notes.append(_tests(verdict.protocol))
    if result.attempts > 1:
        notes.append(f"attempt {result.attempts}")
    seconds = f"{result.seconds:8.2f} s" if result.attempts else " " * 10
    return (
        Part(f"{WORDS[verdict.outcome]:<{_WORD}}  ", verdict.outcome.value),
        Part(f"{name:<{width}}", "name"),
        Part(f"{seconds}  ", "faint"),
        Part(printable("; ".join(notes), LONGEST_LINE)),
    )


def _tests(protocol: Protocol) -> str:
    total = len(protocol.cases) + sum(number for _, number in protocol.left_out)
    odd = [
        f"{number} {outcome.value}"
        for outcome in (Outcome.SKIPPED, Outcome.EXPECTED_FAILURE)
        if (number := protocol.count(outcome))
    ]
    return ", ".join([_counted(total, "test"), *odd])


def failure_lines(result: Result, kept: Kept) -> Iterator[Line]:
    """Yield the lines about a guest that has failed."""
    verdict = result.verdict
    yield ()
    yield (
        Part(f"{WORDS[verdict.outcome]}  ", verdict.outcome.value),
        Part(printable_path(result.guest), "heading"),
    )
    yield (Part(f"  {printable(verdict.reason, LONGEST_LINE)}"),)
    failed = [case for case in verdict.protocol.cases if case.outcome is Outcome.FAILED]
    for case in failed[:_MOST_CASES]:
        reason = f" ({printable(case.reason)})" if case.reason else ""
        yield (Part("  not ok  ", Outcome.FAILED.value), Part(f"{printable(case.name)}{reason}"))
        for text in case.detail[-_MOST_DETAILS:]:
            yield (Part(f"    {printable(text, LONGEST_LINE)}", "faint"),)
    if len(failed) > _MOST_CASES:
        yield (Part(f"  and {len(failed) - _MOST_CASES} more"),)
    # The lines of the failed tests already give the reason.
    lines = [] if failed and not verdict.protocol.problems else [console_text(raw) for raw in result.tail.split(b"\n")]
    while lines and not lines[-1].strip():
        lines.pop()
    if lines:
        cut = len(lines) > _CONSOLE_LINES
        yield (Part(f"  console{f', last {_CONSOLE_LINES} lines' if cut else ''}:", "faint"),)
        for text in lines[-_CONSOLE_LINES:]:
            yield (Part("  | ", "faint"), Part(printable(text.expandtabs(), LONGEST_LINE)))
    for text in verdict.report:
        yield (Part(f"  {printable(text, LONGEST_LINE)}"),)
    for kind, path in kept.items():
        yield (Part(f"  {kind}: ", "faint"), Part(printable_path(path)))


def summary_line(results: Sequence[Result], seconds: float) -> Line:
    """Return the summary of all results."""
    outcomes = [result.verdict.outcome for result in results]
    words = [
        Part(f"{number} {outcome.value}", outcome.value)
        for outcome in (Outcome.PASSED, Outcome.FAILED, Outcome.ERROR, Outcome.SKIPPED, Outcome.NOT_RUN)
        if (number := outcomes.count(outcome))
    ]
    commas = [part for word in words for part in (word, Part(", "))][:-1]
    return (Part(f"{_counted(len(results), 'guest')} in {seconds:.1f} s: ", "heading"), *commas, *_test_counts(results))


def _test_counts(results: Sequence[Result]) -> Iterator[Part]:
    protocols = [result.verdict.protocol for result in results if result.verdict.protocol.seen]
    if not protocols:
        return
    counts = [
        f"{number} {outcome.value}" for outcome in Outcome if (number := sum(each.count(outcome) for each in protocols))
    ]
    yield Part(f"; tests: {', '.join(counts) or 'none'}", "faint")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
