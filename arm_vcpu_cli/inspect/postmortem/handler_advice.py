"""Advice on handlers: missing vectors, handlers that fault, and handlers that return without fixing the cause."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.fault import fault_status_name
from arm_vcpu_cli.arch.instructions.loadstore import decode_load_store
from arm_vcpu_cli.arch.instructions.transfers import SP, LoadStore
from arm_vcpu_cli.arch.syndrome.esr import EC_SHIFT, Esr, ExceptionClass, exception_class
from arm_vcpu_cli.arm_vcpu.exception_chain import El1Exception
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.changed_advice import vectors_overwritten
from arm_vcpu_cli.inspect.postmortem.evidence import Evidence
from arm_vcpu_cli.inspect.postmortem.linux_calls import LINUX_CALLS
from arm_vcpu_cli.vm.diagnosis import in_words

_STATUS_BITS: Final = 0x3F
_NUMBER: Final = 8
"""The register that holds the number of a Linux system call."""


def missing_vector(evidence: Evidence) -> Advice | None:
    """Why the guest could not handle its exception, if its vectors are the cause."""
    vector = evidence.vector
    if vector is None:
        return _misaligned_vectors(evidence) if evidence.handles_failure else None
    program = _linux_program(evidence, vector)
    if program is not None:
        return program
    if evidence.vbar == 0:
        return Advice(
            "The guest takes an exception before it has set VBAR_EL1, so it has no handler to report it.",
            "set VBAR_EL1 first (2 KiB aligned), to vectors that at least print ESR_EL1, ELR_EL1 and FAR_EL1",
        )
    return _misaligned_vectors(evidence) or vectors_overwritten(evidence) or _unusable(evidence, vector)


def _misaligned_vectors(evidence: Evidence) -> Advice | None:
    if evidence.vbar == evidence.vectors:
        return None
    return Advice(
        f"VBAR_EL1 is {evidence.vbar:#x}, which is not a multiple of 2 KiB: the CPU ignores its low bits and uses the "
        f"vectors at {evidence.vectors:#x}.",
        "align the table: .balign 0x800, or .p2align 11",
    )


def _linux_program(evidence: Evidence, vector: El1Exception) -> Advice | None:
    """A system call of a program built for Linux: SVC #0 with the number in x8."""
    is_first = evidence.chain.exceptions[:1] == (vector,)
    if evidence.vbar or not is_first or vector.cause >> EC_SHIFT != ExceptionClass.SVC64 or Esr(vector.cause).ISS:
        return None
    number = evidence.registers[_NUMBER] if len(evidence.registers) > _NUMBER else 0
    name = LINUX_CALLS.get(number)
    if name is None:
        return None
    return Advice(
        f"The guest makes a system call, but there is no kernel to handle it: SVC #0 with x8 = {number} is {name}() "
        "on Linux. The guest is probably a Linux program.",
        "guests run on bare metal: link it without the Linux C library, or run it under a kernel, from an initial "
        "RAM disk (--initrd)",
    )


def _unusable(evidence: Evidence, vector: El1Exception) -> Advice:
    kind = exception_class(vector.esr)
    if kind in (ExceptionClass.INSTRUCTION_ABORT, ExceptionClass.INSTRUCTION_ABORT_LOWER):
        why = fault_status_name(vector.esr & _STATUS_BITS)
        return Advice(
            f"The vectors at VBAR_EL1 {evidence.vbar:#x} cannot be executed ({why}).",
            "VBAR_EL1 is a virtual address: the tables must map it executable as soon as the MMU is on",
        )
    if kind == ExceptionClass.UNKNOWN:
        return Advice(
            f"There is no instruction at the vector {vector.pc:#x} (VBAR_EL1 is {evidence.vbar:#x}).",
            "every vector needs code, at least a branch to itself; check that VBAR_EL1 holds the address of the table",
        )
    if kind == ExceptionClass.DATA_ABORT and _uses_sp(evidence):
        return Advice(
            f"The first instruction of the handler uses the stack and faults as well: SP is {vector.sp:#x}.",
            "give handlers their own stack: run other code with SPSel = 0, and set SP_EL1 for the handlers",
        )
    return Advice(f"The first instruction of the handler takes an exception itself: {in_words(vector)}.", "")


def _uses_sp(evidence: Evidence) -> bool:
    found = None if evidence.instruction is None else decode_load_store(evidence.instruction)
    return isinstance(found, LoadStore) and found.base == SP


def goes_back(evidence: Evidence) -> Advice | None:
    """Advice on a handler that returns to an instruction that will raise the exception again."""
    exceptions = evidence.chain.exceptions
    if not evidence.stuck or evidence.vector is not None or len(exceptions) != 1 or exceptions[0].repeats_itself:
        return None
    return Advice(
        "Its handler does not remove the cause: it returns to the same instruction, which takes the same exception "
        "again.",
        "a handler that cannot remove the cause must skip the instruction (ELR_EL1 + 4) or stop",
    )


def meets_itself(evidence: Evidence) -> Advice | None:
    """Advice on a handler that itself executes the instruction that raised the exception."""
    exceptions = evidence.chain.exceptions
    if not (evidence.stuck or evidence.chain.is_unfinished) or not any(each.repeats_itself for each in exceptions[:1]):
        return None
    if evidence.vector is not None and evidence.vector.pc == exceptions[0].pc:
        # There is no handler: its first instruction causes the exception.
        return None
    return Advice(
        "Its handler executes the same instruction and takes the same exception, nested deeper each time.",
        "a handler must not use what has failed; a flag that says that it is already running breaks such a chain",
    )
