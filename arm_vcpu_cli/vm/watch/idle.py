"""A guest that waits (WFI): until when, for whom, and whether in vain."""

from __future__ import annotations

import time
from typing import Final

from arm_vcpu_cli.vm.builder import Machine

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
    """Let time pass until a virtual interrupt is pending; False if none will ever be.

    Under the instruction clock waiting takes no time of the host, unless somebody may still type: then it is waited
    out, so that a guest at its prompt costs nothing. It also ends, without an interrupt, when the run is stopped.
    """
    vcpu, clock = machine.arch_vcpu, machine.clock
    machine.input.deliver()
    clock.expire()
    while not vcpu.interrupt_pending:
        deadline = clock.next_deadline()
        listening = machine.input.listening()
        if deadline is None and not listening:
            return False
        if clock.follows_host or listening:
            if not _sleep(machine, deadline):
                return True
        elif deadline is not None:
            clock.skip_to(deadline)
        clock.expire()
    return True


def _sleep(machine: Machine, deadline: int | None) -> bool:
    """Sleep on the host until the deadline (nanoseconds of the guest) or input; False if the run was stopped."""
    clock, console = machine.clock, machine.console
    if console.wait_for_input(0):
        # It takes none of the guest's time that the host sees what is there already, such as more of a file.
        machine.input.deliver()
        return True
    begun, asleep_at = time.monotonic_ns(), clock.now()
    left = None if deadline is None else max(deadline - asleep_at, 0)
    arrived = console.wait_for_input(None if left is None else left / _NANOSECONDS)
    slept = time.monotonic_ns() - begun
    if left is not None and not arrived and slept + _INEXACT >= left:
        slept = left
    clock.skip_to(asleep_at + (slept if left is None else min(slept, left)))
    if arrived:
        machine.input.deliver()
        return True
    return left is not None and slept >= left
