"""Repeated actions of a guest that was stopped: a CPU polls a register, or keeps taking the same interrupt or
exception."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.context_frame import FRAME_POINTER, INSTRUCTION_SIZE, LINK_REGISTER
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.backtrace import frame_chain
from arm_vcpu_cli.inspect.postmortem.memory_poll import memory_poll
from arm_vcpu_cli.inspect.postmortem.poll_advice import poll, untrapped_poll
from arm_vcpu_cli.inspect.postmortem.repeated_call import repeated_call
from arm_vcpu_cli.inspect.postmortem.repetition import Repetition, find_repetition
from arm_vcpu_cli.inspect.postmortem.report_wanted import was_stopped
from arm_vcpu_cli.inspect.postmortem.storm_advice import never_acknowledged, same_exception, storm
from arm_vcpu_cli.vm.cpu import Activity, Cpu
from arm_vcpu_cli.vm.endings import RunResult
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.standing import cpu_names
from arm_vcpu_cli.vm.watch.loops import find_loops

_QUIET: Final = 1.0
"""Seconds without an exit after which the last exits may no longer show the guest's activity."""
_NEAR: Final = 64 * INSTRUCTION_SIZE
"""The greatest distance, within a loop, between a read and the other instructions."""
_MOST: Final = 4
"""The most different findings reported."""
_START: Final = "The "


def loop_advice(machine: Machine, result: RunResult | None) -> list[Advice]:
    """Advice on the action that each CPU kept repeating; empty for a guest that may be healthy.

    CPUs that repeat the same action share their advice, and the current CPU comes first.
    """
    if result is None or not was_stopped(result):
        return []
    current, found = machine.current, dict[Advice, list[int]]()
    loops = find_loops(machine, [cpu for cpu in machine.cpus if _executes(cpu)])
    try:
        for cpu in sorted(machine.cpus, key=lambda cpu: cpu is not current):
            if not _executes(cpu):
                continue
            machine.look_at(cpu)
            advice = _advice_on(machine, result) or memory_poll(machine, loops.get(cpu.index))
            if advice is not None:
                found.setdefault(advice, []).append(cpu.index)
    finally:
        machine.look_at(current)
    told = list(found.items())[:_MOST]
    return [advice if len(machine.cpus) == 1 else _on(cpus, advice) for advice, cpus in told]


def _executes(cpu: Cpu) -> bool:
    return cpu.activity is Activity.RUNNING and not cpu.starts


def _advice_on(machine: Machine, result: RunResult) -> Advice | None:
    """Advice on the current CPU."""
    cpu = machine.current
    found = find_repetition(cpu.arch.recent_exits(), cpu.bus)
    advice = None
    if found is not None and found.intid is not None:
        advice = storm(machine, found)
    elif found is not None and _may_last(machine, found, result):
        advice = poll(machine, found)
    for other in (repeated_call, same_exception, never_acknowledged, untrapped_poll):
        advice = advice or other(machine)
    return advice


def _on(cpus: list[int], advice: Advice) -> Advice:
    """The advice with the names of the CPUs that it is on."""
    meaning = advice.meaning
    if meaning.startswith(_START):
        meaning = meaning[0].lower() + meaning[1:]
    return Advice(f"On {cpu_names(cpus)}, {meaning}", advice.step)


def _may_last(machine: Machine, found: Repetition, result: RunResult) -> bool:
    """Whether the current CPU may still make these accesses: it has exited just now, or executes code near them, or
    code called from there. The exits alone do not show it, because computing causes none."""
    if len(machine.cpus) == 1 and result.quiet < _QUIET:
        return True
    accesses = [access.pc for access in found.accesses] + [found.link]
    # A register that was never set contains no valid address.
    places = [place for place in _places(machine) if place]
    return any(abs(place - access) <= _NEAR for place in places for access in accesses)


def _places(machine: Machine) -> Iterator[int]:
    """The addresses of the current CPU's code, of its callers, and of the code that its exception handler
    interrupted."""
    arch = machine.current.arch
    yield arch.ctx.elr
    yield arch.ctx.gpr(LINK_REGISTER)
    yield arch.read_sysreg(lookup("ELR_EL1"))
    yield from frame_chain(machine, arch.ctx.gpr(FRAME_POINTER))
