"""The time of a machine: the present time and the alarms of its devices, across its physical CPUs.

There are two clocks, both in nanoseconds since reset. Under the instruction clock each executed instruction takes one
nanosecond, and a waiting vCPU skips to its next alarm: runs repeat bit for bit. The host clock follows the host's time.

Several vCPUs take turns on a core, but run concurrently in guest time. So under the instruction clock each has its own
time, which stands still while another has its turn; the scheduler limits how far they drift apart. An alarm of a vCPU
is due by that vCPU's time; an alarm of the machine is due as soon as any vCPU reaches its time.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Final

from arm_vcpu_cli.devices.device_clock import NANOSECONDS_PER_TICK
from arm_vcpu_cli.engine.port import UNLIMITED, CounterReads, CpuCore
from arm_vcpu_cli.saved import Saved

NEVER: Final = 1 << 72
"""A time later than any run reaches by waiting and executing, see :data:`_LAST_ALARM`."""
_LAST_ALARM: Final = 1 << 68
"""Nanoseconds. A device alarm at this time or later never fires, because a guest could wait forever; the machine's own
alarms continue for longer than any run lasts."""
_LONGEST_SLICE: Final = 10_000_000
"""Nanoseconds between the host clock's measurements of the guest's speed."""
_SHORTEST_SLICE: Final = 20_000
"""The shortest slice, in instructions; a shorter one would cost more than it gains."""
_VERSION: Final = 1
"""The version of a saved state."""
LIMITS: Final = -1
"""The owner of alarms that only stop the run: the guest does not notice them, nothing waits for them, and they are not
part of the state."""
_FIRST_RATE: Final = 0.2
"""The initial estimate of instructions per nanosecond."""


class TimelineAlarm:
    """Implements the devices' ``Alarm``; ``due`` is the time at which it fires, in nanoseconds.

    ``cpu`` is the vCPU whose alarm it is, None for the machine's. ``silent`` alarms are the machine's own: they fire
    without a visible interrupt of the host's timer.
    """

    __slots__ = ("_timeline", "callback", "cpu", "due", "name", "silent")

    def __init__(
        self, timeline: Timeline, name: str, cpu: int | None, callback: Callable[[], None], *, silent: bool
    ) -> None:
        self._timeline = timeline
        self.name = name
        self.cpu = cpu
        self.callback = callback
        self.silent = silent
        self.due = NEVER

    def set(self, tick: int) -> None:
        """Set the alarm to a tick of the counter; one too far away to be reached is not set."""
        due = tick * NANOSECONDS_PER_TICK
        self.set_at(due if due < _LAST_ALARM else NEVER)

    def set_at(self, nanoseconds: int) -> None:
        """Set it in nanoseconds, which are finer than ticks."""
        self.due = nanoseconds
        self._timeline.rearm()

    def cancel(self) -> None:
        """Cancel the alarm, if it is set."""
        if self.due != NEVER:
            self.due = NEVER
            self._timeline.rearm()


class DeviceClock:
    """The time as a device sees it. Implements the devices' ``Clock``.

    Alarms are named after the device, ``owner``, and belong to the vCPU ``cpu`` if the device is private to one.
    """

    def __init__(self, timeline: Timeline, owner: str, cpu: int | None = None) -> None:
        self._timeline = timeline
        self._owner = owner
        self._cpu = cpu
        self.ticks = timeline.ticks

    def alarm(self, callback: Callable[[], None], name: str) -> TimelineAlarm:
        """Return an alarm of this owner, on the timeline of its vCPU."""
        return self._timeline.alarm(callback, name=f"{self._owner}.{name}", cpu=self._cpu)


class Timeline(ABC):
    """The common part of both clocks: the alarms, and the vCPU that has the turn.

    ``rearm`` gives the core a budget that ends no later than the next alarm and the turn.
    """

    follows_host = False
    """Whether time passes by itself while the guest waits."""

    def __init__(self, cores: Sequence[CpuCore]) -> None:
        self._core = cores[0]
        self._cpu = 0
        self._limit = NEVER
        self._alarms: list[TimelineAlarm] = []
        self._own: dict[int | None, list[TimelineAlarm]] = {None: [], LIMITS: []}
        """The alarms of each vCPU, under None those of the machine, and the limits of the run."""
        self._near: list[TimelineAlarm] = []
        """The alarms that end the current turn."""
        self._awaited: dict[str, int] = {}
        """The due times of loaded alarms that have not been created yet."""
        for core in cores:
            core.count_instructions()

    @abstractmethod
    def now(self) -> int:
        """The time of the vCPU that has the turn, in nanoseconds since reset."""

    def reader(self) -> Callable[[], int]:
        """Return a function that returns the same as :meth:`now`, for callers that need it often."""
        return self.now

    @abstractmethod
    def rearm(self) -> None:
        """Make the core stop when the next alarm is due or the turn is over."""

    @abstractmethod
    def skip_to(self, nanoseconds: int) -> None:
        """Note that the guest has waited until this time."""

    @abstractmethod
    def spend(self, nanoseconds: int) -> None:
        """Let this much time pass besides the guest's instructions; for use inside a hook."""

    @abstractmethod
    def counter_reads(self, cost: int, *, physical: bool) -> CounterReads:
        """How the core computes reads of the counters, CNTPCT_EL0 only if ``physical``; each takes ``cost`` nanoseconds
        of the guest's time."""

    @abstractmethod
    def expire(self, *, budget_used: bool = False) -> None:
        """Call the due alarms, with the guest stopped; ``budget_used``: the core has used up its budget."""

    @abstractmethod
    def enter(self, cpu: int, core: CpuCore, nanoseconds: int) -> None:
        """Begin the turn of a vCPU on this core, at its time ``nanoseconds``."""

    def limit_turn(self, nanoseconds: int) -> None:
        """Set the end of the turn, :data:`NEVER` if only alarms end it."""
        self._limit = nanoseconds
        self.rearm()

    def ticks(self) -> int:
        """The counter: the time in ticks."""
        return self.now() // NANOSECONDS_PER_TICK

    def alarm(
        self,
        callback: Callable[[], None],
        name: str = "",
        *,
        cpu: int | None = None,
        silent: bool = False,
        again: bool = False,
    ) -> TimelineAlarm:
        """Return an alarm of a vCPU, or without ``cpu`` the machine's. It is set at once if a loaded state has it set.

        ``again``: it replaces an existing alarm of that name, and keeps its time. Raises ValueError if one exists and
        is not to be replaced.
        """
        alarm = TimelineAlarm(self, name or f"machine.{len(self._alarms)}", cpu, callback, silent=silent)
        for each in self._alarms:
            if each.name == alarm.name:
                if not again:
                    raise ValueError(f"there is an alarm {alarm.name} already")
                self._awaited[alarm.name] = each.due
                self._alarms.remove(each)
                self._own[each.cpu].remove(each)
                break
        self._alarms.append(alarm)
        self._own.setdefault(cpu, []).append(alarm)
        self._near = self._alarms_near(self._cpu)
        if alarm.name in self._awaited:
            alarm.set_at(self._awaited.pop(alarm.name))
        return alarm

    def limit(self, callback: Callable[[], None]) -> TimelineAlarm:
        """Return an alarm that belongs to :data:`LIMITS`, until :meth:`lift`."""
        alarm = TimelineAlarm(self, "", LIMITS, callback, silent=True)
        self._own[LIMITS] = [*self._own[LIMITS], alarm]
        self._near = self._alarms_near(self._cpu)
        return alarm

    def lift(self, alarm: TimelineAlarm) -> None:
        """Remove such an alarm."""
        self._own[LIMITS] = [each for each in self._own[LIMITS] if each is not alarm]
        self._near = self._alarms_near(self._cpu)
        self.rearm()

    def due(self, cpu: int | None) -> int:
        """The due time of a vCPU's earliest alarm, or of the machine's for None; :data:`NEVER` if none is set."""
        earliest = NEVER
        for alarm in self._own.get(cpu, ()):
            if alarm.due < earliest:
                earliest = alarm.due
        return earliest

    def next_deadline(self) -> int | None:
        """The due time of the earliest alarm of any owner, in nanoseconds."""
        earliest = min((alarm.due for alarm in self._alarms), default=NEVER)
        return None if earliest == NEVER else earliest

    def next_is_silent(self) -> bool:
        """Whether the earliest alarm of this turn is one of the machine's own, or no alarm ends the turn."""
        earliest = self._earliest()
        if self._limit < earliest:
            return True
        return earliest != NEVER and all(alarm.silent for alarm in self._near if alarm.due == earliest)

    def ends_by(self, alarm: TimelineAlarm) -> bool:
        """Whether this alarm alone, or together with other silent ones, ends the budget of this turn."""
        due = alarm.due
        if due >= self._limit:
            return False
        return all(other.due > due or (other.silent and other.due == due) for other in self._near)

    def save(self) -> dict[str, Any]:
        """Return the time of the current vCPU, the end of its turn, and the set alarms; only with the guest stopped."""
        alarms = {alarm.name: alarm.due for alarm in self._alarms if alarm.due != NEVER}
        return {
            "version": _VERSION,
            "cpu": self._cpu,
            "now": self.now(),
            "limit": self._limit,
            "alarms": self._awaited | alarms,
        }

    def load(self, state: object, cores: Sequence[CpuCore]) -> None:
        """Restore the state that :meth:`save` returned; ``cores`` are those of the vCPUs. Raises ValueError for any
        other.

        The owners of alarms are not notified; an alarm that does not exist yet is set when it is created.
        """
        saved = Saved(state, "timeline", version=_VERSION)
        cpu, now, limit = saved.number("cpu", len(cores) - 1), saved.number("now", NEVER), saved.number("limit", NEVER)
        alarms = saved.part("alarms")
        due = {name: alarms.number(name, NEVER) for name in alarms.names()}
        for alarm in self._alarms:
            alarm.due = due.pop(alarm.name, NEVER)
        self._awaited = due
        self._begin_at(now)
        self.enter(cpu, cores[cpu], now)
        self.limit_turn(limit)

    @abstractmethod
    def _begin_at(self, nanoseconds: int) -> None:
        """Set the time, regardless of its value before."""

    def _alarms_near(self, cpu: int) -> list[TimelineAlarm]:
        return self._own[None] + self._own.get(cpu, []) + self._own[LIMITS]

    def _earliest(self) -> int:
        earliest = NEVER
        for alarm in self._near:
            if alarm.due < earliest:
                earliest = alarm.due
        return earliest

    def _call_due(self) -> None:
        now = self.now()
        for alarm in self._near:
            if alarm.due <= now:
                alarm.due = NEVER
                alarm.callback()
        self.rearm()


