"""Exceptions to EL1 that no instruction of the guest has caused: an abort or SError that the VMM injects."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arm_vcpu.context_frame import TrapFrame
from arm_vcpu_cli.arm_vcpu.exception import SyncHandlers
from arm_vcpu_cli.arm_vcpu.observer import El1ExceptionRecord, ExitObserver
from arm_vcpu_cli.arm_vcpu.vectors import TrapKind, TrapSource, vector_offset

_NUMBER: Final = 8
"""x8 holds the number of a system call."""


def take_exception(
    handlers: SyncHandlers,
    frame: TrapFrame,
    esr: int,
    far: int | None,
    kind: TrapKind,
    observer: ExitObserver | None,
    vcpu: int,
) -> None:
    """Edit the saved state as an entry into EL1's vector does; PSTATE takes effect at the next entry into the guest.
    ``observer`` is notified if it wants exceptions."""
    origin, el = frame.elr, frame.spsr.el
    handlers.new_pstate = handlers.entry.take(esr, far)
    # From the vector of a synchronous exception to that of the kind.
    frame.elr += vector_offset(TrapSource.CURRENT_SP_EL0, kind)
    if observer is not None and observer.wants_exceptions:
        observer.exception(
            El1ExceptionRecord(observer.now(), kind, esr, far, origin, el, frame.elr, frame.gpr(_NUMBER), vcpu)
        )
