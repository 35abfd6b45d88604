"""Routes the debug exceptions of a guest to EL2 (MDCR_EL2.TDE).

TDE is not set in the core: it would then also take exceptions that EL1 masks, and EL2 would have to step over their
instructions. Instead, debug exceptions that the core takes to EL1 become exits, and EL2 reflects each to EL1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.arch.syndrome.esr import EC_SHIFT, ExceptionClass
from arm_vcpu_cli.arm_vcpu.exception import ExitOrNone, Handler, SyncHandlers
from arm_vcpu_cli.arm_vcpu.inject import sets_far
from arm_vcpu_cli.engine.layout import CpuState

_EL1, _EL2 = 1, 2
_CHANGING: Final = (
    (ExceptionClass.BREAKPOINT_LOWER, ExceptionClass.BREAKPOINT),
    (ExceptionClass.SOFTWARE_STEP_LOWER, ExceptionClass.SOFTWARE_STEP),
    (ExceptionClass.WATCHPOINT_LOWER, ExceptionClass.WATCHPOINT),
)
"""Pairs of classes for an exception from a lower and from the same Exception level; EL2 sees the former."""
_ROUTED: Final = {int(each): int(lower) for lower, same in _CHANGING for each in (lower, same)} | {
    int(ExceptionClass.BRK64): int(ExceptionClass.BRK64)
}
_SAME_LEVEL: Final = {int(lower): int(same) for lower, same in _CHANGING}
_REST: Final = (1 << EC_SHIFT) - 1


def routed(save: Callable[[], object], state: CpuState) -> Callable[[], None]:
    """Return a function that saves the state as ``save`` does, but turns debug exceptions to EL1 into exceptions to
    EL2."""
    u32, layout = state.u32, state.layout
    target_el, syndrome, event = layout.target_el // 4, layout.syndrome // 4, layout.event // 4

    def save_routed() -> None:
        save()
        if u32[target_el] == _EL1:
            esr = u32[syndrome]
            lower = _ROUTED.get(esr >> EC_SHIFT)
            if lower is not None:
                u32[target_el], u32[syndrome] = _EL2, lower << EC_SHIFT | esr & _REST
                # On behalf of the return from EL2.
                u32[event] = 1

    return save_routed


def reflect(state: CpuState, handlers: SyncHandlers) -> None:
    """Make the handlers reflect debug exceptions to EL1."""
    entry, u64, far = handlers.entry, state.u64, state.layout.fault_address // 8

    def reflected(esr: int) -> ExitOrNone:
        exception_class = esr >> EC_SHIFT
        if entry.from_el1:
            exception_class = _SAME_LEVEL.get(exception_class, exception_class)
        handlers.note = "debug exception into the guest"
        handlers.new_pstate = entry.take(
            exception_class << EC_SHIFT | esr & _REST, u64[far] if sets_far(exception_class) else None
        )
        return None

    handler: Handler = reflected
    for exception_class in set(_ROUTED.values()):
        handlers.sync_table[exception_class] = handler
    handlers.routes_debug = True
