"""Traps of FP, SIMD and SVE to EL2 (CPTR_EL2.TFP and TZ).

This works as in a hypervisor that switches these registers lazily: the first instruction that needs them exits, EL2
clears the trap of this vCPU, and the guest executes the instruction again. A reset sets the trap again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from arm_vcpu_cli.arch.registers.el2regs import Cptr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.syndrome.esr import ExceptionClass
from arm_vcpu_cli.engine.layout import CpuState
from arm_vcpu_cli.engine.port import CpuCore

_TRAPS: Final = (("TFP", ExceptionClass.FP_ACCESS), ("TZ", ExceptionClass.SVE))


def fp_trap_handlers(
    state: CpuState, core: CpuCore, cptr: Sequence[str]
) -> Mapping[ExceptionClass, Callable[[int], None]]:
    """Return the handlers of the named traps, for a vCPU with this saved state."""
    if not cptr:
        return {}
    register = lookup("CPTR_EL2")
    place, write = state.layout.sysregs[register] // 8, core.sysreg_writer(register)
    save, restore = core.saver(state), core.restorer(state)

    def clear(bit: int, _esr: int) -> None:
        restore()
        # Write the register instead of editing the saved state, because the core must apply it.
        write(state.u64[place] & ~bit)
        save()

    return {
        exception_class: partial(clear, int(Cptr.of(**{name: 1}))) for name, exception_class in _TRAPS if name in cptr
    }
