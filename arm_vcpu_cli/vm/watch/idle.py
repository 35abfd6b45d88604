"""A guest that waits (WFI): until when, for what, and whether in vain."""

from __future__ import annotations

import time
from typing import Any, Final

from arm_vcpu_cli.saved import Saved
from arm_vcpu_cli.vm.machine import Machine

_VERSION: Final = 1
"""Of a saved state."""
_NANOSECONDS: Final = 1_000_000_000
_INEXACT: Final = 1_000_000
"""Nanoseconds by which a sleep may seem to have ended too early: seconds in floating point are not exact."""
_IDLE_PERCENT: Final = 90
"""How much of its time a guest has to wait to count as idle."""


class IdleTime:
    """How long a guest has done little but wait, since it last printed something. Times are nanoseconds of its own,
    ``printed`` is how many bytes it has printed until then."""

    def __init__(self) -> None:
        self._since = 0
        self._waited = 0
        self._printed = 0

    def save(self) -> dict[str, Any]:
        """All of it, as plain data."""
        return {"version": _VERSION, "since": self._since, "waited": self._waited, "printed": self._printed}

    def load(self, state: object) -> None:
        """Take what :meth:`save` gave. ValueError, and nothing changes, if it is something else."""
        saved = Saved(state, "idle", version=_VERSION)
        self._since, self._waited, self._printed = (saved.integer(name) for name in ("since", "waited", "printed"))

    def waited(self, begun: int, ended: int, printed: int) -> None:
        """The guest has waited from ``begun`` to ``ended``."""
        if printed != self._printed:
            self._printed = printed
            self._since = begun
            self._waited = 0
        self._waited += ended - begun

    def seconds(self, now: int, printed: int) -> float:
        """For how long it has been idle; 0.0 if it is not."""
        span = now - self._since
        if printed != self._printed or self._waited * 100 < span * _IDLE_PERCENT:
            return 0.0
        return span / _NANOSECONDS


def wait_for_interrupt(machine: Machine) -> bool:
    """With all CPUs waiting, let time pass until one has an interrupt and its turn; False if none ever will.

    Under the instruction clock waiting takes no time of the host, unless somebody may still type: then it is waited
    out, so that a guest at its prompt costs nothing. It also ends, without an interrupt, when the run is stopped.
    """
    timeline, scheduler = machine.timeline, machine.scheduler
    while True:
        deadline = timeline.next_deadline()
        listening = machine.input.listening()
        if deadline is None and not listening:
            return False
        if timeline.follows_host or listening:
            if not _sleep(machine, deadline):
                return True
            scheduler.wake_at(timeline.now())
        elif deadline is not None:
            scheduler.wake_at(deadline)
        if scheduler.choose() is not None:
            return True


def _sleep(machine: Machine, deadline: int | None) -> bool:
    """Sleep on the host until the deadline (nanoseconds of the guest) or input; False if the run was stopped."""
    timeline, console = machine.timeline, machine.console
    if console.wait_for_input(0):
        # It takes none of the guest's time that the host sees what is there already, such as more of a file.
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
