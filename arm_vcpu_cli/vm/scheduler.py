"""The scheduler: vCPUs that run concurrently in guest time take turns on a core, and only it sets the core's budget.

Under the instruction clock each vCPU has its own time. The vCPU that is furthest behind has the next turn, and may get
ahead of the others by no more than the quantum. A waiting vCPU takes no turns, and wakes at the time of the event that
wakes it, so time jumps when all of them wait. An effect of one vCPU on another (an SGI, CPU_ON, a device interrupt)
ends its turn early, and the other sees it at the start of its own next turn. The order depends only on the guest's
execution and on the seed, if there is one, so runs repeat exactly.

The quantum is short while vCPUs interact, and grows while they do not: a switch costs about as much as ten thousand
instructions.

Under the host's clock all vCPUs share one time, and runnable vCPUs take turns of a millisecond.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from arm_vcpu_cli.saved import Saved
from arm_vcpu_cli.vm.cpu import Activity, Cpu
from arm_vcpu_cli.vm.random_numbers import RandomNumbers
from arm_vcpu_cli.vm.timeline import NEVER, Timeline

_VERSION: Final = 1
"""The version of a saved state."""
DEFAULT_QUANTUM: Final = 20_000
"""Nanoseconds."""
_GROWTH: Final = 64
"""The longest quantum, as a multiple of the shortest."""
_SHORTEST_TURN: Final = 600
"""The shortest turn of random length, in nanoseconds: more than any block takes, so that at least one is executed."""
_HOST_TURN: Final = 1_000_000
"""Nanoseconds of the host."""


class Scheduler:
    """Gives the CPUs of a machine their turns. With ``seed`` the order and length of the turns are pseudo-random."""

    def __init__(self, timeline: Timeline, *, quantum: int = DEFAULT_QUANTUM, seed: int | None = None) -> None:
        self._timeline = timeline
        self._least, self._quantum = quantum, quantum
        self._random = None if seed is None else RandomNumbers(seed)
        self._cpus: Sequence[Cpu] = ()
        self._in_turn = False
        self._alone = True
        self._several_cores = False
        self._end = NEVER
        self._yields = False
        """Whether a WFE ends the turn."""
        self.over = False
        """Whether another CPU may be due."""

    def begin_again(self) -> None:
        """Give the first CPU its turn now, after a reset of the machine."""
        now = self._timeline.now()
        for cpu in self._cpus:
            cpu.time = now
        self._in_turn = False
        self._quantum = self._least
        self.over = True

    def connect(self, cpus: Sequence[Cpu]) -> None:
        """Set the CPUs; the first gets the first turn."""
        self._cpus = tuple(cpus)
        self._alone = len(self._cpus) == 1
        self.current = self._cpus[0]

    def begin(self) -> None:
        """Start the first turn, with the vCPUs bound."""
        self._several_cores = len({id(cpu.core) for cpu in self._cpus}) > 1
        self._in_turn = True
        # The first CPU may be on any core.
        self._timeline.enter(self.current.index, self.current.core, self.current.time)
        self.current.enter()
        self._limit(NEVER)

    @property
    def longest_turn(self) -> int:
        """The maximum time between CPUs in nanoseconds, give or take a few instructions."""
        return max(self._least * _GROWTH, _HOST_TURN)

    # Events of a CPU -------------------------------------------------------------------------------------

    def wait(self) -> None:
        """Make the current CPU wait for an interrupt."""
        self.current.activity = Activity.WAITING
        self.over = True

    def wait_for_others(self) -> None:
        """End the turn of the current CPU after a WFE, because another CPU must run to cause the event.

        A WFE may also complete spuriously (DDI 0487, D1.6): it checks again after the others have had a short turn.
        """
        others = [cpu.time for cpu in self._cpus if cpu.activity is Activity.RUNNING and cpu is not self.current]
        if others and not self._timeline.follows_host:
            until = min(min(others) + self._least, self._timeline.due(self.current.index))
            self._timeline.skip_to(until)
        self.over = bool(others)

    def look(self) -> None:
        """Determine, after a stop of the current CPU, whether its turn is over."""
        if self._end < NEVER and self._timeline.now() >= self._end:
            self.over = True

    def switch_off(self) -> None:
        """Switch the current CPU off."""
        self.current.activity = Activity.OFF
        self.over = True

    def switch_on(self, cpu: Cpu) -> None:
        """Switch another CPU on, now."""
        cpu.activity = Activity.RUNNING
        self._concerns(cpu)

    def raised(self, index: int) -> None:
        """Notify the scheduler that an interrupt is signalled to a CPU."""
        if not self._cpus:
            return
        cpu = self._cpus[index]
        if cpu.activity is Activity.WAITING:
            cpu.activity = Activity.RUNNING
            self._concerns(cpu)
        elif cpu is not self.current and cpu.activity is Activity.RUNNING:
            self._meet(cpu)

    def _concerns(self, cpu: Cpu) -> None:
        """Make an idle CPU runnable, no earlier than the event that woke it."""
        cpu.time = max(cpu.time, self._timeline.now())
        if cpu is not self.current:
            self._meet(cpu)

    def _meet(self, cpu: Cpu) -> None:
        """Let another CPU notice an action of the current one soon."""
        self._quantum = self._least
        if self._in_turn:
            end = self._timeline.now() if self._timeline.follows_host else cpu.time + self._least
            if end < self._end:
                self._limit(end)

    # Snapshots -------------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """Return the current turn and its end, and the state that decides the next turns, without the CPUs' own
        state."""
        return {
            "version": _VERSION,
            "current": self.current.index,
            "in_turn": self._in_turn,
            "end": self._end,
            "over": self.over,
            "quantum": self._quantum,
            "yields": self._yields,
            "random": None if self._random is None else self._random.save(),
        }

    def load(self, state: object) -> None:
        """Restore the state that :meth:`save` returned for as many CPUs; load the CPUs before, and the timeline after.

        Raises ValueError, without any change, for any other state.
        """
        saved = Saved(state, "scheduler", version=_VERSION)
        current = self._cpus[saved.number("current", len(self._cpus) - 1)]
        in_turn, over, yields = saved.flag("in_turn"), saved.flag("over"), saved.flag("yields")
        end, quantum = saved.number("end", NEVER), saved.number("quantum", NEVER)
        if saved.is_none("random") is not (self._random is None):
            raise ValueError("scheduler.random is of a scheduler with another seed")
        if self._random is not None:
            self._random.load(saved.part("random"))
        self.current, self._in_turn, self.over, self._end, self._quantum = current, in_turn, over, end, quantum
        current.go_on()
        if in_turn and (yields or not self._alone):
            self._stop_at_wait(current, yields)

    # Turns -----------------------------------------------------------------------------------------------------

    def choose(self) -> Cpu | None:
        """The CPU that executes next, entered, with its due alarms called; None if all wait, or are off."""
        if self._alone:
            cpu = self.current
            if cpu.activity is not Activity.RUNNING:
                return None
            self.over = False
            cpu.enter()
            return cpu
        self._leave()
        chosen = self._next_of_host() if self._timeline.follows_host else self._next()
        self.over = chosen is None
        if chosen is not None:
            self._enter(chosen)
        return chosen

    def wake_at(self, nanoseconds: int) -> None:
        """Call all alarms that are due, with all CPUs waiting, once time has reached the next one."""
        if self._alone:
            self._timeline.skip_to(nanoseconds)
            self._timeline.expire()
            return
        for cpu in self._cpus:
            if cpu.activity is Activity.WAITING:
                self._call_alarms(cpu, nanoseconds)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """A context in which trial execution on the cores takes no time; the turn then continues."""
        now = self._timeline.now()
        try:
            yield
        finally:
            self._timeline.enter(self.current.index, self.current.core, now)
            if self._in_turn:
                self._limit(self._end)

    def _leave(self) -> None:
        if self._in_turn:
            self._in_turn = False
            now = self._timeline.now()
            if now >= self._end:
                self._adapt()
            self.current.time = now

    def _adapt(self) -> None:
        """Adapt the quantum after a whole turn.

        A CPU at the same place and with the same registers as at the end of its last turn waits for another CPU in a
        loop: turns are short until that wait is over.
        """
        cpu = self.current
        place = cpu.place()
        if place == cpu.seen:
            self._quantum = self._least
        elif self._quantum < self._least * _GROWTH:
            self._quantum *= 2
        cpu.seen = place

    def _next(self) -> Cpu | None:
        while True:
            chosen = self._first()
            for cpu in self._cpus:
                # A waiting CPU is due when its timer is.
                if cpu.activity is Activity.WAITING:
                    due = max(self._timeline.due(cpu.index), cpu.time)
                    if chosen is not None and due <= chosen.time:
                        self._call_alarms(cpu, due)
                        break
            else:
                return chosen

    def _first(self) -> Cpu | None:
        """The CPU that is furthest behind, or any that may be next if the order is random."""
        ready = [cpu for cpu in self._cpus if cpu.activity is Activity.RUNNING]
        if not ready:
            return None
        first = min(ready, key=_time)
        if self._random is None or len(ready) == 1:
            return first
        return self._random.source.choice([cpu for cpu in ready if cpu.time <= first.time + self._least])

    def _next_of_host(self) -> Cpu | None:
        self._timeline.expire()
        ready = [cpu for cpu in self._cpus if cpu.activity is Activity.RUNNING]
        return min(ready, key=_turns, default=None)

    def _call_alarms(self, cpu: Cpu, nanoseconds: int) -> None:
        """Call the alarms of a waiting CPU that are due at a time."""
        self.current = cpu
        self._timeline.enter(cpu.index, cpu.core, max(cpu.time, nanoseconds))
        self._timeline.expire()
        cpu.time = self._timeline.now()

    def _enter(self, cpu: Cpu) -> None:
        before, self.current = self.current, cpu
        if self._several_cores and before.core is not cpu.core:
            # The other core may have written translations that this one has cached.
            cpu.core.flush_tlb()
            cpu.core.flush_code()
        self._timeline.enter(cpu.index, cpu.core, cpu.time)
        cpu.turns += 1
        self._in_turn = True
        cpu.enter()
        self._limit(self._turn_end(cpu))

    def _turn_end(self, cpu: Cpu) -> int:
        timeline = self._timeline
        others = [other for other in self._cpus if other is not cpu and other.activity is not Activity.OFF]
        if timeline.follows_host:
            ready = any(other.activity is Activity.RUNNING for other in others)
            self._stop_at_wait(cpu, ready)
            return timeline.now() + _HOST_TURN if ready else NEVER
        behind = NEVER
        contended = False
        for other in others:
            if other.activity is Activity.RUNNING:
                contended = True
                behind = min(behind, other.time)
            else:
                behind = min(behind, max(timeline.due(other.index), other.time))
        if not self._alone:
            self._stop_at_wait(cpu, contended)
        if behind >= NEVER:
            return NEVER
        if contended and self._random is not None:
            return cpu.time + self._random.source.randint(_SHORTEST_TURN, max(self._least, _SHORTEST_TURN))
        return max(behind, cpu.time) + self._quantum

    def _stop_at_wait(self, cpu: Cpu, stop: bool) -> None:
        self._yields = stop
        cpu.core.stop_at_wait(stop)

    def _limit(self, end: int) -> None:
        self._end = end
        self._timeline.limit_turn(end)


def _time(cpu: Cpu) -> int:
    return cpu.time


def _turns(cpu: Cpu) -> int:
    return cpu.turns
