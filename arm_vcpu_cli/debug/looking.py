"""Access to a vCPU of a stopped machine that the guest cannot notice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from arm_vcpu_cli.vm.cpu import Cpu
from arm_vcpu_cli.vm.machine import Machine


@contextmanager
def looking_at(machine: Machine, vcpu: int) -> Iterator[Machine]:
    """Make ``vcpu`` current on its core inside the context.

    The vCPU that was on that core returns afterwards with its exclusive monitor intact: a switch by the scheduler would
    have cleared it.
    """
    before, cpu = machine.current, machine.cpus[vcpu]
    if cpu is before:
        yield machine
        return
    resident = next((each for each in machine.cpus if each.core is cpu.core and _is_there(each)), None)
    exclusive = 0 if resident is None else _exclusive(resident)[0]
    machine.look_at(cpu)
    try:
        yield machine
    finally:
        machine.scheduler.current = before
        if resident is not None:
            resident.arch.synchronise()
            _exclusive(resident)[0] = exclusive
            resident.core.restorer(resident.arch.state)()


def _is_there(cpu: Cpu) -> bool:
    residency = cpu.arch.residency
    return residency is not None and residency.here


def _exclusive(cpu: Cpu) -> memoryview:
    """Return the exclusive monitor's mark in the saved state."""
    at = cpu.core.layout.exclusive // 8
    return cpu.arch.state.u64[at : at + 1]
