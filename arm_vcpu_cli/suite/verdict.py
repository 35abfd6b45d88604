"""Decides whether a guest has passed, and why not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from arm_vcpu_cli.printable import printable
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.suite.cases import Outcome, Protocol
from arm_vcpu_cli.suite.console_watch import ConsoleWatch
from arm_vcpu_cli.suite.expectations import Wanted
from arm_vcpu_cli.vm.endings import STATUS_OFF, Ending, RunResult

_MOST_NAMES: Final = 3
_STOPPED: Final = "stopped"
_NO_TESTS: Final = Protocol(seen=False)


class Verdict(Record):
    """The judgement on one run of a guest. ``status`` and ``ending`` are those of ``armvcpu run``, unless the guest was
    stopped because its result was known; ``guest_seconds`` is the time by the guest's clock, and ``report`` the short
    report on a guest that died or hung."""

    outcome: Outcome
    reason: str = ""
    status: int | None = None
    ending: str = ""
    exits: int = 0
    guest_seconds: float = 0.0
    protocol: Protocol = _NO_TESTS
    report: tuple[str, ...] = ()


def decide(wanted: Wanted, watch: ConsoleWatch, result: RunResult, guest_seconds: float) -> Verdict:
    """Return the verdict on a finished run."""
    protocol = watch.tap.finish()
    outcome, reason = _outcome(wanted, watch, result, protocol)
    status, ending = (None, _STOPPED) if watch.is_over else (result.status, result.ending.value)
    return Verdict(outcome, reason, status, ending, result.exits, guest_seconds, protocol)


def _outcome(wanted: Wanted, watch: ConsoleWatch, result: RunResult, protocol: Protocol) -> tuple[Outcome, str]:
    if watch.failed is not None:
        pattern, line = watch.failed
        return Outcome.FAILED, f"--fail {_quoted(pattern.pattern)} matches: {printable(line.strip())}"
    reasons = [*_of_tests(protocol)]
    reasons += [f"--expect {_quoted(pattern.pattern)} matches no line" for pattern in watch.missing]
    if watch.missing and watch.unanswered is not None:
        reasons.append(f"the prompt {_quoted(watch.unanswered.prompt)} never appeared")
    judged = not wanted.stops_early or bool(watch.missing)
    wrong = judged and result.status != (STATUS_OFF if wanted.status is None else wanted.status)
    if wrong and result.status in wanted.skip_statuses and result.ending is Ending.EXITED and not reasons:
        return Outcome.SKIPPED, result.message
    if wrong or watch.missing or (judged and protocol.problems):
        reasons.append(result.message)
    if reasons:
        return Outcome.FAILED, "; ".join(reasons)
    if protocol.skipped is not None:
        return Outcome.SKIPPED, printable(protocol.skipped)
    return Outcome.PASSED, ""


def _of_tests(protocol: Protocol) -> Iterator[str]:
    failed = protocol.count(Outcome.FAILED)
    if failed:
        names = [printable(case.name) for case in protocol.cases if case.outcome is Outcome.FAILED]
        more = f" and {failed - _MOST_NAMES} more" if failed > _MOST_NAMES else ""
        total = len(protocol.cases) + sum(number for _, number in protocol.left_out)
        yield f"{failed} of {total} tests failed: {', '.join(names[:_MOST_NAMES])}{more}"
    for problem in protocol.problems:
        yield printable(problem)


def _quoted(text: str) -> str:
    return f"'{printable(text)}'"
