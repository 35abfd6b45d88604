"""The clock of a machine: the system counter, and the alarms of its devices, over a CPU core.

Two kinds, both in nanoseconds since reset. Under the instruction clock each instruction that the guest executes takes
one, and a guest that waits skips to its next alarm: two runs are the same to the bit. The host clock follows the
host's time.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.devices.device_clock import NANOSECONDS_PER_TICK
from arm_vcpu_cli.engine.port import UNLIMITED, CounterReads, CpuCore

_NEVER: Final = 1 << 72
"""Later than a run can get by waiting and executing, see :data:`_LAST_ALARM`."""
_LAST_ALARM: Final = 1 << 68
"""Nanoseconds. What a device wants at this time or later does not happen, or a guest could wait for ever; the
machine's own alarms go on until the guest has executed for as long as nobody watches."""
_LONGEST_SLICE: Final = 10_000_000
"""Nanoseconds after which the host clock looks again how fast the guest executes."""
_SHORTEST_SLICE: Final = 20_000
"""Instructions; shorter slices would cost more than they gain."""
_FIRST_RATE: Final = 0.2
"""Instructions a nanosecond, before anything is known."""


class MachineAlarm:
    """Implements the devices' ``Alarm``; ``due`` is when it goes off, in nanoseconds.

    ``silent`` alarms are the machine's own: no interrupt of the host's timer is seen when one goes off.
    """

    __slots__ = ("_clock", "callback", "due", "silent")

    def __init__(self, clock: MachineClock, callback: Callable[[], None], *, silent: bool) -> None:
        self._clock = clock
        self.callback = callback
        self.silent = silent
        self.due = _NEVER

    def set(self, tick: int) -> None:
        """See :class:`~arm_vcpu_cli.devices.device_clock.Alarm`."""
        due = tick * NANOSECONDS_PER_TICK
        self.set_at(due if due < _LAST_ALARM else _NEVER)

    def set_at(self, nanoseconds: int) -> None:
        """The same by nanoseconds, which are finer than ticks."""
        self.due = nanoseconds
        self._clock.rearm()

    def cancel(self) -> None:
        """See :class:`~arm_vcpu_cli.devices.device_clock.Alarm`."""
        if self.due != _NEVER:
            self.due = _NEVER
            self._clock.rearm()


class MachineClock(ABC):
    """What both kinds share: the alarms. ``rearm`` gives the core a budget that ends no later than the next one."""

    follows_host = False
    """Whether time passes by itself while the guest waits."""

    def __init__(self, core: CpuCore) -> None:
        self._core = core
        self._alarms: list[MachineAlarm] = []
        core.count_instructions()

    @abstractmethod
    def now(self) -> int:
        """Nanoseconds since reset."""

    @abstractmethod
    def rearm(self) -> None:
        """Have the core stop when the next alarm is due."""

    @abstractmethod
    def skip_to(self, nanoseconds: int) -> None:
        """The guest has waited until then."""

    @abstractmethod
    def spend(self, nanoseconds: int) -> None:
        """Something took the guest so long beside its instructions; for use inside a hook."""

    @abstractmethod
    def counter_reads(self, cost: int, *, physical: bool) -> CounterReads:
        """How the core is to answer reads of the counters, CNTPCT_EL0 only if ``physical``; each takes ``cost``
        nanoseconds of the guest's time."""

    @abstractmethod
    def expire(self, *, budget_used: bool = False) -> None:
        """Call what is due, with the guest stopped; ``budget_used``: the core has stopped for its budget."""

    def ticks(self) -> int:
        """See :class:`~arm_vcpu_cli.devices.device_clock.Clock`."""
        return self.now() // NANOSECONDS_PER_TICK

    def alarm(self, callback: Callable[[], None], *, silent: bool = False) -> MachineAlarm:
        """See :class:`~arm_vcpu_cli.devices.device_clock.Clock`."""
        alarm = MachineAlarm(self, callback, silent=silent)
        self._alarms.append(alarm)
        return alarm

    def next_deadline(self) -> int | None:
        """When the earliest alarm that is set goes off, in nanoseconds."""
        earliest = self._earliest()
        return None if earliest == _NEVER else earliest

    def next_is_silent(self) -> bool:
        """Whether the earliest alarm is one of the machine's own."""
        earliest = self._earliest()
        return earliest != _NEVER and all(alarm.silent for alarm in self._alarms if alarm.due == earliest)

    def _earliest(self) -> int:
        earliest = _NEVER
        for alarm in self._alarms:
            if alarm.due < earliest:
                earliest = alarm.due
        return earliest

    def _call_due(self) -> None:
        now = self.now()
        for alarm in self._alarms:
            if alarm.due <= now:
                alarm.due = _NEVER
                alarm.callback()
        self.rearm()


