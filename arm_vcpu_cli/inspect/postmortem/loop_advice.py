"""Repeated actions of a guest that was stopped: it polls a register, or keeps taking the same interrupt or
exception."""

from __future__ import annotations

from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.poll_advice import poll, untrapped_poll
from arm_vcpu_cli.inspect.postmortem.repetition import find_repetition
from arm_vcpu_cli.inspect.postmortem.report_wanted import was_stopped
from arm_vcpu_cli.inspect.postmortem.storm_advice import never_acknowledged, same_exception, storm
from arm_vcpu_cli.vm.cpu import Activity
from arm_vcpu_cli.vm.endings import RunResult
from arm_vcpu_cli.vm.machine import Machine


def loop_advice(machine: Machine, result: RunResult | None) -> list[Advice]:
    """Advice on the guest's last action if it kept repeating it; empty for a guest that may be healthy."""
    if result is None or not was_stopped(result) or machine.current.activity is not Activity.RUNNING:
        return []
    cpu = machine.current
    found = find_repetition(cpu.arch.recent_exits(), cpu.bus)
    advice = None
    if found is not None:
        advice = poll(machine, found) if found.intid is None else storm(machine, found)
    for other in (same_exception, never_acknowledged, untrapped_poll):
        advice = advice or other(machine)
    return [] if advice is None else [advice]
