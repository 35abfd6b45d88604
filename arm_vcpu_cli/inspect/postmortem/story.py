"""The guest's exceptions from first to last, each caused by the previous one's handler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from arm_vcpu_cli.arch.syndrome.esr import EC_SHIFT, describe_esr
from arm_vcpu_cli.arm_vcpu.exception_chain import FIRST, El1Exception
from arm_vcpu_cli.arm_vcpu.inject import sets_far
from arm_vcpu_cli.inspect.postmortem.backtrace import place
from arm_vcpu_cli.inspect.postmortem.evidence import Evidence
from arm_vcpu_cli.inspect.postmortem.fault_facts import Fault
from arm_vcpu_cli.inspect.tables.both_stages import Translated
from arm_vcpu_cli.vm.diagnosis import in_words, interrupted_by, is_vector
from arm_vcpu_cli.vm.machine import Machine

_OVER_AND_OVER: Final = ", over and over"


def story(machine: Machine, evidence: Evidence) -> Iterator[str]:
    """The exceptions that led to the end, or the access that stage 2 denied."""
    chain = evidence.chain
    if not evidence.stuck and not chain.is_unfinished:
        if evidence.fault is not None:
            yield from _refusal_lines(machine, evidence.fault)
        return
    for number, exception in enumerate(chain.exceptions):
        yield from _between(machine, evidence, number)
        yield f"{_before(evidence, number)}{in_words(exception)}{_repeated(evidence, exception)}"
        yield from _exception_lines(machine, exception)


def _between(machine: Machine, evidence: Evidence, number: int) -> Iterator[str]:
    """Notes on the gaps in the chain: the events before its first exception, and the exceptions left out."""
    chain = evidence.chain
    if not number and (before := interrupted_by(chain.exceptions[0], evidence.vectors)) is not None:
        what, address = before
        yield what
        yield f"  at {place(machine, address)}"
    if number == FIRST and chain.dropped:
        yield f"({chain.dropped} more, each in the handler of the previous one)"


def _before(evidence: Evidence, number: int) -> str:
    exception = evidence.chain.exceptions[number]
    is_known = bool(number) or interrupted_by(exception, evidence.vectors) is not None
    if is_known and is_vector(exception.pc, evidence.vectors):
        return "then, at the vector for it: "
    if number:
        return "then, in its handler: "
    return "" if evidence.stuck else "in a handler, of: "


def _repeated(evidence: Evidence, exception: El1Exception) -> str:
    if evidence.stuck and exception is evidence.chain.exceptions[-1]:
        return _OVER_AND_OVER
    if exception.times == 1:
        return ""
    return f", {exception.times} times"


def _exception_lines(machine: Machine, exception: El1Exception) -> Iterator[str]:
    far = f" FAR_EL1={exception.far:#x}" if sets_far(exception.esr >> EC_SHIFT) else ""
    sp = f"SP={exception.sp:#x}"
    if exception.last_sp != exception.sp:
        sp += f" at first, {exception.last_sp:#x} at last"
    yield f"  at {place(machine, exception.pc)}, {sp}"
    yield f"  ESR_EL1={exception.esr:#010x}{far} {describe_esr(exception.esr)}"


def _refusal_lines(machine: Machine, fault: Fault) -> Iterator[str]:
    access = "access" if fault.access is None else fault.access.value
    address = "" if fault.translated is None else f" of {address_of(fault.translated)}"
    yield f"stage 2 denies the {access}{address}"
    yield f"  at {place(machine, fault.pc)}"
    yield f"  ESR_EL2={fault.esr:#010x} {describe_esr(fault.esr)}"


def address_of(translated: Translated) -> str:
    """``VA 0x1000``, or ``IPA 0x1000`` where there is no stage 1."""
    return f"{'IPA' if translated.stage1 is None else 'VA'} {translated.address:#x}"
