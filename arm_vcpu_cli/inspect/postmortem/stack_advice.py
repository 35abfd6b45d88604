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
            f"The guest uses its stack before it has set SP (SP is {fault.sp:#x}; it is 0 at reset).",
            "load SP with the end of some memory first of all; at EL1 with SPSel = 1 that is SP_EL1",
        )
    if fault.stack.bottom is None:
        return Advice(
            f"SP is {fault.sp:#x}, and nothing is mapped there, nor within 1 MiB above: that is no stack that has run "
            "out, but an SP that was set wrong.",
            "look where SP was set last",
        )
    return _overflow(fault, fault.stack, fault.stack.bottom)


def _overflow(fault: Fault, stack: StackEnd, bottom: int) -> Advice:
    guard = f", with {stack.guard:#x} bytes of guard below" if stack.guard else ""
    meaning = (
        f"The stack has run out: SP is {fault.sp:#x}, and the access is {bottom - (fault.far or 0):#x} bytes below the "
        f"lowest address that is mapped there, {bottom:#x}{guard}."
    )
    if not stack.recursive:
        count = "The one frame on it shows" if stack.frames == 1 else f"The {stack.frames} frames on it show"
        return Advice(
            f"{meaning} {count} no recursion." if stack.frames else meaning,
            "make the stack larger, or what the functions in the backtrace keep on it smaller",
        )
    names = " and ".join(stack.recursive)
    how = "calls itself" if len(stack.recursive) == 1 else "call each other"
    return Advice(
        f"{meaning} It is full of {names}, which {how}: {stack.frames} frames in all.",
        "look for what should have ended the recursion",
    )


def crooked_stack(evidence: Evidence) -> Advice | None:
    """A misaligned SP, whatever ended the guest: a CPU checks the alignment, the core here does not."""
    fault = evidence.fault
    if fault is None or not fault.sp % _ALIGNMENT or not (Sctlr(evidence.sctlr).SA if fault.el else 0):
        return None
    return Advice(
        f"SP is {fault.sp:#x}, no multiple of 16, and SCTLR_EL1.SA is 1: a CPU takes an exception (EC 0x26) when "
        "memory is accessed through it. The core here does not check that.",
        "keep SP a multiple of 16 at all times: push registers in pairs (STP)",
    )
