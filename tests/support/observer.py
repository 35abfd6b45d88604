"""An observer of a vCPU that keeps its reports."""

from __future__ import annotations

from dataclasses import dataclass, field

from arm_vcpu_cli.arm_vcpu.observer import El1ExceptionRecord, ExitRecord


@dataclass
class Observer:
    """Its clock advances by 10 with each look at it; it hears of exits, and if it wants of entries and exceptions."""

    records: list[ExitRecord] = field(default_factory=list)
    entries: list[tuple[int, int, bool, bool]] = field(default_factory=list)
    exceptions: list[El1ExceptionRecord] = field(default_factory=list)
    time: int = 0
    wants_entries: bool = False
    wants_exceptions: bool = False
    timing: bool = False

    def now(self) -> int:
        """See the protocol."""
        self.time += 10
        return self.time

    def exit(self, record: ExitRecord) -> None:
        """See the protocol."""
        self.records.append(record)

    def entry(self, vcpu: int, pc: int, el: int, *, irq: bool, fiq: bool) -> None:
        """See the protocol."""
        self.entries.append((pc, el, irq, fiq))

    def exception(self, record: El1ExceptionRecord) -> None:
        """See the protocol."""
        self.exceptions.append(record)
