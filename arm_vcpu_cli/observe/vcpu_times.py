"""The times of a machine's vCPUs for its events: each vCPU has its own time, which never goes back.

An action of one vCPU on another, such as sending it an interrupt, is reported at the target's time: the target can see
it then, so the report precedes the consequences. A waiting vCPU wakes at the time of the vCPU that wakes it, if that is
later than its own.
"""

from __future__ import annotations

from typing import Any

from arm_vcpu_cli.vm.cpu import Activity
from arm_vcpu_cli.vm.machine import Machine


class VcpuTimes:
    """Nanoseconds on the machine's clock."""

    def __init__(self, machine: Machine) -> None:
        self._scheduler = machine.scheduler
        self._timeline = machine.timeline
        self._cpus = machine.cpus
        self._ahead: dict[int, int] = {}
        """The time last reported for a vCPU that waited or was off, which its own time may not have reached: an earlier
        event may still wake it."""

    def remembered(self) -> Any:
        """Return how far each vCPU's time is ahead now."""
        return dict(self._ahead)

    def recall(self, remembered: Any) -> None:
        """Restore the times that :meth:`remembered` returned."""
        self._ahead = dict(remembered)

    def now(self) -> int:
        """The time of the current vCPU."""
        time = self._timeline.now()
        return self._caught_up(time) if self._ahead else time

    def of(self, vcpu: int) -> int:
        """The time of any vCPU, for an event that affects it now."""
        cpu = self._cpus[vcpu]
        if cpu is self._scheduler.current or self._timeline.follows_host:
            return self.now()
        time = max(cpu.time, self._ahead.get(vcpu, 0))
        if cpu.activity is not Activity.RUNNING:
            time = self._ahead[vcpu] = max(time, self._timeline.now())
        return time

    def _caught_up(self, time: int) -> int:
        current = self._scheduler.current.index
        told = self._ahead.get(current)
        if told is None:
            return time
        if told > time:
            return told
        del self._ahead[current]
        return time
