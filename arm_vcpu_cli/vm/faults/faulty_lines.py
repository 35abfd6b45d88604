"""Faults of interrupt inputs: lines whose assertions are counted, and some of which are lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from arm_vcpu_cli.board.fault_description import AtInterrupt, LoseInterrupt
from arm_vcpu_cli.devices.irq import IrqLine
from arm_vcpu_cli.saved import Saved
from arm_vcpu_cli.vm.faults.armed_fault import ArmedFault

SHARED: Final = -1
"""In place of the vCPU of a private interrupt."""
_SHIFT: Final = 1024


class FaultyLines:
    """The interrupt inputs of a machine that faults affect. ``occurs``, ``tell`` and ``later`` are as for accesses;
    ``current`` is the vCPU that has the turn."""

    def __init__(
        self,
        faults: list[ArmedFault],
        *,
        current: Callable[[], int],
        occurs: Callable[[ArmedFault, int], bool],
        tell: Callable[[ArmedFault, int, str], None],
        later: Callable[[ArmedFault, int], None],
    ) -> None:
        self._faults = faults
        self._current = current
        self._occurs = occurs
        self._tell = tell
        self._later = later
        self._high: set[int] = set()
        """The inputs that are asserted by their devices, each as one number."""
        self._lost: set[int] = set()
        """The inputs whose assertion the interrupt controller has missed."""
        self.driven: set[int] = set()
        """The INTIDs of wrapped inputs."""

    def wrap(self, cpu: int, intid: int, line: IrqLine) -> IrqLine:
        """Return the input of an interrupt with the faults that affect it; the input itself if there are none."""
        faults = [fault for fault in self._faults if _concerns(fault, cpu, intid)]
        if not faults:
            return line
        place = (cpu + 1) * _SHIFT + intid
        high, lost = self._high, self._lost
        self.driven.add(intid)

        def set_level(level: bool) -> None:
            if not level:
                high.discard(place)
                if place in lost:
                    lost.discard(place)
                    return
            elif place not in high:
                high.add(place)
                if self._is_lost(faults, cpu, intid):
                    lost.add(place)
            if place not in lost:
                line(level)

        return set_level

    def _is_lost(self, faults: list[ArmedFault], cpu: int, intid: int) -> bool:
        vcpu, lost = self._current() if cpu == SHARED else cpu, False
        for fault in faults:
            if not self._occurs(fault, vcpu):
                continue
            if isinstance(fault.description.effect, LoseInterrupt):
                lost = True
                self._tell(fault, vcpu, f"INTID {intid} is lost")
            else:
                self._later(fault, vcpu)
        return lost

    def reset(self) -> None:
        """Record that all devices have been reset: no input is asserted."""
        self._high.clear()
        self._lost.clear()

    def save(self) -> dict[str, Any]:
        """Return the levels as plain data."""
        return {"high": sorted(self._high), "lost": sorted(self._lost)}

    def load(self, saved: Saved) -> None:
        """Restore what :meth:`save` returned. Raises ValueError for anything else."""
        high, lost = (saved.numbers(name, None, 1 << 32) for name in ("high", "lost"))
        self.reset()
        self._high.update(high)
        self._lost.update(lost)


def _concerns(fault: ArmedFault, cpu: int, intid: int) -> bool:
    trigger = fault.description.trigger
    if not isinstance(trigger, AtInterrupt) or trigger.intid != intid:
        return False
    return cpu == SHARED or fault.description.cpu in (None, cpu)
