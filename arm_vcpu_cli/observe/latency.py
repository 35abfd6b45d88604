"""How long interrupts wait and take, from the steps that a GIC tells of."""

from __future__ import annotations

from arm_vcpu_cli.devices.gic.v3 import ACKNOWLEDGED, ENDED, RAISED


class InterruptLatency:
    """Remembers when interrupts were raised and acknowledged; times are nanoseconds."""

    def __init__(self) -> None:
        self._raised: dict[int, int] = {}
        self._acknowledged: dict[int, int] = {}

    def step(self, action: str, intid: int, now: int) -> int | None:
        """The time since it was raised for an injection and an acknowledgement, since it was acknowledged for its end;
        None where that was not seen."""
        if action == RAISED:
            self._raised[intid] = now
            return None
        if action == ENDED:
            begun = self._acknowledged.pop(intid, None)
        else:
            begun = self._raised.get(intid)
            if action == ACKNOWLEDGED:
                self._acknowledged[intid] = now
        return None if begun is None else now - begun
