"""Decides which ends of a run to explain, and in which form. The report itself is loaded only for those."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.vm.endings import Ending, RunResult

SHORT: Final = "short"
FULL: Final = "full"
NONE: Final = "none"
FORMS: Final = (SHORT, FULL, NONE)

_INPUT_ENDED: Final = "input has ended"
_SILENT_ENDS: Final = (Ending.NO_PROGRESS, Ending.LIMIT, Ending.INTERRUPTED, Ending.RESET)
"""The endings that need a report if a kernel has printed nothing."""


def ended_with_input(message: str) -> bool:
    """Whether the message of an ending reports the end of the input."""
    return _INPUT_ENDED in message


def was_stopped(result: RunResult) -> bool:
    """Whether a guest was stopped or reached the end of its input, and may be healthy: only an examination can show
    whether it was at a standstill."""
    if result.ending is Ending.NO_PROGRESS:
        return ended_with_input(result.message)
    return result.ending in (Ending.LIMIT, Ending.INTERRUPTED)


def wants_report(result: RunResult, form: str | None = None, *, regs: bool = False, kernel: bool = False) -> bool:
    """Whether the end of a run needs explaining: a fault, a panic and a guest that hangs or waits in vain do, unless it
    has only reached the end of its input, and so does a Linux ``kernel`` that has printed nothing. If a ``form`` or
    ``regs`` was requested, every end does but the guest's own."""
    if form == NONE:
        return False
    if kernel and result.printed == 0 and result.ending in _SILENT_ENDS:
        return True
    if result.ending is Ending.NO_PROGRESS and was_stopped(result):
        return regs or form is not None
    if regs or form is not None:
        return result.ending not in (Ending.POWERED_OFF, Ending.RESET, Ending.EXITED)
    return result.ending in (Ending.FAULT, Ending.PANIC, Ending.NO_PROGRESS)
