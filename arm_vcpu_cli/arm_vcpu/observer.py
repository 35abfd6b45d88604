"""What a vCPU tells an observer of each exit: facts, not text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from arm_vcpu_cli.arm_vcpu.context_frame import TrapFrame
from arm_vcpu_cli.axvcpu.exit import AxVCpuExitReason, CpuUp, Hypercall, MmioRead, SysRegRead


@dataclass
class ExitRecord:
    """One exit. ``esr`` is ESR_EL2 (None for what is completed without an exception to EL2), ``pc`` the preferred
    return address, ``el`` where the guest was; ``value`` is what a read or a call returned (64 bits)."""

    time: int
    reason: AxVCpuExitReason
    esr: int | None
    pc: int
    el: int
    value: int | None = None
    note: str = ""

    def finish(self, frame: TrapFrame) -> None:
        """Take the result from the registers, once the exit has been completed."""
        if self.note:
            return
        if isinstance(self.reason, (MmioRead, SysRegRead)):
            self.value = frame.gpr(self.reason.reg)
        elif isinstance(self.reason, (Hypercall, CpuUp)):
            self.value = frame.gpr(0)


class ExitObserver(Protocol):
    """Whoever watches a vCPU."""

    def now(self) -> int:
        """The time of an exit, in nanoseconds of the clock that the trace uses."""

    def exit(self, record: ExitRecord) -> None:
        """One exit, after it was completed."""
