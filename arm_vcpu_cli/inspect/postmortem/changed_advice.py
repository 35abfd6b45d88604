"""Advice on code that differs from the loaded file, at the first exception of the failure and at the vectors."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.changed_code import Changed
from arm_vcpu_cli.inspect.postmortem.evidence import Evidence

_BELOW: Final = 0x1000
"""The greatest distance of SP above changed code for the stack to be a plausible cause."""


def overwritten(evidence: Evidence) -> Advice | None:
    """The instruction at the exception differs from the file's."""
    fault = evidence.fault
    if fault is None or fault.changed is None:
        return None
    return Advice(
        f"The code at {fault.place or hex(fault.pc)} has been overwritten: {_words(fault.changed)}",
        _step(fault.changed, fault.sp),
    )


def vectors_overwritten(evidence: Evidence) -> Advice | None:
    """The first instruction of the vector that failed differs from the file's."""
    changed, vector = evidence.vector_changed, evidence.vector
    if changed is None or vector is None:
        return None
    return Advice(
        f"The vector at {vector.pc:#x} (VBAR_EL1 is {evidence.vbar:#x}) has been overwritten: {_words(changed)}",
        _step(changed, vector.sp),
    )


def _words(changed: Changed) -> str:
    now = f"{changed.now:08x} is there now; the file has {changed.loaded:08x}."
    size = changed.end - changed.start
    content = f": {changed.content}" if changed.content else ""
    return f"{now} {size} bytes differ, from {changed.start:#x} to {changed.end - 1:#x}{content}."


def _step(changed: Changed, sp: int) -> str:
    if changed.start - _BELOW < sp <= changed.end + _BELOW:
        return f"SP is {sp:#x}, right there: the stack has grown into the code; give the stack its own memory"
    if changed.behind:
        return f"{changed.behind} ends right before it: look for code that writes beyond its end"
    return f"look for a write that was meant for another address and begins at or before {changed.start:#x}"
