"""vCPUs that take turns on one physical CPU: whose state the core holds, and what changes with it.

Each exit leaves everything that a core holds of a vCPU in the saved state, except for four things: the hook for its
exceptions, HCR_EL2.VI and VF, cached translations, and the mark of the exclusive monitor, which is invalid once another
vCPU has executed (DDI 0487, B2.12). The event register (D1.6) is in the saved state, and is set when a vCPU takes over
the core, because an exception return enters the guest.

Cached translations may stay if they were all made with the same tables and controls, and the next vCPU uses those too.
A vCPU that used others in between has invalidated the TLB itself, as it would have to on a CPU of its own; if it is
interrupted before that, its tables and controls differ from those that it arrived with.
"""

from __future__ import annotations

from functools import partial
from operator import itemgetter
from typing import Final

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.interrupt_lines import VirtualInterruptLines
from arm_vcpu_cli.arm_vcpu.pcpu import Aarch64PerCpu
from arm_vcpu_cli.engine.layout import NOT_EXCLUSIVE, CpuState
from arm_vcpu_cli.engine.port import ExceptionHook

_REGIME: Final = tuple(lookup(f"{name}_EL1") for name in ("SCTLR", "TTBR0", "TTBR1", "TCR", "MAIR"))
"""The controls of the EL1&0 translation regime, besides stage 2."""


class Residency:
    """Puts one bound vCPU onto its physical CPU in place of another."""

    __slots__ = (
        "_cpu",
        "_event",
        "_exclusive",
        "_flush_tlb",
        "_hook",
        "_lines",
        "_regime",
        "_set_hook",
        "_stage2",
        "_u32",
        "_u64",
    )

    def __init__(
        self,
        cpu: Aarch64PerCpu,
        state: CpuState,
        lines: VirtualInterruptLines,
        stage2: int,
        hook: ExceptionHook,
        *,
        system_calls: bool,
    ) -> None:
        """``stage2`` is VTTBR_EL2; ``hook`` is called for exceptions while the vCPU is on the core, and with
        ``system_calls`` for these too."""
        self._cpu = cpu
        self._u32, self._u64 = state.u32, state.u64
        self._lines = lines
        self._hook = hook
        self._set_hook = partial(cpu.core.set_exception_hook, system_calls=system_calls)
        self._flush_tlb = cpu.core.flush_tlb
        layout = state.layout
        self._exclusive, self._event = layout.exclusive // 8, layout.event // 4
        self._regime = itemgetter(*(layout.sysregs[reg] // 8 for reg in _REGIME if reg in layout.sysregs))
        self._stage2 = stage2

    @property
    def here(self) -> bool:
        """Whether the core holds this vCPU."""
        return self._cpu.loaded is self

    def take(self) -> None:
        """Put this vCPU on the core; the caller loads the saved state afterwards."""
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
        self._u32[self._event] = 1
        self._set_hook(self._hook)
        cpu.loaded = self

    def listen(self) -> None:
        """Set the hook again, after another one has replaced it."""
        self._set_hook(self._hook)

    def translation(self) -> tuple[object, ...]:
        """Return what currently determines how addresses are translated."""
        return self._stage2, self._regime(self._u64)

    def leave(self) -> int:
        """Leave the core to another vCPU; return the core's interrupt lines."""
        self._lines.leave()
        self._cpu.loaded = None
        return self._lines.driven

    def go_on(self, *, here: bool) -> None:
        """Prepare for a saved state that replaces the current one, whether or not the core holds this vCPU."""
        if here:
            self.take()
            # The core has the breakpoints of the previous state.
            self._set_hook(self._hook)
        elif self.here:
            self.leave()
        self._cpu.cached = None

    def forget(self) -> None:
        """Load a saved state that has replaced another, as if the vCPU had not been on the core."""
        self._cpu.cached = None
        if self.here:
            self.leave()
