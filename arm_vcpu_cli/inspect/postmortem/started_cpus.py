"""CPUs that a guest tried to start (PSCI CPU_ON), as the last exits show: the calls that failed, and a CPU's start."""

from __future__ import annotations

from collections.abc import Iterator

from arm_vcpu_cli.arch.smccc import PsciStatus
from arm_vcpu_cli.axvcpu.exit import CpuUp
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.vm.diagnosis import with_symbol
from arm_vcpu_cli.vm.machine import Machine


class RefusedStart(Record):
    """A CPU_ON that failed: the place of the call, its result, and its arguments."""

    place: str
    status: PsciStatus
    target: int
    entry: int


def refused_starts(machine: Machine) -> tuple[RefusedStart, ...]:
    """The calls that could not succeed: for a CPU that does not exist, or to an address without code."""
    affinities = {cpu.affinity for cpu in machine.cpus}
    found = []
    for pc, call in _calls(machine):
        status = machine.power.may_power_down(call.entry_point)
        if call.target_cpu not in affinities:
            status = PsciStatus.INVALID_PARAMETERS
        if status is not PsciStatus.SUCCESS:
            found.append(RefusedStart(with_symbol(machine, pc), status, call.target_cpu, call.entry_point))
    return tuple(dict.fromkeys(found))


def start_of(machine: Machine) -> int | None:
    """The address at which CPU_ON started the current CPU; None for the first CPU, or if the exit is no longer
    recorded."""
    starts = [call.entry_point for _, call in _calls(machine) if call.target_cpu == machine.current.affinity]
    return starts[-1] if starts and machine.current.index else None


def _calls(machine: Machine) -> Iterator[tuple[int, CpuUp]]:
    for cpu in machine.cpus:
        for recent in cpu.arch.recent_exits():
            if isinstance(recent.record.reason, CpuUp):
                yield recent.record.pc, recent.record.reason
