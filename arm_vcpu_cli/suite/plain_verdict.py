"""Converts a verdict to plain data and back: it comes from a process that has run an untrusted guest."""

from __future__ import annotations

import json
from typing import Any, Final

from arm_vcpu_cli.suite.cases import Case, Outcome, Protocol
from arm_vcpu_cli.suite.verdict import Verdict

LONGEST: Final = 1 << 26
"""The maximum size of a verdict in bytes: the maximum number of cases with some lines each."""


def to_bytes(verdict: Verdict) -> bytes:
    """Return the verdict as JSON."""
    protocol = verdict.protocol
    plain = {
        "outcome": verdict.outcome.value,
        "reason": verdict.reason,
        "status": verdict.status,
        "ending": verdict.ending,
        "exits": verdict.exits,
        "guest_seconds": verdict.guest_seconds,
        "seen": protocol.seen,
        "cases": [[case.name, case.outcome.value, case.reason, list(case.detail)] for case in protocol.cases],
        "problems": list(protocol.problems),
        "skipped": protocol.skipped,
        "report": list(verdict.report),
        "left_out": [[outcome.value, number] for outcome, number in protocol.left_out],
    }
    return json.dumps(plain).encode("ascii")


def from_bytes(data: bytes) -> Verdict:
    """Parse what :func:`to_bytes` returned. Raises ValueError for anything else."""
    try:
        plain: Any = json.loads(data.decode("ascii"))
        protocol = Protocol(
            bool(plain["seen"]),
            tuple(
                Case(str(name), Outcome(outcome), str(reason), tuple(map(str, detail)))
                for name, outcome, reason, detail in plain["cases"]
            ),
            tuple(map(str, plain["problems"])),
            None if plain["skipped"] is None else str(plain["skipped"]),
            tuple((Outcome(outcome), int(number)) for outcome, number in plain["left_out"]),
        )
        return Verdict(
            Outcome(plain["outcome"]),
            str(plain["reason"]),
            None if plain["status"] is None else int(plain["status"]),
            str(plain["ending"]),
            int(plain["exits"]),
            float(plain["guest_seconds"]),
            protocol,
            tuple(map(str, plain["report"])),
        )
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"no verdict: {error}") from error
