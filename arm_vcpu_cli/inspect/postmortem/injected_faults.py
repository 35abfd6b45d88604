"""The faults that a run has injected, and those that it never reached."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from arm_vcpu_cli.board.fault_description import AtInstruction, AtTime
from arm_vcpu_cli.vm.diagnosis import with_symbol
from arm_vcpu_cli.vm.faults.armed_fault import ArmedFault, Injection
from arm_vcpu_cli.vm.machine import Machine

HEADING: Final = "injected faults"
_NANOSECONDS: Final = 1e9


def injected_faults(machine: Machine) -> Iterator[str]:
    """Yield a line for each fault, in the order of their first injections; nothing for a machine without faults."""
    faults = machine.faults
    if faults is None:
        return
    injected = [fault for fault in faults.armed if fault.first is not None]
    for fault in sorted(injected, key=lambda fault: 0 if fault.first is None else fault.first.time):
        yield _injected(machine, fault)
    yield from (_missed(fault) for fault in faults.armed if fault.first is None)


def _injected(machine: Machine, fault: ArmedFault) -> str:
    first, last = fault.first, fault.last
    assert first is not None  # injected_faults
    said = f"fault {first.fault} was injected at {_when(machine, first)}: {first.effect}"
    more = fault.injected - 1
    if last is None or not more:
        return said
    return f"{said}; and {'once' if more == 1 else f'{more} times'} more, the last time at {_when(machine, last)}"


def _when(machine: Machine, injection: Injection) -> str:
    cpu = f" on cpu{injection.vcpu}" if len(machine.cpus) > 1 else ""
    return f"{injection.time / _NANOSECONDS:.9f} s{cpu}, at {with_symbol(machine, injection.pc)}"


def _missed(fault: ArmedFault) -> str:
    trigger, name = fault.description.trigger, fault.description.name
    if fault.injected:
        return f"fault {name} was not injected again: it had been injected before the snapshot"
    if fault.past:
        wait = "its time was before the snapshot"
    elif isinstance(trigger, AtTime):
        wait = "it was still waiting for its vCPU" if fault.seen else "the run ended before its time"
    elif isinstance(trigger, AtInstruction):
        wait = "it was still waiting for its vCPU" if fault.seen else "the run ended before its instruction"
    elif fault.seen >= trigger.count:
        wait = "it was still waiting for its vCPU"
    else:
        wait = f"its trigger occurred {fault.seen} of {trigger.count} time{'' if trigger.count == 1 else 's'}"
    return f"fault {name} was not injected: {wait}"


def injected_lines(machine: Machine) -> list[str]:
    """Return the same lines under a heading, as a section of a report; empty for a machine without faults."""
    lines = [f"  {line}" for line in injected_faults(machine)]
    return [f"{HEADING}:", *lines] if lines else []
