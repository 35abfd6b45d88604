"""The endings of runs, and their exit statuses (the manual's topic ``exit-status`` lists them)."""

from __future__ import annotations

from enum import Enum
from typing import Final

from arm_vcpu_cli.arch.smccc import from_u64
from arm_vcpu_cli.record import Record

STATUS_OFF: Final = 0
STATUS_FAILED: Final = 1
LAST_GUEST_STATUS: Final = 119
"""Higher statuses are the command's own: a guest that exits with one of them, or a larger one, ends with 1."""
STATUS_RESET: Final = 121
STATUS_FAULT: Final = 122
STATUS_NO_PROGRESS: Final = 123
STATUS_LIMIT: Final = 124
STATUS_INTERRUPTED: Final = 130


class Ending(Enum):
    """How a run ended."""

    POWERED_OFF = "powered off"
    RESET = "reset"
    PANIC = "panic"
    EXITED = "exited"
    FAULT = "fault"
    NO_PROGRESS = "no progress"
    LIMIT = "limit"
    INTERRUPTED = "interrupted"


ENDS_OF_A_PANIC: Final = (Ending.POWERED_OFF, Ending.RESET, Ending.NO_PROGRESS)
"""The endings of a guest that panicked and then ended by itself."""

ENDS_FOR_GOOD: Final = frozenset({Ending.POWERED_OFF, Ending.RESET, Ending.EXITED, Ending.PANIC, Ending.FAULT})
"""The endings after which there is nothing to run; after the others the guest could continue."""


class RunResult(Record):
    """The end of a run: ``status`` is the command's exit status, ``message`` one line for the user.

    ``quiet`` is the number of host seconds since the guest's last exit, ``idle`` the number of guest seconds that it
    has spent mostly waiting; both as far as known, and 0 for a busy guest. ``printed`` is the number of bytes that the
    guest has printed, None if they were not counted.
    """

    ending: Ending
    status: int
    message: str
    exits: int = 0
    seconds: float = 0.0
    quiet: float = 0.0
    idle: float = 0.0
    printed: int | None = None


def exited(status: int) -> RunResult:
    """The result of a guest that exited with a status of 64 bits."""
    message = f"the guest exited with status {from_u64(status)}"
    if status > LAST_GUEST_STATUS:
        message += f", reported as {STATUS_FAILED}: statuses from {LAST_GUEST_STATUS + 1} on have other meanings"
        status = STATUS_FAILED
    return RunResult(Ending.EXITED, status, message)
