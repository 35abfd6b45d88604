"""Looking at a vCPU of a stopped machine without a trace of that in the guest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from arm_vcpu_cli.vm.machine import Machine


@contextmanager
def looking_at(machine: Machine, vcpu: int) -> Iterator[Machine]:
    """The machine, with ``vcpu`` as the current one."""
    before = machine.current
    if vcpu == before.index:
        yield machine
        return
    machine.look_at(machine.cpus[vcpu])
    try:
        yield machine
    finally:
        machine.look_at(before)
