"""A guest that waits (WFI): until when, for whom, and whether in vain."""

from __future__ import annotations

import time
from typing import Final

from arm_vcpu_cli.machine.builder import Machine

_NANOSECONDS: Final = 1_000_000_000


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
    begun, asleep_at = time.monotonic_ns(), clock.now()
    left = None if deadline is None else max(deadline - asleep_at, 0)
    arrived = console.wait_for_input(None if left is None else left / _NANOSECONDS)
    slept = time.monotonic_ns() - begun
    if arrived:
        clock.skip_to(asleep_at + (slept if left is None else min(slept, left)))
        machine.input.deliver()
        return True
    if deadline is None or left is None or slept < left:
        return False
    clock.skip_to(deadline)
    return True
