"""Corrects what this core gets wrong in the syndrome of an abort to EL2 (DDI 0487, D24.2, ESR_EL2).

ISV is 1 for single loads and stores with write-back, for which the manual has 0; and the fault status of a stage-1
walk that stage 2 refused is not that of the refusal. The correction is made in the saved state, so that whoever
reads the syndrome afterwards reads what a PE would have reported.
"""

from __future__ import annotations

from collections.abc import Callable

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.syndrome.esr import decode_data_abort, decode_instruction_abort, with_fault_status, without_isv
from arm_vcpu_cli.arch.translation.fault_address import fault_ipa
from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.arm_vcpu.access import plain_form
from arm_vcpu_cli.arm_vcpu.guest_memory import GuestMemory
from arm_vcpu_cli.engine.layout import CpuState


class SyndromeCorrection:
    """Corrects the syndrome of one saved state. Correcting twice changes nothing more."""

    def __init__(self, state: CpuState, memory: GuestMemory, fetch: Callable[[int], int | None]) -> None:
        layout = state.layout
        self._u32 = state.u32
        self._u64 = state.u64
        self._pc = layout.pc // 8
        self._syndrome = layout.syndrome // 4
        self._far = layout.fault_address // 8
        self._hpfar = layout.sysregs[lookup("HPFAR_EL2")] // 8
        self._memory = memory
        self._fetch = fetch

    def data_abort(self, esr: int) -> int:
        """The syndrome that a data abort with the core's syndrome ``esr`` should have; it is stored."""
        abort = decode_data_abort(esr)
        if abort.stage1_walk:
            esr = self._walk_status(esr)
        elif abort.valid and plain_form(self._fetch(self._u64[self._pc])) is None:
            esr = without_isv(esr)
        self._u32[self._syndrome] = esr
        return esr

    def instruction_abort(self, esr: int) -> int:
        """The same for an instruction abort."""
        if decode_instruction_abort(esr).stage1_walk:
            esr = self._walk_status(esr)
        self._u32[self._syndrome] = esr
        return esr

    def _walk_status(self, esr: int) -> int:
        # The walk only ever reads descriptors (there is no hardware update of flags), and all of a page fares alike.
        ipa = fault_ipa(self._u64[self._hpfar], 0)
        fault = self._memory.walk_ipa(ipa, Access.READ).fault
        return esr if fault is None else with_fault_status(esr, fault.fault_status)
