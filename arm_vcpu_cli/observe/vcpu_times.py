"""The times of a machine's vCPUs as its events have them: each vCPU has its own, which never goes back.

What one vCPU does to another, such as sending it an interrupt, is reported at the time of the target: that is when the
target can see it, so the report comes before its consequences. A vCPU that waits is woken at the time of the one that
wakes it, if that is later than its own.
"""

from __future__ import annotations

from arm_vcpu_cli.vm.cpu import Activity
from arm_vcpu_cli.vm.machine import Machine


class VcpuTimes:
    """Nanoseconds on the machine's clock."""

    def __init__(self, machine: Machine) -> None:
        self._scheduler = machine.scheduler
        self._timeline = machine.timeline
        self._cpus = machine.cpus
        self._ahead: dict[int, int] = {}
        """What was told of a vCPU that waited or was off, at a time that its own may not have reached: it may be woken
        for something earlier."""

    def now(self) -> int:
        """The time of the vCPU that has its turn."""
        time = self._timeline.now()
        return self._caught_up(time) if self._ahead else time

    def of(self, vcpu: int) -> int:
        """The time of any vCPU, for what happens to it now."""
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
