"""Makes memory executable when the guest first executes from it.

The engine must notice stores to executable memory, which slows them down; so stage 2 forbids execution until it
happens. If stage 1 is off, or maps everything writable and executable, this works page by page. If stage 1 maps a page
read-only for execution, it keeps code and data apart, and the block around the page becomes executable at once: data in
it is still not executable at stage 1.

This is invisible to the guest and does not count as an exit: the abort of the first execution is undone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.arch.registers.el1regs import Spsr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.syndrome.esr import EC_SHIFT, ExceptionClass, decode_instruction_abort
from arm_vcpu_cli.arch.translation.fault_address import fault_ipa
from arm_vcpu_cli.arm_vcpu.guest_memory import GuestMemory
from arm_vcpu_cli.arm_vcpu.stage2 import Stage2AddressSpace
from arm_vcpu_cli.engine.layout import CpuState
from arm_vcpu_cli.engine.port import CpuCore

Watcher = Callable[[int, range], None]
"""Called with the virtual address of an execution and the IPAs that have become executable."""


_EL: Final = int(Spsr.of(M=0b1100))
_UPPER_HALF: Final = 1 << 63
_INSTRUCTION_ABORT: Final = int(ExceptionClass.INSTRUCTION_ABORT_LOWER)


class ExecuteOnDemand:
    """The instruction aborts of one vCPU that only mark its first execution from some memory. ``flush_tlbs`` makes
    every CPU that uses the tables invalidate its cached translations; ``watch`` returns the function to call for each
    first execution."""

    def __init__(
        self,
        state: CpuState,
        stage2: Stage2AddressSpace,
        core: CpuCore,
        memory: GuestMemory,
        flush_tlbs: Callable[[], None],
        watch: Callable[[], Watcher | None] = lambda: None,
    ) -> None:
        layout = state.layout
        self._u32, self._u64 = state.u32, state.u64
        self._pstate = layout.pstate // 4
        self._far = layout.fault_address // 8
        self._hpfar = layout.sysregs[lookup("HPFAR_EL2")] // 8
        self._stage2 = stage2
        self._memory = memory
        self._flush_tlbs, self._expect_user_code_everywhere = flush_tlbs, core.expect_user_code_everywhere
        # Pages of stage 2 under a block of stage 1 need a TLBI by the stage-1 size.
        self._pages = core.tlbi_heeds_stage1
        self._watch = watch
        self.user_code_everywhere = False
        """Whether EL0 has executed in the upper half of the address space."""

    def concerns(self, esr: int) -> bool:
        """Return whether the exception to EL2 with the syndrome ``esr`` in the saved state is such a first
        execution."""
        if esr >> EC_SHIFT != _INSTRUCTION_ABORT:
            return False
        abort = decode_instruction_abort(esr)
        return abort.is_permission and not abort.stage1_walk and self._stage2.is_on_demand(self._ipa())

    def grant(self) -> None:
        """Make the memory executable; the guest then executes the instruction again."""
        vaddr = self._u64[self._far]
        if vaddr & _UPPER_HALF and not self._u32[self._pstate] & _EL:
            self.expect_user_code_everywhere()
        granted = self._stage2.make_executable(self._ipa(), page_only=self._pages and self._has_writable_code(vaddr))
        # Older TLB entries forbid execution, and let stores pass unnoticed.
        self._flush_tlbs()
        watcher = self._watch()
        if watcher is not None:
            watcher(vaddr, granted)

    def expect_user_code_everywhere(self) -> None:
        """Record code of EL0 in the upper half, which the core may have ruled out."""
        self.user_code_everywhere = True
        self._expect_user_code_everywhere()

    def go_on(self, *, user_code_everywhere: bool) -> None:
        """Restore the part of a saved state. A core that has allowed for such code once does so permanently."""
        self.user_code_everywhere = user_code_everywhere
        if user_code_everywhere:
            self._expect_user_code_everywhere()

    def _ipa(self) -> int:
        return fault_ipa(self._u64[self._hpfar], self._u64[self._far])

    def _has_writable_code(self, vaddr: int) -> bool:
        """Return whether EL1 could write where it, or EL0, executes."""
        attributes = self._memory.translate(vaddr).stage1.attributes
        return attributes is None or attributes.write