class InstructionClock(Timeline):
    """Virtual time by executed instructions; waiting takes no host time."""

    def __init__(self, cores: Sequence[CpuCore]) -> None:
        super().__init__(cores)
        self._elapsed = self._core.elapsed
        self._skipped = [0]
        """How far this vCPU's time is ahead of the core's count; readers share it."""
        self._has_one_core = len(cores) == 1

    def now(self) -> int:
        """The instructions that the core has counted, plus the time that this vCPU has skipped."""
        return self._elapsed() + self._skipped[0]

    def reader(self) -> Callable[[], int]:
        """Return a function that returns the time, in one call if there is one core."""
        return self._core.elapsed_plus(self._skipped) if self._has_one_core else self.now

    def ticks(self) -> int:
        """The counter; written out, because guests read it often."""
        return (self._elapsed() + self._skipped[0]) // NANOSECONDS_PER_TICK

    def rearm(self) -> None:
        """Set the core's budget of instructions to the time until the next alarm or the end of the turn."""
        earliest = self._earliest()
        if self._limit < earliest:
            earliest = self._limit
        self._core.set_budget(min(max(earliest - self.now(), 0), UNLIMITED))

    def skip_to(self, nanoseconds: int) -> None:
        """Advance to this time. Time never goes back."""
        self._skipped[0] += max(nanoseconds - self.now(), 0)
        self._core.set_counter_offset(self._skipped[0])

    def spend(self, nanoseconds: int) -> None:
        """Let the core count this much time besides its instructions."""
        self._core.spend(nanoseconds)

    def counter_reads(self, cost: int, *, physical: bool) -> CounterReads:
        """Counters follow the count of instructions."""
        return CounterReads(cost, None, physical)

    def expire(self, *, budget_used: bool = False) -> None:
        """Call the due alarms. The deadline that ended the budget counts as reached: the core begins no block past
        it."""
        if budget_used:
            earliest = min(self._earliest(), self._limit)
            if earliest != NEVER:
                self.skip_to(earliest)
        self._call_due()

    def _begin_at(self, nanoseconds: int) -> None:
        """Set the time; the turn that follows has its own."""

    def enter(self, cpu: int, core: CpuCore, nanoseconds: int) -> None:
        """Begin a turn: the time of the vCPU is ``nanoseconds``, whatever the core has counted so far."""
        if cpu != self._cpu:
            self._cpu = cpu
            self._near = self._alarms_near(cpu)
        self._core, self._elapsed = core, core.elapsed
        self._skipped[0] = nanoseconds - core.elapsed()
        core.set_counter_offset(self._skipped[0])
        self._limit = NEVER


