"""The patterns that recognise how a guest failed: functions from the evidence to advice, or None.

Patterns that explain the same thing form a group; only the first that applies gives advice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from arm_vcpu_cli.inspect.postmortem.abort_advice import ABORTS
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.alignment_advice import unchecked_alignment
from arm_vcpu_cli.inspect.postmortem.cpu_advice import never_started, sgi_to_nobody, wait_for_each_other
from arm_vcpu_cli.inspect.postmortem.evidence import Evidence
from arm_vcpu_cli.inspect.postmortem.exception_advice import EXCEPTIONS
from arm_vcpu_cli.inspect.postmortem.handler_advice import goes_back, meets_itself, missing_vector
from arm_vcpu_cli.inspect.postmortem.interrupt_advice import interrupt_advice
from arm_vcpu_cli.inspect.postmortem.kernel_advice import no_symbols, other_console, silent_kernel
from arm_vcpu_cli.inspect.postmortem.stack_advice import crooked_stack
from arm_vcpu_cli.inspect.postmortem.stop_advice import (
    CAUSES,
    STOPS,
    not_its_fault,
    unknown_calls,
    waits,
)

Pattern = Callable[[Evidence], Advice | None]

GROUPS: Final[tuple[tuple[Pattern, ...], ...]] = (
    (*CAUSES, never_started, sgi_to_nobody, wait_for_each_other, waits, *EXCEPTIONS, *ABORTS, not_its_fault),
    STOPS,
    (meets_itself,),
    (missing_vector, goes_back),
    (crooked_stack,),
    (unchecked_alignment,),
    (unknown_calls,),
    (other_console, silent_kernel),
    (no_symbols,),
)
"""In each group only the first pattern that applies gives advice."""


def advise(evidence: Evidence) -> list[Advice]:
    """The advice on this end."""
    if evidence.vector is not None and evidence.fault is not None and evidence.fault.pc == evidence.vector.pc:
        # The exception is no fault: a system call, or an interrupt.
        evidence = replace(evidence, fault=None)
    found = [_first(group, evidence) for group in GROUPS]
    origin = [found[0], _of_the_handler(evidence), *found[1:]]
    held = interrupt_advice(evidence)
    # A failure precedes any interrupt that its handler may wait for, and so does a lock that a handler waits for.
    is_held_later = evidence.handles_failure or (evidence.in_interrupt and evidence.read_in_vain is not None)
    advices = (*origin, *held) if is_held_later else (*held, *origin)
    return [advice for advice in advices if advice is not None]


def _of_the_handler(evidence: Evidence) -> Advice | None:
    """The usual cause of the exception taken by the first exception's handler."""
    if evidence.handler_fault is None:
        return None
    advice = _first((*EXCEPTIONS, *ABORTS), replace(evidence, fault=evidence.handler_fault))
    return None if advice is None else Advice(f"Then its handler faults. {advice.meaning}", advice.step)


def _first(group: tuple[Pattern, ...], evidence: Evidence) -> Advice | None:
    return next((advice for pattern in group if (advice := pattern(evidence)) is not None), None)
