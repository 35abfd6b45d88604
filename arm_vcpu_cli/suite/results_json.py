"""Results as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from arm_vcpu_cli.printable import console_text
from arm_vcpu_cli.suite.cases import Outcome
from arm_vcpu_cli.suite.keeping import Kept
from arm_vcpu_cli.suite.pool import Result

KIND: Final = "armvcpu test results"
VERSION: Final = 1


def results_json(results: Sequence[Result], kept: Sequence[Kept], seconds: float) -> bytes:
    """Return the file. Its lists are in the order of the guests."""
    outcomes = [result.verdict.outcome for result in results]
    plain = {
        "type": KIND,
        "version": VERSION,
        "seconds": round(seconds, 3),
        "guests": {outcome.value: outcomes.count(outcome) for outcome in Outcome if outcome in outcomes},
        "results": [_plain(result, files) for result, files in zip(results, kept, strict=True)],
    }
    return json.dumps(plain, indent=1).encode("ascii") + b"\n"


def _plain(result: Result, kept: Kept) -> dict[str, object]:
    verdict = result.verdict
    protocol = verdict.protocol
    return {
        "guest": str(result.guest),
        "outcome": verdict.outcome.value,
        "reason": verdict.reason,
        "status": verdict.status,
        "ending": verdict.ending or None,
        "exits": verdict.exits,
        "guest_seconds": verdict.guest_seconds,
        "seconds": round(result.seconds, 3),
        "attempts": result.attempts,
        "tests": [
            {"name": case.name, "outcome": case.outcome.value, "reason": case.reason, "detail": list(case.detail)}
            for case in protocol.cases
        ],
        "left_out": {outcome.value: number for outcome, number in protocol.left_out},
        "problems": list(protocol.problems),
        "report": list(verdict.report),
        "console_end": [console_text(line) for line in result.tail.split(b"\n")] if result.tail else [],
        "kept": {kind: str(path) for kind, path in kept.items()},
    }
