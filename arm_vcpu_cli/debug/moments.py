"""Moments of a run as users write them, and the search for a moment by its time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.debug.target import Reason, Stop, Target

SECOND: Final = 1_000_000_000
_UNITS: Final[Mapping[str, int]] = MappingProxyType({"s": SECOND, "ms": 1_000_000, "us": 1_000, "ns": 1})
_TIME: Final = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,9}))?(s|ms|us|ns)", re.ASCII)
_DIGITS: Final = 9


def nanoseconds(text: str) -> int | None:
    """Parse a time such as ``1.5s`` or ``20ms`` into nanoseconds; None if it is not a time."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    scale, fraction = _UNITS[found[3]], found[2] or ""
    return int(found[1]) * scale + int(fraction.ljust(_DIGITS, "0")) * scale // SECOND


def goto_time(target: Target, wanted: int) -> Stop:
    """Go to the last moment whose time is not after ``wanted`` nanoseconds, or to the end of the run.

    Only instruction counts can be visited, so this searches for the right one. Time mostly advances in proportion to
    them, but jumps while all vCPUs wait.
    """
    low, high = (0, 0), target.position()
    before = (high.instructions, high.nanoseconds)
    factor = 1
    while before[1] <= wanted:
        low = before
        # A nanosecond is at least one instruction, because several vCPUs share it. Do not go much further, because the
        # guest may print there.
        stop = target.goto(low[0] + max(wanted - low[1], 1) * factor)
        at = target.position()
        before = (at.instructions, at.nanoseconds)
        if before[1] <= wanted and (stop.reason is Reason.ENDED or before == low):
            return stop
        factor *= 2
    return _between(target, low, before, wanted)


def _between(target: Target, low: tuple[int, int], high: tuple[int, int], wanted: int) -> Stop:
    """Go to the last matching moment between ``low``, which is early enough, and ``high``, which is not: (instructions,
    time)."""
    halves = False
    while high[0] - low[0] > 1:
        span = high[0] - low[0]
        guess = span // 2 if halves else span * (wanted - low[1]) // max(high[1] - low[1], 1)
        halves = not halves
        target.goto(low[0] + min(max(guess, 1), span - 1))
        at = target.position()
        found = (at.instructions, at.nanoseconds)
        if found[1] <= wanted:
            low = found
        else:
            high = found
    return target.goto(low[0])
