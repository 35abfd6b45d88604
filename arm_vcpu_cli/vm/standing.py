"""Describes the activity of each of several CPUs, and which of them keeps the others from making progress."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from itertools import groupby
from typing import Final

from arm_vcpu_cli.record import Record
from arm_vcpu_cli.vm.cpu import Activity, Cpu
from arm_vcpu_cli.vm.diagnosis import in_handler, with_symbol
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.power import CpuPower
from arm_vcpu_cli.vm.watch.hang import are_interrupts_masked
from arm_vcpu_cli.vm.watch.loops import Loop, find_loops

_MOST_GROUPS: Final = 4
_MOST_RANGES: Final = 4
_RANGE: Final = 3
"""The minimum number of consecutive CPU numbers written as a range."""


class Doing(Enum):
    """The activity of a CPU."""

    RUNNING = "running"
    SPINNING = "spinning"
    """It executes a loop that only computes and reads memory."""
    WAITING = "in WFI"
    SUSPENDED = "suspended"
    STARTING = "about to start"
    OFF = "off"
    NEVER_ON = "never switched on"


class Standing(Record):
    """The activity of one CPU, and its place. ``masked``: it masks interrupts; ``loop`` is the loop in which it spins;
    ``handles`` says which exception it handles, as :func:`in_handler` does."""

    cpu: int
    doing: Doing
    pc: int
    masked: bool
    loop: Loop | None = None
    handles: str = ""

    @property
    def watches(self) -> int | None:
        """The address whose change it most likely awaits."""
        return None if self.loop is None or self.loop.watched is None else self.loop.watched.address

    @property
    def place(self) -> int:
        """Its place, which for a loop does not depend on the moment of observation."""
        return self.pc if self.loop is None else self.loop.place


def survey(machine: Machine, but: Cpu | None = None) -> tuple[Standing, ...]:
    """The activity of each CPU of a stopped machine, by number; ``but`` is not examined for spinning."""
    executing = [cpu for cpu in machine.cpus if cpu.activity is Activity.RUNNING and not cpu.starts and cpu is not but]
    loops = find_loops(machine, executing)
    return tuple(
        Standing(
            cpu.index,
            _doing(machine, cpu, loops.get(cpu.index)),
            cpu.arch.ctx.elr,
            are_interrupts_masked(machine, cpu),
            loops.get(cpu.index),
            "" if cpu.activity is Activity.OFF else in_handler(machine, cpu),
        )
        for cpu in machine.cpus
    )


def _doing(machine: Machine, cpu: Cpu, loop: Loop | None) -> Doing:
    if cpu.activity is Activity.OFF or machine.power.state(cpu.affinity) is CpuPower.OFF:
        # The last CPU to switch itself off keeps its turn.
        return Doing.OFF if cpu.turns or cpu is machine.current else Doing.NEVER_ON
    if cpu.activity is Activity.WAITING:
        return Doing.SUSPENDED if machine.power.state(cpu.affinity) is CpuPower.SUSPENDED else Doing.WAITING
    if cpu.starts:
        return Doing.STARTING
    return Doing.RUNNING if loop is None else Doing.SPINNING


# The CPU that the others wait for
# ----------------------------------------------------------------------------------------


_RANKS: Final = (
    Doing.SPINNING,
    Doing.RUNNING,
    Doing.WAITING,
    Doing.SUSPENDED,
    Doing.STARTING,
    Doing.OFF,
    Doing.NEVER_ON,
)


def culprit_first(standings: Sequence[Standing]) -> list[Standing]:
    """The CPUs in order of interest, with equal activities adjacent.

    A CPU that others wait for precedes them, as far as it can be identified: a CPU that waits with all interrupts
    masked, or spins in a loop that reads nothing, will never write the memory that others watch. One in the handler
    of a failure precedes even these. Among CPUs that watch memory the majority waits for the minority.
    """
    alike: dict[tuple[object, ...], int] = {}
    for each in standings:
        alike[_same(each)] = alike.get(_same(each), 0) + 1

    def rank(each: Standing) -> tuple[int, int, int]:
        many, first = alike[_same(each)], next(other.cpu for other in standings if _same(other) == _same(each))
        if each.handles:
            return -3, many, first
        if each.doing is Doing.WAITING and each.masked:
            return -2, many, first
        if each.doing is Doing.SPINNING and each.watches is None:
            return -1, many, first
        return _RANKS.index(each.doing), many, first

    return sorted(standings, key=rank)


def groups_of(standings: Sequence[Standing]) -> list[list[Standing]]:
    """The groups of adjacent CPUs with the same activity."""
    return [list(group) for _, group in groupby(standings, key=_same)]


def _same(each: Standing) -> tuple[object, ...]:
    """The key that CPUs described together share."""
    if each.doing in (Doing.OFF, Doing.NEVER_ON, Doing.SUSPENDED, Doing.STARTING):
        return (each.doing,)
    if each.watches is not None:
        return each.doing, "watches", each.watches, each.handles
    return each.doing, "at", each.place, each.masked, each.handles


# In words ------------------------------------------------------------------------------------------------------


def blame(machine: Machine) -> tuple[Cpu, str]:
    """The CPU that keeps the others waiting, on a machine without progress, and one line on all CPUs."""
    standings = culprit_first(survey(machine))
    return machine.cpus[standings[0].cpu], why_nobody_gets_on(machine, standings)


def why_nobody_gets_on(machine: Machine, standings: Sequence[Standing]) -> str:
    """One line on a set of deadlocked CPUs, in the order of :func:`culprit_first`."""
    groups = groups_of(standings)
    told = [
        f"{cpu_names(each.cpu for each in group)} {_in_words(machine, group)}{group[0].handles}"
        for group in groups[:_MOST_GROUPS]
    ]
    rest = sum(len(group) for group in groups[_MOST_GROUPS:])
    if rest:
        told.append(f"and so on for {rest} more")
    return f"no CPU can make progress: {'; '.join(told)}"


def _in_words(machine: Machine, group: Sequence[Standing]) -> str:
    """The activity of a group's CPUs, as the continuation of a sentence after their names."""
    first, s = group[0], "s" if len(group) == 1 else ""
    match first.doing:
        case Doing.WAITING:
            masked = " with interrupts masked" if first.masked else ", and nothing can raise one"
            return f"wait{s} for an interrupt at {with_symbol(machine, first.pc)}{masked}"
        case Doing.SPINNING if first.watches is not None:
            places = {each.place for each in group}
            where = f" at {with_symbol(machine, first.place)}" if len(places) == 1 else ""
            return f"spin{s}{where} on {with_symbol(machine, first.watches)}"
        case Doing.SPINNING:
            return f"run{s} in a loop at {with_symbol(machine, first.place)}"
        case Doing.RUNNING:
            return f"execute{s} at {with_symbol(machine, first.pc)}"
        case Doing.NEVER_ON:
            return f"{'was' if s else 'were'} never switched on"
        case _:
            return f"{'is' if s else 'are'} {first.doing.value}"


def cpu_names(numbers: Iterable[int]) -> str:
    """``cpu0, cpu2 and cpu4 to cpu7``; of bounded length."""
    ordered = sorted(numbers)
    ranges: list[list[int]] = []
    for number in ordered:
        if ranges and ranges[-1][-1] == number - 1:
            ranges[-1].append(number)
        else:
            ranges.append([number])
    parts: list[str] = []
    for run in ranges:
        if len(run) >= _RANGE:
            parts.append(f"cpu{run[0]} to cpu{run[-1]}")
        else:
            parts.extend(f"cpu{number}" for number in run)
    if len(parts) > 2 * _MOST_RANGES:
        return f"{len(ordered)} CPUs ({', '.join(parts[:_MOST_RANGES])} ...)"
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
