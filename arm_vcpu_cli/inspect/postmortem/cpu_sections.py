"""The report's sections on each of several CPUs: its activity, the interrupts that could reach it, and its
backtrace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from arm_vcpu_cli.inspect.postmortem.backtrace import backtrace, place
from arm_vcpu_cli.inspect.postmortem.registers import register_dump
from arm_vcpu_cli.vm.awaited_words import what_may_come
from arm_vcpu_cli.vm.diagnosis import with_symbol
from arm_vcpu_cli.vm.endings import Ending, RunResult
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.standing import Doing, Standing, cpu_names, culprit_first, groups_of, survey

_MOST_SHOWN: Final = 16
"""The number of CPUs with a section each, unless all registers are requested; the others get one line each."""
_FEW_FRAMES: Final = 4
_NOT_EXECUTING: Final = (Doing.OFF, Doing.NEVER_ON, Doing.STARTING)

Part = tuple[str, Iterable[str]]


def standings_of(machine: Machine, result: RunResult | None) -> list[Standing]:
    """The activity of each CPU, the current one first; empty on a machine with one CPU."""
    if len(machine.cpus) == 1:
        return []
    # The next action of a CPU that has failed is irrelevant.
    failed = result is not None and result.ending is Ending.FAULT
    found = culprit_first(survey(machine, but=machine.current if failed else None))
    return sorted(found, key=lambda each: each.cpu != machine.current.index)


def cpu_part(machine: Machine, standing: Standing) -> Part:
    """The heading of a CPU, and the interrupts that could reach it."""
    return f"cpu{standing.cpu}: {_doing(machine, standing)}", _facts(machine, standing)


def other_parts(machine: Machine, others: Sequence[Standing], *, regs: bool) -> Iterator[Part]:
    """The CPUs after the first; ``regs`` adds all registers of those that are on. Consume each part before the next."""
    current = machine.current
    try:
        on = [each for each in others if each.doing not in _NOT_EXECUTING]
        shown = on if regs else on[:_MOST_SHOWN]
        for each in shown:
            machine.look_at(machine.cpus[each.cpu])
            heading, facts = cpu_part(machine, each)
            yield heading, [*facts, *backtrace(machine), *(register_dump(machine) if regs else ())]
        rest = [*on[len(shown) :], *(each for each in others if each.doing in _NOT_EXECUTING)]
        yield "other CPUs", _lines_of(machine, rest)
    finally:
        machine.look_at(current)


def other_cpus(machine: Machine, others: Sequence[Standing]) -> list[str]:
    """The CPUs after the first, in brief: CPUs with the same activity share lines and one CPU's backtrace."""
    current, lines = machine.current, []
    try:
        for group in groups_of(others):
            first = group[0]
            machine.look_at(machine.cpus[first.cpu])
            names, each = cpu_names(each.cpu for each in group), "each " if len(group) > 1 else ""
            where = _where(machine, first) if first.loop is None else ""
            lines.append(f"{names}: {each}{_doing(machine, first)}{where}")
            if first.doing not in _NOT_EXECUTING:
                lines += [f"  {fact}" for fact in _facts(machine, first)]
                frames = [*backtrace(machine)]
                if each:
                    lines.append(f"  backtrace of cpu{first.cpu}:")
                lines += [f"  {frame}" for frame in frames[:_FEW_FRAMES]]
                if len(frames) > _FEW_FRAMES:
                    lines.append(f"  ... {len(frames) - _FEW_FRAMES} more")
    finally:
        machine.look_at(current)
    return lines


def _lines_of(machine: Machine, standings: Sequence[Standing]) -> list[str]:
    lines = [f"cpu{each.cpu}: {_doing(machine, each)}{_where(machine, each)}" for each in standings[:_MOST_SHOWN]]
    if len(standings) > _MOST_SHOWN:
        lines.append(f"and {cpu_names(each.cpu for each in standings[_MOST_SHOWN:])}")
    return lines


def _doing(machine: Machine, standing: Standing) -> str:
    loop = standing.loop
    if loop is None:
        return standing.doing.value
    if loop.watched is None:
        return "runs in a loop"
    loaded = with_symbol(machine, loop.watched.loaded_at)
    return f"spins on {with_symbol(machine, loop.watched.address)} (loaded at {loaded})"


def _where(machine: Machine, standing: Standing) -> str:
    return "" if standing.doing in (Doing.NEVER_ON, Doing.STARTING) else f", at {place(machine, standing.pc)}"


def _facts(machine: Machine, standing: Standing) -> Iterator[str]:
    """The CPU's location, and the interrupts that could reach it."""
    if standing.doing in _NOT_EXECUTING:
        yield "its registers are from before it was switched off"
        return
    cpu = machine.cpus[standing.cpu]
    yield ", ".join(
        (
            f"at EL{cpu.arch.ctx.spsr.el}",
            f"interrupts {'masked' if standing.masked else 'not masked'}",
            *what_may_come(machine, cpu.index),
        )
    )
