"""What a guest says of its own tests, and what is said of a guest."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from arm_vcpu_cli.record import Record


class Outcome(Enum):
    """Of a guest, or of one of its tests."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    EXPECTED_FAILURE = "expected failure"
    """A test that is known to fail, which is no failure."""
    ERROR = "error"
    """A guest that could not be loaded, or whose process died: nothing is known of what it would have done."""
    NOT_RUN = "not run"
    """A guest whose turn never came, or that was interrupted."""


class Case(Record):
    """One test of a guest, by the protocol that it speaks. ``detail`` is what it has said of a failure."""

    name: str
    outcome: Outcome
    reason: str = ""
    detail: tuple[str, ...] = ()


class Protocol(Record):
    """What a guest has said by TAP or KTAP. ``problems`` are what is wrong with it besides failed tests; ``left_out``
    counts cases by outcome that are not in ``cases`` because there are too many."""

    seen: bool
    cases: tuple[Case, ...] = ()
    problems: tuple[str, ...] = ()
    skipped: str | None = None
    left_out: tuple[tuple[Outcome, int], ...] = ()

    def count(self, outcome: Outcome) -> int:
        """How many of its tests have ended so."""
        return count(self.cases, outcome) + dict(self.left_out).get(outcome, 0)


def count(cases: Sequence[Case], outcome: Outcome) -> int:
    """How many of some tests have ended so."""
    return sum(case.outcome is outcome for case in cases)
