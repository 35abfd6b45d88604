"""The results of the tests that a guest reports, and of the guest itself."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from arm_vcpu_cli.record import Record


class Outcome(Enum):
    """The outcome of a guest, or of one of its tests."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    EXPECTED_FAILURE = "expected failure"
    """A test that is known to fail, which does not count as a failure."""
    ERROR = "error"
    """A guest that could not be loaded, or whose process died, so its result is unknown."""
    NOT_RUN = "not run"
    """A guest that was never started, or was interrupted."""


class Case(Record):
    """One test that a guest reports. ``detail`` is its output about a failure."""

    name: str
    outcome: Outcome
    reason: str = ""
    detail: tuple[str, ...] = ()


class Protocol(Record):
    """The tests that a guest reports by TAP or KTAP. ``problems`` are violations of the protocol; ``left_out`` counts
    further cases by outcome, beyond the limit for ``cases``."""

    seen: bool
    cases: tuple[Case, ...] = ()
    problems: tuple[str, ...] = ()
    skipped: str | None = None
    left_out: tuple[tuple[Outcome, int], ...] = ()

    def count(self, outcome: Outcome) -> int:
        """Return how many of its tests had this outcome."""
        return count(self.cases, outcome) + dict(self.left_out).get(outcome, 0)


def count(cases: Sequence[Case], outcome: Outcome) -> int:
    """Return how many of these tests had this outcome."""
    return sum(case.outcome is outcome for case in cases)
