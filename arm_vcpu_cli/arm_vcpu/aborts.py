"""Aborts that the guest takes for accesses that stage 2 refused (DDI 0487, D24.2, ESR_EL1)."""

from __future__ import annotations

from arm_vcpu_cli.arch.fault import FSC_EXTERNAL, FSC_EXTERNAL_WALK_L0
from arm_vcpu_cli.arch.syndrome.esr import (
    ExceptionClass,
    decode_data_abort,
    decode_instruction_abort,
    exception_class,
    stack_alignment_esr,
)
from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.arch.translation.walk import ADDRESS_SIZE, TRANSLATION
from arm_vcpu_cli.arm_vcpu.abort_decoder import AbortKind, DecodedAbort, PendingAccess
from arm_vcpu_cli.arm_vcpu.guest_memory import GuestMemory
from arm_vcpu_cli.arm_vcpu.inject import El1Entry
from arm_vcpu_cli.engine.layout import CpuState


class GuestAborts:
    """Turns the stage-2 abort in a saved state into one at EL1. Each method returns the PSTATE to write."""

    def __init__(self, state: CpuState, entry: El1Entry, memory: GuestMemory) -> None:
        layout = state.layout
        self._u64 = state.u64
        self._far = layout.fault_address // 8
        self._entry = entry
        self._memory = memory

    def data(self, esr: int, access: PendingAccess | None = None) -> int:
        """Abort the load, store or maintenance instruction with the syndrome ``esr``.

        With ``access``, abort the next one of the instruction's accesses; FAR has its address.
        """
        abort = decode_data_abort(esr)
        far = self._u64[self._far]
        if access is not None:
            far = access.elements[min(access.index, len(access.elements) - 1)].address
        fault = self._fault(far, Access.WRITE if abort.is_write else Access.READ, on_walk=abort.stage1_walk)
        return self._entry.data_abort(far, fault, is_write=abort.is_write, maintenance=abort.cache_maintenance)

    def stage1(self, abort: DecodedAbort) -> int:
        """Take a fault that EL1 takes before stage 2 is consulted."""
        if abort.kind is AbortKind.STACK_ALIGNMENT:
            return self._entry.take(stack_alignment_esr())
        return self._entry.data_abort(abort.address, abort.fault, is_write=abort.is_write)

    def fetch(self, esr: int) -> int:
        """Abort the instruction fetch with the syndrome ``esr``."""
        far = self._u64[self._far]
        fault = self._fault(far, Access.EXECUTE, on_walk=decode_instruction_abort(esr).stage1_walk)
        return self._entry.instruction_abort(far, fault)

    def is_mapped(self, vaddr: int, esr: int) -> bool:
        """Return whether EL1 could now make an access that had the syndrome of this abort."""
        if exception_class(esr) in (ExceptionClass.INSTRUCTION_ABORT, ExceptionClass.INSTRUCTION_ABORT_LOWER):
            access = Access.EXECUTE
        else:
            access = Access.WRITE if decode_data_abort(esr).is_write else Access.READ
        return self._memory.translate(vaddr, access=access).paddr is not None

    def _fault(self, vaddr: int, access: Access, *, on_walk: bool) -> int:
        """Return the fault status code: an external abort on the access or on a table walk, as a walk of stage 1
        determines. A core that does not compare output addresses with TCR_EL1.IPS, or accepts a block where none is
        allowed, finds nothing at that address in stage 2."""
        fault = self._memory.translate(vaddr, el=1 if self._entry.from_el1 else 0, access=access).stage1.fault
        if fault is not None and fault.kind in (ADDRESS_SIZE, TRANSLATION):
            return fault.fault_status
        if not on_walk:
            return FSC_EXTERNAL
        return FSC_EXTERNAL_WALK_L0 + (0 if fault is None else fault.level)
