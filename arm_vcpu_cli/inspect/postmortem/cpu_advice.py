"""The usual cause of several CPUs waiting for each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from arm_vcpu_cli.arch.smccc import PsciStatus
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.evidence import Evidence
from arm_vcpu_cli.vm.endings import Ending
from arm_vcpu_cli.vm.standing import Doing, cpu_names

_MOST_LISTED: Final = 8
_ON: Final = (Doing.SPINNING, Doing.WAITING, Doing.SUSPENDED)


def never_started(evidence: Evidence) -> Advice | None:
    """A guest that makes no progress after a failed CPU_ON."""
    if evidence.ending is not Ending.NO_PROGRESS or not evidence.refused or evidence.handles_failure:
        return None
    failed = evidence.refused[-1]
    meaning = f"CPU_ON at {failed.place} has returned {failed.status.name} ({failed.status.value}): "
    if failed.status is PsciStatus.INVALID_ADDRESS:
        return Advice(
            f"{meaning}no CPU can start at {failed.entry:#x}.",
            "entry_point (x2) has to be the physical address (IPA) of code, a multiple of 4",
        )
    cpus = evidence.affinities
    have = f"there is only one CPU, {cpus[0]:#x}" if len(cpus) == 1 else f"the CPUs are {_listed(cpus)}"
    enough = "" if len(cpus) > 1 else ", and --smp 2 gives the machine a second CPU"
    return Advice(
        f"{meaning}there is no CPU {failed.target:#x}; {have}.",
        f"target_cpu (x1) is the affinity of a CPU, as in MPIDR_EL1 and in the device tree{enough}",
    )


def sgi_to_nobody(evidence: Evidence) -> Advice | None:
    """A guest that waits after an SGI that went to no CPU."""
    if evidence.ending is not Ending.NO_PROGRESS or not evidence.lost_sgis or evidence.handles_failure or evidence.held:
        return None
    lost = evidence.lost_sgis[-1]
    named = f"the affinity {_listed(lost.affinities)}" if lost.affinities else "no affinity"
    return Advice(
        f"SGI {lost.intid}, sent at {lost.place}, went to no CPU: it names {named}, and the CPUs are "
        f"{_listed(evidence.affinities)}.",
        "each bit of TargetList stands for one Aff0, bit 0 for a CPU whose MPIDR_EL1 ends in 0; Aff1 to Aff3 have "
        "fields of their own",
    )


def _listed(affinities: Sequence[int]) -> str:
    shown = [f"{each:#x}" for each in affinities[:_MOST_LISTED]]
    rest = len(affinities) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def wait_for_each_other(evidence: Evidence) -> Advice | None:
    """CPUs that poll memory which no other CPU will write."""
    watching = [each for each in evidence.standings if each.watches is not None]
    if evidence.ending is not Ending.NO_PROGRESS or not watching or evidence.handles_failure:
        return None
    addresses = sorted({each.watches for each in watching if each.watches is not None})
    who = f"{cpu_names(each.cpu for each in watching)} {'is' if len(watching) == 1 else 'are'}"
    asleep = [each.cpu for each in evidence.standings if each.doing is Doing.WAITING and each.masked]
    if asleep:
        names, one = cpu_names(asleep), len(asleep) == 1
        return Advice(
            f"{who} waiting for memory to change, such as a lock or a flag, while {names} "
            f"{'waits' if one else 'wait'} for an interrupt (WFI) with interrupts masked and will never change it.",
            f"the backtrace of {names} shows why: code that holds a lock must not wait; if it is just the kernel's "
            "idle loop, look at the other CPUs",
        )
    idle = [each for each in evidence.standings if each.watches is None and each.doing in _ON]
    if idle:
        names, one = cpu_names(each.cpu for each in idle), len(idle) == 1
        s = "s" if one else ""
        what = f"wait{s} for an interrupt (WFI) that nothing raises"
        if any(each.doing is Doing.SPINNING for each in idle):
            what = f"run{s} in a loop"
        return Advice(
            f"{who} waiting for memory to change, such as a lock or a flag, while {names} {what} and will never change "
            "it.",
            f"the backtrace of {names} shows how it got there",
        )
    missing = [each.cpu for each in evidence.standings if each.doing in (Doing.NEVER_ON, Doing.OFF)]
    if missing and len(addresses) == 1:
        return Advice(
            f"{who} waiting for memory that no CPU writes, and {cpu_names(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} off.",
            "they may be waiting for a CPU to come up (PSCI CPU_ON, x0 = 0xC4000003): check what that call returned",
        )
    if len(addresses) == 1:
        same = "the same memory" if len(watching) > 1 else "memory"
        return Advice(
            f"{who} waiting for {same} to change, and no CPU is left to change it: a lock that was never "
            "released, or that the same CPU takes twice.",
            "the backtraces may show which CPU took it before",
        )
    return Advice(
        f"{who} waiting for different memory to change, and no CPU is left to change it: usually locks taken in "
        "different orders.",
        "compare the backtraces: each CPU holds the lock that another one waits for",
    )
