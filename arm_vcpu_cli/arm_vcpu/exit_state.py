"""The exits of a vCPU: their number, its limit, and the one that waits for its result."""

from __future__ import annotations

import time
from typing import Final

from arm_vcpu_cli.arm_vcpu.context_frame import TrapFrame
from arm_vcpu_cli.arm_vcpu.observer import ExitObserver, ExitRecord
from arm_vcpu_cli.axvcpu.exit import AxVCpuExitReason, CpuDown, ExternalInterrupt, Halt, SendIPI, SystemDown

NO_LIMIT: Final = -1
COMPLETE: Final = (Halt, SystemDown, CpuDown, ExternalInterrupt, SendIPI)
"""Exits that are reported before ``run()`` returns them: the VMM has no result to add."""


class ExitState:
    """The exits of a vCPU: their number and its limit, the reason that ``run()`` returns, and the report on it that
    waits for its result, with the host's time at its start."""

    __slots__ = ("began", "count", "limit", "reason", "record")

    def __init__(self) -> None:
        self.count = 0
        self.limit = NO_LIMIT
        self.reason: AxVCpuExitReason | None = None
        self.record: ExitRecord | None = None
        self.began = 0

    def report(self, observer: ExitObserver, frame: TrapFrame, note: str) -> None:
        """Report the exit that waits for its result, if there is one."""
        record = self.record
        if record is not None:
            self.record = None
            record.note = note
            record.finish(frame)
            if observer.timing:
                record.host_ns = time.perf_counter_ns() - self.began
            observer.exit(record)
