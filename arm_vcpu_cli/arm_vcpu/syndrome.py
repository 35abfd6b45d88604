"""Corrects the core's errors in a syndrome (DDI 0487, D24.2, ESR_EL1 and ESR_EL2).

Aborts to EL2: ISV is 1 for single loads and stores with write-back, for which the architecture has 0; and the fault
status of a stage-1 walk that stage 2 refused is not that of the refusal. The correction is made in the saved state, so
that every later reader sees what a PE would have reported.

Traps from EL0 to EL1 of MSR DAIFSet and DAIFClr (SCTLR_EL1.UMA), and of the debug communication channel, which the core
lacks (MDSCR_EL1.TDCC), arrive as undefined instructions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.arch.registers.el1regs import Mdscr, Spsr
from arm_vcpu_cli.arch.registers.sysreg import SysReg, SystemMove, decode_system_move, lookup
from arm_vcpu_cli.arch.syndrome.esr import (
    decode_data_abort,
    decode_instruction_abort,
    system_trap_esr,
    with_fault_status,
    without_isv,
)
from arm_vcpu_cli.arch.translation.fault_address import fault_ipa
from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.arm_vcpu.access import plain_form
from arm_vcpu_cli.arm_vcpu.guest_memory import GuestMemory
from arm_vcpu_cli.engine.layout import CpuState

_DAIF_IMMEDIATE: Final = 0xD503_40DF
_NOT_IMMEDIATE: Final = ~0xF20
"""MSR DAIFSet and DAIFClr, and a mask of the bits that both have in common."""
_EL: Final = int(Spsr.of(M=0b1100))
_TDCC: Final = int(Mdscr.of(TDCC=1))
_CHANNEL: Final = frozenset(lookup(name) for name in ("MDCCSR_EL0", "DBGDTR_EL0", "DBGDTRRX_EL0"))


class SyndromeCorrection:
    """Corrects the syndrome of one saved state. A second correction has no effect."""

    def __init__(self, state: CpuState, memory: GuestMemory, fetch: Callable[[int], int | None]) -> None:
        layout = state.layout
        self._u32 = state.u32
        self._u64 = state.u64
        self._pc = layout.pc // 8
        self._syndrome = layout.syndrome // 4
        self._far = layout.fault_address // 8
        self._hpfar = layout.sysregs[lookup("HPFAR_EL2")] // 8
        self._pstate = layout.pstate // 4
        self._mdscr = layout.sysregs[lookup("MDSCR_EL1")] // 8
        self._memory = memory
        self._fetch = fetch

    def data_abort(self, esr: int) -> int:
        """Return the correct syndrome of a data abort with the core's syndrome ``esr``, and store it."""
        abort = decode_data_abort(esr)
        if abort.stage1_walk:
            esr = self._walk_status(esr)
        elif abort.valid and plain_form(self._fetch(self._u64[self._pc])) is None:
            esr = without_isv(esr)
        self._u32[self._syndrome] = esr
        return esr

    def instruction_abort(self, esr: int) -> int:
        """Correct an instruction abort in the same way."""
        if decode_instruction_abort(esr).stage1_walk:
            esr = self._walk_status(esr)
        self._u32[self._syndrome] = esr
        return esr

    def undefined(self, esr: int, word: int | None) -> int:
        """Return the correct syndrome of an undefined instruction to EL1 with the core's syndrome ``esr``."""
        if word is None or self._u32[self._pstate] & _EL:
            return esr
        if word & _NOT_IMMEDIATE == _DAIF_IMMEDIATE:
            # As QEMU reports it, with op1 and op2 exchanged compared to AArch64.SystemAccessTrapSyndrome.
            op1, crn, crm, op2 = (word >> place & mask for place, mask in ((16, 7), (12, 15), (8, 15), (5, 7)))
            return system_trap_esr(SystemMove(SysReg(0, op2, crn, crm, op1), word & 31, False))
        move = decode_system_move(word)
        if move is not None and move.reg in _CHANNEL and self._u64[self._mdscr] & _TDCC:
            return system_trap_esr(move)
        return esr

    def _walk_status(self, esr: int) -> int:
        # The walk only reads descriptors (there is no hardware update of flags), and all of a page is treated alike.
        ipa = fault_ipa(self._u64[self._hpfar], 0)
        fault = self._memory.walk_ipa(ipa, Access.READ).fault
        return esr if fault is None else with_fault_status(esr, fault.fault_status)
