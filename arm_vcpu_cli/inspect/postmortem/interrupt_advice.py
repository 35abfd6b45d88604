"""Interrupts that never arrive: which of those that a guest may await to report at the end of its run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from arm_vcpu_cli.arch.registers.gicregs import FIRST_SPI
from arm_vcpu_cli.devices.gic.gates.gate import Gate
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.evidence import Evidence
from arm_vcpu_cli.inspect.postmortem.held_advice import held_advice
from arm_vcpu_cli.inspect.postmortem.report_wanted import was_stopped
from arm_vcpu_cli.inspect.postmortem.storm_advice import is_in_interrupt_handler
from arm_vcpu_cli.vm.awaited import Awaited, awaited_interrupts
from arm_vcpu_cli.vm.cpu import Activity
from arm_vcpu_cli.vm.diagnosis import in_handler
from arm_vcpu_cli.vm.endings import Ending, RunResult
from arm_vcpu_cli.vm.machine import Machine

_LONG: Final = 1.0
"""A guest quiet or idle for this many seconds is not just about to take an interrupt."""
_OF_HANDLERS: Final = (Gate.MASKED, Gate.NOT_ENDED, Gate.RUNNING)
"""The gates that are closed while a handler runs."""
_MOST: Final = 4
"""The most interrupts reported."""


def held_interrupts(machine: Machine, result: RunResult | None) -> tuple[Awaited, ...]:
    """The interrupts whose gates explain the end of a run, most significant first.

    For a guest that makes no progress these are all of them, unless it is in the handler of a failure, which masks
    interrupts. A guest that was stopped may be healthy: then only interrupts pending at a CPU that has long been idle
    count, and no timer counts if another timer of the same CPU will fire. A CPU in WFI may mask interrupts, and a
    disabled timer is not an error.
    """
    if result is None or not (was_stopped(result) or result.ending is Ending.NO_PROGRESS):
        return ()
    every = awaited_interrupts(machine)
    held = [each for each in every if each.closed and not _is_masked_by_a_failure(machine, each)]
    if not was_stopped(result):
        meant = [each for each in held if each.may_be_meant]
        if all(each.closed[0].gate is Gate.DEVICE_MASKED for each in meant):
            # A device may be unused, like a timer that is off; which of them was forgotten is unknown.
            meant += [each for each in held if not each.may_be_meant]
        return tuple(meant)
    return tuple(each for each in held if _explains(machine, result, each, every))


def _explains(machine: Machine, result: RunResult, awaited: Awaited, every: Sequence[Awaited]) -> bool:
    if awaited.closed[0].gate is Gate.TIMER_OFF or not (awaited.pending or _has_fired(awaited)):
        return False
    if awaited.cpu is None:
        return result.idle >= _LONG or result.quiet >= _LONG
    cpu = machine.cpus[awaited.cpu]
    if cpu is machine.current and awaited.closed[0].gate in _OF_HANDLERS and is_in_interrupt_handler(machine):
        # Exception entry masked it, not the guest, and the handler has not finished.
        return False
    if awaited.intid < FIRST_SPI and _has_another_timer(awaited, every):
        return False
    if cpu.activity is Activity.WAITING or result.idle >= _LONG:
        # An idle guest may have just woken for a timer.
        return result.idle >= _LONG and awaited.is_held
    # A CPU that is off starts only by CPU_ON, whatever is pending there.
    return result.quiet >= _LONG and cpu.activity is Activity.RUNNING


def _is_masked_by_a_failure(machine: Machine, awaited: Awaited) -> bool:
    """Whether only the exception that the CPU is handling holds the interrupt back."""
    if awaited.cpu is None or awaited.closed[0].gate is not Gate.MASKED:
        return False
    return bool(in_handler(machine, machine.cpus[awaited.cpu]))


def _has_fired(awaited: Awaited) -> bool:
    return awaited.timer is not None and awaited.timer.has_fired


def _has_another_timer(awaited: Awaited, every: Sequence[Awaited]) -> bool:
    """Whether another timer of the same CPU will fire unimpeded."""
    return any(
        each.timer is not None and each.cpu == awaited.cpu and not each.is_held and not each.timer.is_endless
        for each in every
        if each is not awaited
    )


def interrupt_advice(evidence: Evidence) -> list[Advice]:
    """The gate that holds back each interrupt, and the write that opens it."""
    found = [held_advice(each, evidence) for each in evidence.held[:_MOST]]
    rest = len(evidence.held) - _MOST
    if rest > 0:
        found.append(Advice(f"{rest} more interrupts are held back.", "armvcpu walk --interrupts lists them all"))
    return found
