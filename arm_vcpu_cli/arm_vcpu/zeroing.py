"""Emulates DC ZVA, which HCR_EL2.TDZ traps: zeroes a block of the size in DCZID_EL0, or injects the abort that a store
takes."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.fault import FSC_ALIGNMENT, FSC_EXTERNAL
from arm_vcpu_cli.arch.registers.cacheregs import Dczid
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.syndrome.esr import ExceptionClass, decode_system_trap
from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.arm_vcpu.context_frame import TrapFrame
from arm_vcpu_cli.arm_vcpu.exception import ExitOrNone, Handler, SyncHandlers
from arm_vcpu_cli.arm_vcpu.guest_memory import GuestMemory, Translation
from arm_vcpu_cli.arm_vcpu.platform import Aarch64Hal, Outcome, Platform
from arm_vcpu_cli.axvcpu.exit import AccessFlags, NestedPageFault
from arm_vcpu_cli.engine.port import CpuCore
from arm_vcpu_cli.errors import MemoryMapError

DC_ZVA: Final = lookup("DC ZVA")
_DCZID_EL0: Final = lookup("DCZID_EL0")
_WORD: Final = 4


class Zeroing:
    """Executes DC ZVA for a vCPU and passes all other trapped system instructions to the handlers' own handler."""

    def __init__(
        self,
        core: CpuCore,
        hal: Aarch64Hal,
        platform: Platform,
        frame: TrapFrame,
        memory: GuestMemory,
        handlers: SyncHandlers,
    ) -> None:
        self._forget_code = core.forget_code
        self._hal = hal
        self._platform = platform
        self._frame = frame
        self._memory = memory
        self._handlers = handlers
        self._other: Handler = handlers.sync_table[ExceptionClass.SYSTEM]
        self._size = _WORD << Dczid(core.read_sysreg(_DCZID_EL0)).BS

    def system(self, esr: int) -> ExitOrNone:
        """Handle a trapped system instruction."""
        trap = decode_system_trap(esr)
        if trap.reg != DC_ZVA or trap.is_read:
            return self._other(esr)
        # The block is aligned to its size, so it lies in one page.
        address, pstate = self._frame.gpr(trap.register), self._frame.spsr
        translation = self._memory.translate(
            address & -self._size, el=pstate.el, access=Access.WRITE, pan=bool(pstate.PAN)
        )
        fault = translation.stage1.fault
        if fault is not None:
            return self._abort(address, fault.fault_status)
        if translation.paddr is None:
            return self._refused(address, translation)
        try:
            block = self._hal.memory(translation.paddr, self._size)
        except MemoryMapError:
            # A device that is passed through.
            return self._abort(address, _status(translation))
        block[:] = bytes(self._size)
        self._forget_code(translation.paddr, self._size)
        self._frame.advance()
        return None

    def _refused(self, address: int, translation: Translation) -> ExitOrNone:
        """Handle a block in which stage 2 forbids stores or maps nothing."""
        stage2, ipa = translation.stage2, translation.stage1.output
        if stage2 is None or stage2.attributes is None or ipa is None:
            return self._abort(address, _status(translation))
        outcome = self._platform.page_fault(ipa, AccessFlags.WRITE)
        if outcome is Outcome.EXIT:
            return NestedPageFault(ipa, AccessFlags.WRITE)
        if outcome is Outcome.DONE:
            self._frame.advance()
            return None
        return self._abort(address, FSC_EXTERNAL)

    def _abort(self, address: int, status: int) -> ExitOrNone:
        self._handlers.note = "data abort into the guest"
        self._handlers.new_pstate = self._handlers.entry.data_abort(address, status, is_write=True)
        return None


def _status(translation: Translation) -> int:
    """The fault status for a block without memory: alignment in Device memory, which DC ZVA does not support."""
    attributes = translation.stage1.attributes
    is_device = attributes is not None and attributes.memory.is_device
    return FSC_ALIGNMENT if is_device else FSC_EXTERNAL
