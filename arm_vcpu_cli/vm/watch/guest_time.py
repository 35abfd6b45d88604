"""Limits of a run in guest time: under the instruction clock, every run ends at the same instruction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from arm_vcpu_cli.vm.diagnosis import place_of
from arm_vcpu_cli.vm.machine import Machine

_NANOSECONDS: Final = 1_000_000_000


def end_in_time(machine: Machine) -> None:
    """End the run when ``limits.guest_timeout`` seconds of guest time have passed from now on."""
    _limit(machine, machine.description.limits.guest_timeout)


@contextmanager
def limited(machine: Machine, seconds: float) -> Iterator[None]:
    """Stop the guest of a started machine once ``seconds`` of guest time have passed inside the context."""
    lift = _limit(machine, seconds)
    try:
        yield
    finally:
        lift()


def _limit(machine: Machine, seconds: float) -> partial[None]:
    """Set a limit from now on; return the function that removes it."""
    alarm = machine.timeline.limit(partial(_end, machine, seconds))
    alarm.set_at(machine.timeline.now() + round(seconds * _NANOSECONDS))
    return partial(machine.timeline.lift, alarm)


def _end(machine: Machine, seconds: float) -> None:
    machine.seen_enough = f"stopped after {seconds:g} s of guest time at {place_of(machine)}"
