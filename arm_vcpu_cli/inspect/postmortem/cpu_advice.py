"""The usual cause of several CPUs waiting for each other."""

from __future__ import annotations

from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.evidence import Evidence
from arm_vcpu_cli.vm.endings import Ending
from arm_vcpu_cli.vm.standing import Doing, cpu_names


def wait_for_each_other(evidence: Evidence) -> Advice | None:
    """CPUs that poll memory which no other CPU will write."""
    watching = [each for each in evidence.standings if each.watches is not None]
    if evidence.ending is not Ending.NO_PROGRESS or not watching:
        return None
    addresses = sorted({each.watches for each in watching if each.watches is not None})
    who = cpu_names(each.cpu for each in watching)
    asleep = [each.cpu for each in evidence.standings if each.doing is Doing.WAITING and each.masked]
    if asleep:
        names, one = cpu_names(asleep), len(asleep) == 1
        return Advice(
            f"{who} wait for memory to change, as for a lock or a flag, while {names} "
            f"{'waits' if one else 'wait'} for an interrupt (WFI) with interrupts masked, and will never change it.",
            f"the backtrace of {names} says what was going on: who holds a lock must not wait; if that is only where "
            "an idle kernel waits, look at the others",
        )
    missing = [each.cpu for each in evidence.standings if each.doing in (Doing.NEVER_ON, Doing.OFF)]
    if missing and len(addresses) == 1:
        return Advice(
            f"{who} wait for memory to change that no CPU writes, and {cpu_names(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} off.",
            "what is waited for may be a CPU that was to be switched on (PSCI CPU_ON, x0 = 0xC4000003): look at what "
            "it returned",
        )
    if len(addresses) == 1:
        return Advice(
            f"{who} wait for the same memory to change, and nobody is left who could: a lock that was never given "
            "back, or is taken twice by the same CPU.",
            "the backtraces say who took it before",
        )
    return Advice(
        f"{who} wait for different memory to change, and nobody is left who could: usually locks that are taken in "
        "different orders.",
        "compare the backtraces: each CPU holds what another one waits for",
    )
