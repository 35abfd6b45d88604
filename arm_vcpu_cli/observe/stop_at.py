"""Stopping a guest at the first exit or exception that it takes in a range of code."""

from __future__ import annotations

from arm_vcpu_cli.arm_vcpu.observer import El1ExceptionRecord, ExitRecord
from arm_vcpu_cli.vm.machine import Machine


class StopAt:
    """Implements :class:`~arm_vcpu_cli.arm_vcpu.observer.ExitObserver`: ends the run like a limit of exits does."""

    wants_entries = False
    wants_exceptions = True
    timing = False

    def __init__(self, machine: Machine, wanted: range) -> None:
        self._machine = machine
        self._wanted = wanted

    def now(self) -> int:
        """Times are of no interest."""
        return 0

    def exit(self, record: ExitRecord) -> None:
        """Look at an exit that has been completed."""
        if record.pc in self._wanted:
            self._stop()

    def entry(self, vcpu: int, pc: int, el: int, *, irq: bool, fiq: bool) -> None:
        """Not asked for."""

    def exception(self, record: El1ExceptionRecord) -> None:
        """Look at an exception that has been taken: the guest stands at its vector."""
        if record.pc in self._wanted:
            self._stop()

    def _stop(self) -> None:
        """As if this exit had been the last one allowed."""
        vcpu = self._machine.current.arch
        vcpu.max_exits = max(vcpu.exits, 1)
        self._machine.request_stop()
