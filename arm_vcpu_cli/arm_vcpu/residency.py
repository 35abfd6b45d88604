"""vCPUs that take turns on one physical CPU: whose state the core holds, and what changes with it.

All that a core holds of a vCPU is in the saved state, which each exit leaves behind, but for four things: who is called
for its exceptions, HCR_EL2.VI and VF, cached translations, and the mark of the exclusive monitor, which is no vCPU's
any longer once another one has executed (DDI 0487, B2.12).

Cached translations may stay where they were all made by the same tables and controls, and whoever comes has those too.
A vCPU that has had others in between has emptied the TLB itself, as it would have to on a CPU of its own; one that is
interrupted before it gets there has other ones than when it came.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Final

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.interrupt_lines import VirtualInterruptLines
from arm_vcpu_cli.arm_vcpu.pcpu import Aarch64PerCpu
from arm_vcpu_cli.engine.layout import NOT_EXCLUSIVE, CpuState
from arm_vcpu_cli.engine.port import ExceptionHook

_REGIME: Final = tuple(lookup(f"{name}_EL1") for name in ("SCTLR", "TTBR0", "TTBR1", "TCR", "MAIR"))
"""What decides how the EL1&0 regime translates, beside stage 2."""


class Residency:
    """Puts one bound vCPU onto its physical CPU in the place of another."""

    __slots__ = ("_cpu", "_exclusive", "_flush_tlb", "_hook", "_lines", "_regime", "_set_hook", "_stage2", "_u64")

    def __init__(
        self, cpu: Aarch64PerCpu, state: CpuState, lines: VirtualInterruptLines, stage2: int, hook: ExceptionHook
    ) -> None:
        """``stage2`` is VTTBR_EL2; ``hook`` is called for exceptions while the vCPU is there."""
        self._cpu = cpu
        self._u64 = state.u64
        self._lines = lines
        self._hook = hook
        self._set_hook, self._flush_tlb = cpu.core.set_exception_hook, cpu.core.flush_tlb
        layout = state.layout
        self._exclusive = layout.exclusive // 8
        self._regime = itemgetter(*(layout.sysregs[reg] // 8 for reg in _REGIME if reg in layout.sysregs))
        self._stage2 = stage2

    @property
    def here(self) -> bool:
        """Whether the core holds this vCPU."""
        return self._cpu.loaded is self

    def take(self) -> None:
        """Be the one that the core holds; the saved state is loaded by the caller, afterwards."""
        cpu, before = self._cpu, self._cpu.loaded
        if before is self:
            return
        mine = self.translation()
        if isinstance(before, Residency):
            if not mine == cpu.cached == before.translation():
                self._flush_tlb()
            lines = before.leave()
            self._lines.enter(lines)
        else:
            self._flush_tlb()
            self._lines.enter()
        cpu.cached = mine
        self._u64[self._exclusive] = NOT_EXCLUSIVE
        self._set_hook(self._hook)
        cpu.loaded = self

    def listen(self) -> None:
        """Have the hook called again, after somebody else has had another one called."""
        self._set_hook(self._hook)

    def translation(self) -> tuple[object, ...]:
        """What decides how addresses are translated now."""
        return self._stage2, self._regime(self._u64)

    def leave(self) -> int:
        """Another one is about to be loaded; what the core was told of the interrupt lines."""
        self._lines.leave()
        self._cpu.loaded = None
        return self._lines.driven

    def go_on(self, *, here: bool) -> None:
        """The saved state is about to be exchanged for another one, of a vCPU that the core held or did not."""
        if here:
            self.take()
        elif self.here:
            self.leave()
        self._cpu.cached = None

    def forget(self) -> None:
        """The saved state was exchanged for another: load it as if the vCPU had not been there."""
        self._cpu.cached = None
        if self.here:
            self.leave()