class HostClock(Timeline):
    """The host's monotonic time, from the creation of the clock, for all vCPUs."""

    follows_host = True

    def __init__(self, cores: Sequence[CpuCore], monotonic: Callable[[], int] = time.monotonic_ns) -> None:
        super().__init__(cores)
        self._monotonic = monotonic
        self._start = monotonic()
        self._rate = _FIRST_RATE
        self._sample = (0, 0)
        """Time and instruction count when the rate was measured last."""

    def now(self) -> int:
        """The host's time since the creation of the clock."""
        return self._monotonic() - self._start

    def rearm(self) -> None:
        """Set a budget. In instructions it is an estimate: the core is stopped early, and again if necessary."""
        earliest = min(self._earliest(), self._limit)
        if earliest == NEVER:
            self._core.set_budget(UNLIMITED)
            return
        left = earliest - self.now()
        budget = int(min(left, _LONGEST_SLICE) * self._rate)
        self._core.set_budget(0 if left <= 0 else max(budget, _SHORTEST_SLICE))

    def skip_to(self, nanoseconds: int) -> None:
        """Do nothing: the host's time has passed by itself."""

    def spend(self, nanoseconds: int) -> None:
        """Do nothing: the host's time has already passed."""

    def counter_reads(self, cost: int, *, physical: bool) -> CounterReads:
        """Counters follow the host's clock."""
        return CounterReads(cost, self._start, physical)

    def expire(self, *, budget_used: bool = False) -> None:
        """Measure how fast the guest executes, for the next budget, and call the due alarms."""
        then, executed = self._sample
        self._sample = now, count = self.now(), self._core.instruction_count()
        if budget_used and now > then and count > executed:
            measured = (count - executed) / (now - then)
            self._rate = (self._rate + min(max(measured, _FIRST_RATE / 100), _FIRST_RATE * 100)) / 2
        self._call_due()

    def enter(self, cpu: int, core: CpuCore, nanoseconds: int) -> None:  # noqa: ARG002
        """Begin a turn. All vCPUs share one time, so ``nanoseconds`` has no effect."""
        self._cpu, self._core = cpu, core
        self._sample = self.now(), core.instruction_count()
        self._limit = NEVER

    def _begin_at(self, nanoseconds: int) -> None:
        self._start = self._monotonic() - nanoseconds

    def _alarms_near(self, cpu: int) -> list[TimelineAlarm]:  # noqa: ARG002
        return self._alarms + self._own[LIMITS]