class InstructionClock(MachineClock):
    """Virtual time by executed instructions; waiting takes none of the host's."""

    def __init__(self, core: CpuCore) -> None:
        super().__init__(core)
        self._elapsed = core.elapsed
        self._skipped = 0
        """Nanoseconds that were waited."""

    def now(self) -> int:
        """See the base."""
        return self._elapsed() + self._skipped

    def ticks(self) -> int:
        """See the base; written out, because guests read the counter all the time."""
        return (self._elapsed() + self._skipped) // NANOSECONDS_PER_TICK

    def rearm(self) -> None:
        """See the base."""
        earliest = self._earliest()
        self._core.set_budget(min(max(earliest - self.now(), 0), UNLIMITED))

    def skip_to(self, nanoseconds: int) -> None:
        """See the base. Time never goes back."""
        self._skipped += max(nanoseconds - self.now(), 0)
        self._core.set_counter_offset(self._skipped)

    def spend(self, nanoseconds: int) -> None:
        """See the base."""
        self._core.spend(nanoseconds)

    def counter_reads(self, cost: int, *, physical: bool) -> CounterReads:
        """See the base."""
        return CounterReads(cost, None, physical)

    def expire(self, *, budget_used: bool = False) -> None:
        """See the base. The alarm that ended the budget is due: a block is not begun if it would go past it."""
        if budget_used:
            earliest = self._earliest()
            if earliest != _NEVER:
                self.skip_to(earliest)
        self._call_due()


class HostClock(MachineClock):
    """The host's monotonic time, from the moment that the clock was made."""

    follows_host = True

    def __init__(self, core: CpuCore, monotonic: Callable[[], int] = time.monotonic_ns) -> None:
        super().__init__(core)
        self._monotonic = monotonic
        self._start = monotonic()
        self._rate = _FIRST_RATE
        self._sample = (0, 0)
        """Time and instruction count when the rate was measured last."""

    def now(self) -> int:
        """See the base."""
        return self._monotonic() - self._start

    def rearm(self) -> None:
        """See the base. How far instructions will reach is a guess: the core is stopped early, and again."""
        earliest = self._earliest()
        if earliest == _NEVER:
            self._core.set_budget(UNLIMITED)
            return
        left = earliest - self.now()
        budget = int(min(left, _LONGEST_SLICE) * self._rate)
        self._core.set_budget(0 if left <= 0 else max(budget, _SHORTEST_SLICE))

    def skip_to(self, nanoseconds: int) -> None:
        """See the base: the host's time has passed by itself."""

    def spend(self, nanoseconds: int) -> None:
        """See the base: that has taken its time already."""

    def counter_reads(self, cost: int, *, physical: bool) -> CounterReads:
        """See the base."""
        return CounterReads(cost, self._start, physical)

    def expire(self, *, budget_used: bool = False) -> None:
        """See the base."""
        then, executed = self._sample
        self._sample = now, count = self.now(), self._core.instruction_count()
        if budget_used and now > then and count > executed:
            measured = (count - executed) / (now - then)
            self._rate = (self._rate + min(max(measured, _FIRST_RATE / 100), _FIRST_RATE * 100)) / 2
        self._call_due()
