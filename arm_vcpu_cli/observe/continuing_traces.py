"""Traces the rest of a run that was underway before, with the same events as a trace of the whole run.

Most of what a tracer needs is in the state of the machine. The rest is in notes: when interrupts began that have not
ended, and the line that the guest is printing. They are taken where a later tracer may need them, and cost nothing at
exits.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from arm_vcpu_cli.axvcpu.exit import Halt, SystemDown
from arm_vcpu_cli.axvcpu.vcpu import VCpuState
from arm_vcpu_cli.observe.describing import EventDescriber
from arm_vcpu_cli.observe.tracing import MOMENTARY, Tracer
from arm_vcpu_cli.observe.tracing_options import TraceOptions
from arm_vcpu_cli.observe.vcpu_times import VcpuTimes
from arm_vcpu_cli.saved import Saved
from arm_vcpu_cli.trace.event import IRQ, STATE, TraceEnd, TraceEvent, TraceHeader
from arm_vcpu_cli.trace.selection import Selection
from arm_vcpu_cli.vm.machine import LINE, Machine

_RAISED: Final = "raised"
_ACKNOWLEDGED: Final = "acknowledged"
_TIMES: Final = "times"
_OPEN: Final = MOMENTARY.index("_open")
_LAST: Final = 1 << 73
"""Nanoseconds; larger than any time."""
_WAITING: Final = (Halt.__name__, SystemDown.__name__)
"""Exits of a vCPU that waits."""


class _Nowhere:
    """A sink that drops everything."""

    def header(self, header: TraceHeader) -> None:
        """Drop the header."""

    def event(self, event: TraceEvent) -> None:
        """Drop an event."""

    def end(self, end: TraceEnd) -> None:
        """Drop the end."""

    def summary(self, counts: Mapping[str, int], total: int) -> None:
        """Drop the summary."""


def note_for_tracers(machine: Machine) -> None:
    """Take notes of what a later tracer of the continued run needs. Call it for a machine that is about to run; exits
    are not observed."""
    times = VcpuTimes(machine)
    options = TraceOptions(selection=Selection(types=frozenset({IRQ, STATE})))
    describer = EventDescriber.for_machine(machine)
    tracer = Tracer(_Nowhere(), describer, options, clock=times.now, clock_of=times.of, vcpus=len(machine.cpus))
    tracer.shut()
    if machine.gic is not None:
        machine.gic.watch(tracer.interrupt)
    for cpu in machine.cpus:
        cpu.vcpu.observe_state(partial(tracer.state, cpu.index))
    machine.take_notes = partial(_notes, tracer, times)
    if machine.goes_on:
        hold(machine, tracer, times)


def hold(machine: Machine, tracer: Tracer, times: VcpuTimes) -> None:
    """Hold back a tracer's reports until the machine has its state, and continue from there."""
    was_open = tracer.remembered()[0][_OPEN]
    tracer.shut()
    machine.when_restored.append(partial(_go_on, machine, tracer, times, was_open=was_open))


def _notes(tracer: Tracer, times: VcpuTimes) -> dict[str, Any]:
    raised, acknowledged = tracer.remembered()[2]
    return {
        _RAISED: [[*key, time] for key, time in raised.items()],
        _ACKNOWLEDGED: [[*key, time] for key, time in acknowledged.items()],
        _TIMES: [[vcpu, time] for vcpu, time in times.remembered().items()],
    }


def _go_on(machine: Machine, tracer: Tracer, times: VcpuTimes, *, was_open: bool) -> None:
    """Put a tracer into the state of one that has observed the run from its start."""
    values, tail, latency, number = tracer.remembered()
    notes = Saved(dict(machine.notes), "notes")
    if _TIMES in machine.notes:
        latency = tuple(
            {(cpu, intid): time for cpu, intid, time in notes.rows(name, 3, _LAST)} for name in (_RAISED, _ACKNOWLEDGED)
        )
        rows = notes.rows(_TIMES, 2, _LAST)
        times.recall({vcpu: time for vcpu, time in rows if vcpu < len(machine.cpus)})
    ran = [cpu for cpu in machine.cpus if cpu.turns or cpu.arch.exits or (cpu.index == 0 and machine.notes)]
    returned = {cpu.index: cpu.arch.save()["returned"] for cpu in ran}
    known = {
        "_open": was_open,
        "_seen": machine.exits,
        "_line": bytearray(notes.data(LINE) if LINE in machine.notes else b""),
        "_begun": set(returned),
        "_exited": {index for index, name in returned.items() if name},
        # A vCPU that was running until it was stopped has no state to report.
        "_held_states": {
            cpu.index: times.of(cpu.index)
            for cpu in ran
            if tracer.wants_states and cpu.vcpu.state is VCpuState.READY and returned[cpu.index] not in _WAITING
        },
    }
    merged = [known.get(name, value) for name, value in zip(MOMENTARY, values, strict=True)]
    tracer.recall((merged, tail, latency, number))
    if tracer.at_exit is not None:
        # This tracer has not seen where the vectors are.
        tracer.at_exit()
