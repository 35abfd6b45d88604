"""A vCPU's knowledge of its run besides its state: the exit being reported, the latest exits, and the core's interrupt
lines. Time travel in a debugger requires all of it."""

from __future__ import annotations

from copy import copy
from typing import Any

from arm_vcpu_cli.arm_vcpu.exit_state import ExitState
from arm_vcpu_cli.arm_vcpu.interrupt_lines import VirtualInterruptLines
from arm_vcpu_cli.arm_vcpu.recorder import FlightRecorder


class VcpuMemory:
    """Implements :class:`~arm_vcpu_cli.saved.Remembers`."""

    def __init__(self, exits: ExitState, recorder: FlightRecorder, lines: VirtualInterruptLines) -> None:
        self._exits = exits
        self._recorder = recorder
        self._lines = lines

    def remembered(self) -> Any:
        """The exit being reported, the latest exits, and the interrupt lines."""
        exits = self._exits
        return copy(exits.record), exits.reason, exits.began, self._recorder.remembered(), self._lines.driven

    def recall(self, remembered: Any) -> None:
        """Restore it, once the state of that moment is loaded and in the core."""
        record, reason, began, recent, driven = remembered
        exits = self._exits
        # A record is completed when it is reported.
        exits.record, exits.reason, exits.began = copy(record), reason, began
        self._recorder.recall(recent)
        self._lines.recall(driven)
