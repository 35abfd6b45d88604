"""How long interrupts wait and take, from the steps that a GIC reports."""

from __future__ import annotations

from arm_vcpu_cli.arch.registers.intid import is_private
from arm_vcpu_cli.devices.gic.v3 import ACKNOWLEDGED, ENDED, RAISED


class InterruptLatency:
    """Remembers when interrupts were raised and acknowledged; times are nanoseconds."""

    def __init__(self) -> None:
        self._raised: dict[tuple[int, int], int] = {}
        self._acknowledged: dict[tuple[int, int], int] = {}

    def step(self, action: str, cpu: int, intid: int, now: int) -> int | None:
        """The time since it was raised for an injection and an acknowledgement, since it was acknowledged for its end;
        None where that was not seen. A private interrupt is each PE's own; a shared one may be raised for one PE and
        taken by another, whose time may not be as far: that is no time at all."""
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
