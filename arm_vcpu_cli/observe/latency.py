"""Measures the waiting and handling times of interrupts, from the steps that a GIC reports."""

from __future__ import annotations

from typing import Any

from arm_vcpu_cli.arch.registers.intid import is_private
from arm_vcpu_cli.devices.gic.v3 import ACKNOWLEDGED, ENDED, RAISED


class InterruptLatency:
    """Records when interrupts are raised and acknowledged; times are nanoseconds."""

    def __init__(self) -> None:
        self._raised: dict[tuple[int, int], int] = {}
        self._acknowledged: dict[tuple[int, int], int] = {}

    def remembered(self) -> Any:
        """Return when the interrupts in progress were raised and acknowledged."""
        return dict(self._raised), dict(self._acknowledged)

    def recall(self, remembered: Any) -> None:
        """Restore what :meth:`remembered` returned."""
        self._raised, self._acknowledged = map(dict, remembered)

    def step(self, action: str, cpu: int, intid: int, now: int) -> int | None:
        """The latency of a step: for an injection or acknowledgement the time since the raise, for an end of interrupt
        the time since the acknowledgement; None if that was not observed. Private interrupts are tracked for each PE; a
        shared one may be raised for one PE and taken by another whose time is behind, which counts as zero."""
        key = (cpu if is_private(intid) else 0, intid)
        if action == RAISED:
            self._raised[key] = now
            return None
        if action == ENDED:
            begun = self._acknowledged.pop(key, None)
        else:
            begun = self._raised.get(key)
            if action == ACKNOWLEDGED:
                self._acknowledged[key] = now
        return None if begun is None else max(0, now - begun)
