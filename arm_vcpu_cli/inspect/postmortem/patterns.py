"""The patterns by which the end of a guest is told: functions from the evidence to advice, or None.

Of those that explain one and the same thing the first that applies speaks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from arm_vcpu_cli.inspect.postmortem.abort_advice import ABORTS
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.cpu_advice import wait_for_each_other
from arm_vcpu_cli.inspect.postmortem.evidence import Evidence
from arm_vcpu_cli.inspect.postmortem.exception_advice import EXCEPTIONS
from arm_vcpu_cli.inspect.postmortem.interrupt_advice import interrupt_advice
from arm_vcpu_cli.inspect.postmortem.stop_advice import (
    CAUSES,
    STOPS,
    missing_vector,
    no_symbols,
    not_its_fault,
    other_console,
    unknown_calls,
    waits,
)

Pattern = Callable[[Evidence], Advice | None]

GROUPS: Final[tuple[tuple[Pattern, ...], ...]] = (
    (*CAUSES, wait_for_each_other, waits, *EXCEPTIONS, *ABORTS, not_its_fault),
    STOPS,
    (missing_vector,),
    (unknown_calls,),
    (other_console,),
    (no_symbols,),
)
"""Of each group the first pattern that applies speaks."""


def advise(evidence: Evidence) -> list[Advice]:
    """What is known of ends like this one."""
    if evidence.vector is not None and evidence.fault is not None and evidence.fault.pc == evidence.vector.pc:
        # What came before the vector that fails is not known: system calls and interrupts are not kept.
        evidence = replace(evidence, fault=None)
    found = (_first(group, evidence) for group in GROUPS)
    return [*interrupt_advice(evidence), *(advice for advice in found if advice is not None)]


def _first(group: tuple[Pattern, ...], evidence: Evidence) -> Advice | None:
    return next((advice for pattern in group if (advice := pattern(evidence)) is not None), None)
