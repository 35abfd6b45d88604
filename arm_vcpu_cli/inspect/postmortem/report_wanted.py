"""Which ends of a run are to be explained. The report itself is only loaded for those."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.vm.endings import Ending, RunResult

_INPUT_ENDED: Final = "input has ended"


def wants_report(result: RunResult, *, regs: bool = False) -> bool:
    """Whether the end of a run needs explaining: a fault and a panic always do; with ``regs``, every end but the
    guest's own."""
    if regs and result.ending in (Ending.LIMIT, Ending.NO_PROGRESS, Ending.INTERRUPTED):
        return True
    return result.ending in (Ending.FAULT, Ending.PANIC)


def was_stopped(result: RunResult) -> bool:
    """Whether a guest was stopped, or came to the end of what was typed, and may be a healthy one: only a look at it
    can tell whether it was at a standstill."""
    if result.ending is Ending.NO_PROGRESS:
        return _INPUT_ENDED in result.message
    return result.ending in (Ending.LIMIT, Ending.INTERRUPTED)


def wants_advice(result: RunResult, *, kernel: bool = False) -> bool:
    """Whether an end that needs no report still wants a word: a guest that hangs or waits in vain, unless it has only
    come to the end of what was typed, and a Linux ``kernel`` that has not printed anything."""
    if kernel and result.printed == 0:
        return result.ending in (Ending.NO_PROGRESS, Ending.LIMIT, Ending.INTERRUPTED, Ending.RESET)
    return result.ending is Ending.NO_PROGRESS and not was_stopped(result)
