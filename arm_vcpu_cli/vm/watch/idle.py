"""Handles a guest that waits (WFI): how long, for which event, and whether in vain."""

from __future__ import annotations

import time
from typing import Any, Final

from arm_vcpu_cli.saved import Saved
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.timeline import LIMITS, NEVER

_VERSION: Final = 1
"""The version of a saved state."""
_NANOSECONDS: Final = 1_000_000_000
_INEXACT: Final = 1_000_000
"""Nanoseconds by which a sleep may seem to end early, because floating-point seconds are inexact."""
_IDLE_PERCENT: Final = 90
"""The share of its time that an idle guest waits, at least."""


class IdleTime:
    """The time that a guest has mostly waited since it last printed. Times are nanoseconds of guest time, ``printed``
    is the number of bytes that it has printed by then."""

    def __init__(self) -> None:
        self._since = 0
        self._waited = 0
        self._printed = 0

    def save(self) -> dict[str, Any]:
        """Return the state as plain data."""
        return {"version": _VERSION, "since": self._since, "waited": self._waited, "printed": self._printed}

    def load(self, state: object) -> None:
        """Restore the state that :meth:`save` returned. Raises ValueError, without any change, for any other state."""
        saved = Saved(state, "idle", version=_VERSION)
        self._since, self._waited, self._printed = (saved.integer(name) for name in ("since", "waited", "printed"))

    def waited(self, begun: int, ended: int, printed: int) -> None:
        """Record a wait of the guest from ``begun`` to ``ended``."""
        if printed != self._printed:
            self._printed = printed
            self._since = begun
            self._waited = 0
        self._waited += ended - begun

    def seconds(self, now: int, printed: int) -> float:
        """The seconds that it has been idle; 0.0 if it is not idle."""
        span = now - self._since
        if printed != self._printed or self._waited * 100 < span * _IDLE_PERCENT:
            return 0.0
        return span / _NANOSECONDS


def wait_for_interrupt(machine: Machine) -> bool:
    """Let time pass, with all CPUs waiting, until one has an interrupt and the turn; False if none ever will.

    Under the instruction clock waiting takes no host time, unless input may still arrive: then the host sleeps for the
    whole wait, so that a guest at its prompt costs nothing. The wait also ends, without an interrupt, when the run is
    stopped or has reached a limit.
    """
    timeline, scheduler = machine.timeline, machine.scheduler
    while True:
        deadline = timeline.next_deadline()
        listening = machine.input.listening()
        if deadline is None and not listening:
            return False
        limit = timeline.due(LIMITS)
        if limit != NEVER:
            deadline = limit if deadline is None else min(deadline, limit)
        if timeline.follows_host or (listening and not machine.input.repeating):
            if not _sleep(machine, deadline):
                return True
            # Not later than the deadline, so that a run that repeats this without sleeping does the same.
            scheduler.wake_at(timeline.now() if deadline is None else min(timeline.now(), deadline))
        elif deadline is not None:
            scheduler.wake_at(deadline)
        if scheduler.choose() is not None or machine.seen_enough is not None:
            return True


def _sleep(machine: Machine, deadline: int | None) -> bool:
    """Sleep on the host until the deadline (nanoseconds of the guest) or input; False if the run was stopped."""
    timeline, console = machine.timeline, machine.console
    if console.wait_for_input(0):
        # Input that is already available, such as the rest of a file, arrives without guest time passing.
        machine.input.deliver()
        return True
    begun, asleep_at = time.monotonic_ns(), timeline.now()
    left = None if deadline is None else max(deadline - asleep_at, 0)
    arrived = console.wait_for_input(None if left is None else left / _NANOSECONDS)
    slept = time.monotonic_ns() - begun
    if left is not None and not arrived and slept + _INEXACT >= left:
        slept = left
    timeline.skip_to(asleep_at + (slept if left is None else min(slept, left)))
    if arrived:
        machine.input.deliver()
        return True
    return left is not None and slept >= left
