"""Advice on a stack pointer into unmapped memory: a stack never set up, a stack overflow, a stray SP."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.registers.el1regs import Sctlr
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.evidence import Evidence
from arm_vcpu_cli.inspect.postmortem.fault_facts import Fault
from arm_vcpu_cli.inspect.postmortem.stack_end import StackEnd

_NEAR_TOP: Final = (1 << 64) - 0x1_0000
_ALIGNMENT: Final = 16


def stack_used_up(evidence: Evidence) -> Advice | None:
    """A stack access to unmapped memory."""
    fault = evidence.fault
    if fault is None or fault.stack is None:
        return None
    if fault.sp == 0 or fault.sp >= _NEAR_TOP:
        return Advice(
            f"The guest uses its stack before it has set SP (SP is {fault.sp:#x}, and 0 at reset).",
            "first point SP to the end of some memory; at EL1 with SPSel = 1, SP is SP_EL1",
        )
    if fault.stack.bottom is None:
        return Advice(
            f"SP is {fault.sp:#x}, and nothing is mapped there or within 1 MiB above: the stack has not overflowed, "
            "but SP is wrong.",
            "check where SP was last set",
        )
    return _overflow(fault, fault.stack, fault.stack.bottom)


def _overflow(fault: Fault, stack: StackEnd, bottom: int) -> Advice:
    guard = f", with {stack.guard:#x} bytes of guard below" if stack.guard else ""
    meaning = (
        f"The stack has overflowed: SP is {fault.sp:#x}, and the access is {bottom - (fault.far or 0):#x} bytes below "
        f"the lowest address that is mapped there, {bottom:#x}{guard}."
    )
    if not stack.recursive:
        count = "Its only frame shows" if stack.frames == 1 else f"Its {stack.frames} frames show"
        return Advice(
            f"{meaning} {count} no recursion." if stack.frames else meaning,
            "enlarge the stack, or reduce what the functions in the backtrace keep on it",
        )
    names = " and ".join(stack.recursive)
    how = "calls itself" if len(stack.recursive) == 1 else "call each other"
    return Advice(
        f"{meaning} It is full of {names}, which {how}: {stack.frames} frames in all.",
        "check the condition that should end the recursion",
    )


def crooked_stack(evidence: Evidence) -> Advice | None:
    """A misaligned SP, whatever ended the guest: a CPU checks the alignment, the core here does not."""
    fault = evidence.fault
    if fault is None or not fault.sp % _ALIGNMENT or not (Sctlr(evidence.sctlr).SA if fault.el else 0):
        return None
    return Advice(
        f"SP is {fault.sp:#x}, which is not a multiple of 16, and SCTLR_EL1.SA is 1: hardware would take an exception "
        "(EC 0x26) on an access through it. The modelled core does not check this.",
        "keep SP a multiple of 16 at all times: push registers in pairs (STP)",
    )
