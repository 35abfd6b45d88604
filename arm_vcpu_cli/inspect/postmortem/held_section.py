"""The interrupts that were held back when a guest failed: a hint at a mistake that may have come before the failure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Final

from arm_vcpu_cli.arch.registers.el1regs import Spsr
from arm_vcpu_cli.devices.gic.gates.gate import Gate
from arm_vcpu_cli.inspect.postmortem.evidence import Evidence
from arm_vcpu_cli.inspect.postmortem.held_advice import held_advice
from arm_vcpu_cli.inspect.postmortem.screen import INDENT, WIDTH
from arm_vcpu_cli.vm.awaited import Awaited, awaited_interrupts
from arm_vcpu_cli.vm.endings import Ending
from arm_vcpu_cli.vm.machine import Machine

HEADING: Final = "interrupts held back at the end"

_LINUX: Final = "linux"
_MOST: Final = 2
"""The most interrupts described."""
_LONG: Final = 1.0
"""A timer that fired this many seconds ago was forgotten, not just about to be handled."""
_ALL_OFF: Final = frozenset({Gate.ENABLE, Gate.DISTRIBUTOR, Gate.INTERFACE})
"""The gates that are closed in a GIC that the guest has never touched."""
_WAYS: Final = frozenset(
    {
        Gate.TRIGGER,
        Gate.ENABLE,
        Gate.DISTRIBUTOR,
        Gate.GROUP,
        Gate.ASLEEP,
        Gate.ROUTE,
        Gate.PE_OFF,
        Gate.INTERFACE,
        Gate.PRIORITY,
        Gate.MASK,
    }
)
"""The gates that set-up code opens."""
_UNENDED: Final = frozenset({Gate.NOT_ENDED, Gate.NOT_DEACTIVATED, Gate.RUNNING})
"""The gates that an interrupt handler closes and opens again."""


def held_lines(machine: Machine, evidence: Evidence) -> Iterator[str]:
    """Each notable interrupt with the write that opens its gate.

    Handlers mask interrupts, and end an interrupt late: neither is notable while one runs. Nor are timers that the
    guest has switched off or masked, and a GIC that it does not use.
    """
    if evidence.ending not in (Ending.FAULT, Ending.PANIC):
        return
    held = [each for each in awaited_interrupts(machine) if _is_notable(machine, evidence, each)]
    for each in held[:_MOST]:
        meaning, step = held_advice(each, evidence)
        yield from textwrap.wrap(meaning, WIDTH - len(INDENT))
        if step:
            indent = " " * len("  Try: ")
            yield from textwrap.wrap(f"Try: {step}", WIDTH - len(INDENT), initial_indent="  ", subsequent_indent=indent)
    if held[_MOST:]:
        yield f"{len(held) - _MOST} more; armvcpu walk --interrupts lists all of them"


def _is_notable(machine: Machine, evidence: Evidence, awaited: Awaited) -> bool:
    gates = [each.gate for each in awaited.closed]
    if not gates or not (awaited.pending or gates[0] is Gate.TRIGGER) or set(gates) >= _ALL_OFF:
        return False
    is_linux = evidence.image_kind == _LINUX
    if gates[0] in _WAYS:
        # A kernel with pseudo-NMIs masks interrupts by their priority.
        return not (is_linux and gates[0] is Gate.MASK)
    if is_linux:
        return False
    masked = _was_masked(machine, evidence, awaited)
    if gates[0] in _UNENDED:
        return not masked
    return gates[0] is Gate.MASKED and masked and awaited.timer is not None and awaited.timer.seconds >= _LONG


def _was_masked(machine: Machine, evidence: Evidence, awaited: Awaited) -> bool:
    """Whether the interrupt's CPU masked it, before the exception in which it ended."""
    cpu = machine.current if awaited.cpu is None else machine.cpus[awaited.cpu]
    pstate = cpu.arch.ctx.spsr
    exceptions = evidence.chain.exceptions
    if cpu is machine.current and exceptions and (evidence.stuck or evidence.chain.is_unfinished):
        pstate = Spsr(exceptions[0].spsr)
    return bool(pstate.F if awaited.fiq else pstate.I)
