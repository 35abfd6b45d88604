"""The limit of a run in guest time: under the instruction clock, every run ends at the same instruction."""

from __future__ import annotations

from functools import partial
from typing import Final

from arm_vcpu_cli.vm.diagnosis import place_of
from arm_vcpu_cli.vm.machine import Machine

_NANOSECONDS: Final = 1_000_000_000


def end_in_time(machine: Machine) -> None:
    """Have the run end when ``limits.guest_timeout`` seconds of guest time have passed from now on."""
    alarm = machine.timeline.limit(partial(_end, machine))
    alarm.set_at(machine.timeline.now() + round(machine.description.limits.guest_timeout * _NANOSECONDS))


def _end(machine: Machine) -> None:
    seconds = machine.description.limits.guest_timeout
    machine.seen_enough = f"stopped after {seconds:g} s of guest time at {place_of(machine)}"
