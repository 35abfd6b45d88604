"""Runs a machine in pieces: from one stop for a debugger to the next.

It is the run loop of ``vm/runner`` with a place to leave it and to come back. A stop ends no turn and no entry into the
guest, so the run as a whole is the same as without: the schedule, the counts, the exits, the trace.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from arm_vcpu_cli.axvcpu.vcpu import StateObserver, VCpuState
from arm_vcpu_cli.debug.target import Access, Reason, Stop, Watchpoint
from arm_vcpu_cli.engine.port import StopReason, WatchedRange, WatchHit
from arm_vcpu_cli.errors import WatchingError
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.vm.cpu import Activity, Cpu
from arm_vcpu_cli.vm.endings import RunResult
from arm_vcpu_cli.vm.exit_handlers import EXIT_HANDLERS, Verdict, next_turn
from arm_vcpu_cli.vm.guest_run import GuestRun
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.runner import conclude, run_on, stopped, stopped_short
from arm_vcpu_cli.vm.timeline import TimelineAlarm

if TYPE_CHECKING:
    from arm_vcpu_cli.debug.stepped_watchpoints import SteppedWatchpoints

_STEPPED: Final = "arm_vcpu_cli.debug.stepped_watchpoints"
"""Loaded only where it is needed."""
NEVER: Final = 1 << 80
"""More instructions than any run has."""
_ENTERED: Final = frozenset((VCpuState.READY, VCpuState.RUNNING))


class Execution:
    """One run of a started machine. ``watchdog`` is entered already, and ends the run; :meth:`pause` only stops it."""

    def __init__(self, machine: Machine, watchdog: Watchdog) -> None:
        """Raises :class:`EngineError` where the machine's cores cannot be controlled."""
        self._began = time.perf_counter()
        self.machine = machine
        self._controls = [cpu.core.control() for cpu in machine.cpus]
        self._each = {id(control): control for control in self._controls}.values()
        """Those of the cores: several vCPUs may share one."""
        self.run = GuestRun(machine, watchdog)
        self.run.start()
        self.result: RunResult | None = None
        """How the run has ended, None before it has."""
        self._software: frozenset[int] = frozenset()
        self._armed: frozenset[int] = frozenset()
        self._target: int | None = None
        self._wakes = False
        self._leaving: set[int] = set()
        """The vCPUs that have been stopped at a breakpoint and not moved since."""
        self._pause = False
        self._limit: int | None = None
        self._moment: TimelineAlarm | None = None
        """The alarm of the time to stop at."""
        self._watchpoints: tuple[Watchpoint, ...] = ()
        self._passing = False
        """Whether to stop at none."""
        self._stepped: SteppedWatchpoints | None = None
        """What looks for accesses to what is watched, where the cores cannot."""
        self._access: WatchHit | None = None
        """The last one to what is watched."""
        self.at_limit = False
        """Whether the last stop was because of the limit of the instructions."""
        self._ahead = 0
        """What the cores have not counted, after an earlier state was loaded."""
        self._any = False
        """Whether a step is that of whichever vCPU has the turn."""
        self.stepped: int | None = None
        """The vCPU that has made the last step."""
        self.latest: dict[int, int] = {}
        """How many instructions were executed when each vCPU had last executed."""
        self.due = NEVER
        """How many are executed when ``when_due`` is called."""
        self.when_due: Callable[[], object] = bool
        self._stop: Stop | None = None
        machine.console.breaks_off = lambda: self._pause
        for cpu in machine.cpus:
            observer = cpu.vcpu.state_observer
            if observer is not None:
                cpu.vcpu.observe_state(partial(_tell_of_others, cpu, observer))

    def set_breakpoints(self, software: Collection[int], hardware: Collection[int]) -> None:
        """Stop before the instructions at these virtual addresses, and no others, from now on."""
        self._software = frozenset(software)
        armed = self._software.union(hardware)
        if armed != self._armed:
            self._armed = armed
            for control in self._each:
                control.set_breakpoints(armed)

    def set_watchpoints(self, watchpoints: Sequence[Watchpoint]) -> None:
        """Stop at accesses to these virtual addresses from now on. Raises :class:`EngineError` for too many."""
        ranges = [
            WatchedRange(each.address, each.length, Access.READ in each.access, Access.WRITE in each.access)
            for each in watchpoints
        ]
        self._watchpoints, self._stepped = tuple(watchpoints), None
        try:
            for core in {id(cpu.core): cpu.core for cpu in self.machine.cpus}.values():
                core.set_watchpoints(ranges, self._hit)
        except WatchingError:
            if ranges:
                self._stepped = import_module(_STEPPED).SteppedWatchpoints(self.machine, ranges)

    def _hit(self, access: WatchHit) -> bool:
        """Whether to stop before an access to what is watched."""
        self._access = access
        return not self._passing and self.machine.current.index not in self._leaving

    def moved(self, cpu: Cpu) -> None:
        """Note that the PC of a CPU was set from outside: what was left of a block is not executed."""
        self._leaving.discard(cpu.index)
        if cpu.arch.interrupted:
            self._controls[cpu.index].unfinished = 0

    def executed(self) -> int:
        """How many instructions all vCPUs have executed, see :class:`~arm_vcpu_cli.debug.target.Position`."""
        return sum(control.executed() for control in self._each) + self._ahead

    def now(self) -> int:
        """The time of the vCPU that has the turn, in nanoseconds since reset. The clock counts a block when it begins;
        what is left of it is still to come."""
        return self.machine.timeline.now() - self._controls[self.machine.current.index].unfinished

    # For those who go back in time

    def remembered(self) -> Any:
        """What an execution at this moment depends on besides the state of the machine."""
        vcpus = [(cpu.arch.interrupted, cpu.arch.stopped_by) for cpu in self.machine.cpus]
        unfinished = [(each.unfinished, each.requested) for each in self._each]
        return self.executed(), unfinished, vcpus, frozenset(self._leaving), self.result, self.machine.seen_enough

    def recall(self, remembered: Any) -> None:
        """Go on from there, once the state of then is loaded."""
        executed, unfinished, vcpus, leaving, self.result, self.machine.seen_enough = remembered
        for control, left in zip(self._each, unfinished, strict=True):
            control.unfinished, control.requested = left
        for cpu, (interrupted, stopped_by) in zip(self.machine.cpus, vcpus, strict=True):
            cpu.arch.interrupted, cpu.arch.stopped_by = interrupted, stopped_by
        self._ahead = 0
        self._ahead = executed - self.executed()
        self._leaving = set(leaving)
        self.run.share_exits()

    def step_any(self) -> Stop:
        """As :meth:`step`, for the vCPU that has the turn then; it also stops at the beginning of each turn."""
        self._any = True
        try:
            return self._advance(None)
        finally:
            self._any = False

    @contextmanager
    def limited(self, instructions: int) -> Iterator[None]:
        """A context in which every way of running stops at the first moment at which so many instructions are executed,
        or more, at the latest."""
        self._limit = instructions
        try:
            yield
        finally:
            self._limit = None
            for control in self._each:
                control.limit = None

    @property
    def at_breakpoint(self) -> bool:
        """Whether the vCPU that has the turn is before an instruction with a breakpoint."""
        return self.machine.current.arch.ctx.elr in self._armed

    def pause(self) -> None:
        """Stop the guest between two instructions, as soon as possible; from any thread."""
        self._pause = True
        for control in self._each:
            control.pause()

    def resume(self) -> Stop:
        """Let all vCPUs run until something stops them."""
        return self._advance(None)

    def step(self, vcpu: int) -> Stop:
        """Run until the vCPU has executed one instruction."""
        return self._advance(vcpu)

    def goto(self, instructions: int) -> Stop:
        """Run forward until so many instructions are executed, without a stop at breakpoints.

        It is the first moment at which there are as many or more. The schedule decides which vCPU has executed them.
        """
        with self._free(), self.limited(instructions):
            return self._advance(None)

    def goto_time(self, nanoseconds: int) -> Stop:
        """Run forward to the first moment at which the time of the vCPU that has the turn is this or later, without a
        stop at breakpoints. Under the instruction clock the run as a whole is the same as without."""
        timeline = self.machine.timeline
        with self._free():
            self._moment = timeline.limit(self.pause)
            self._moment.set_at(nanoseconds)
            try:
                stop = self._advance(None)
            finally:
                timeline.lift(self._moment)
                self._moment = None
            while stop.reason in (Reason.PAUSE, Reason.STEP) and self.now() < nanoseconds:
                stop = self.step_any()
        return stop

    @contextmanager
    def _free(self) -> Iterator[None]:
        """A context without stops at breakpoints and watchpoints."""
        for control in self._each:
            control.set_breakpoints(())
        before, self._passing = self.executed(), True
        try:
            yield
        finally:
            self._passing = False
            if self.executed() != before:
                self._leaving.clear()
            for control in self._each:
                control.set_breakpoints(self._armed)

    def _advance(self, target: int | None) -> Stop:
        if self.result is None:
            current = self.machine.current
            if current.arch.ctx.elr in self._armed:
                self._leaving.add(current.index)
            self._target, self._wakes, self._stop = target, False, None
            self.at_limit = False
            result = run_on(self.run, self._loop)
            if result is None and self._stop is not None:
                return self._stop
            self.result = conclude(self.run, result or stopped_short(), time.perf_counter() - self._began)
        index, result = self.machine.current.index, self.result
        return Stop(Reason.ENDED, index, message=result.message, status=result.status)

    def _loop(self, run: GuestRun) -> Verdict:
        """As that of ``vm/runner``; None leaves the guest stopped, for the reason in ``_stop``."""
        scheduler = self.machine.scheduler
        while True:
            cpu = scheduler.current
            while not scheduler.over:
                self._stop = self._before(cpu)
                if self._stop is not None:
                    return None
                verdict = self._run(run, cpu)
                if verdict is not None or self._stop is not None:
                    return verdict
            if self._pause:
                # All wait, and the host slept.
                self._stop = self._paused(cpu)
                return None
            verdict = next_turn(run) or stopped(run)
            if verdict is not None:
                return verdict
            self._wakes = self._wakes or self._any

    def _before(self, cpu: Cpu) -> Stop | None:
        """The reason to stop before the CPU, which has the turn, goes on."""
        if self._wakes and (self._any or cpu.index == self._target):
            return Stop(Reason.STEP, cpu.index)
        if self._limit is not None and self.executed() >= self._limit:
            self.at_limit = True
            return Stop(Reason.STEP, cpu.index)
        if self.executed() >= self.due:
            self.when_due()
        return self._paused(cpu) if self._pause else None

    def _run(self, run: GuestRun, cpu: Cpu) -> Verdict:
        """Let the CPU execute until it exits or is stopped."""
        index, arch, faults = cpu.index, cpu.arch, run.machine.faults
        control = self._controls[index]
        awaited = None if faults is None else faults.limit
        if faults is not None and awaited is not None and self.executed() >= awaited:
            faults.at_limit(self.executed())
            awaited = faults.limit
        is_target = self._any or index == self._target
        control.stepping = is_target or index in self._leaving
        if self._stepped is not None and not self._passing:
            self._stop = None if index in self._leaving else self._before_instruction(cpu, self._stepped)
            if self._stop is not None:
                return None
            control.stepping = True
        limit = min((each for each in (self._limit, awaited) if each is not None), default=None)
        control.limit = None if limit is None else limit - self.executed() + control.executed()
        before = self.executed()
        reason = cpu.vcpu.run()
        if self.executed() != before:
            self.latest[index] = self.executed()
        if control.stepped:
            self._leaving.discard(index)
            self.stepped = index
        if arch.interrupted:
            if arch.stopped_by is StopReason.COUNT and limit != self._limit:
                # For a fault; it is injected before the CPU goes on.
                return None
            self._stop = self._stopped(cpu)
            return None
        if self._is_near(cpu):
            # Its handler would have the time be that of the alarm, which this run does not have.
            self._stop = Stop(Reason.PAUSE, index)
            return None
        verdict = EXIT_HANDLERS[type(reason)](run, reason) or stopped(run)
        if verdict is None and control.stepped and is_target:
            if cpu.activity is Activity.RUNNING:
                self._stop = Stop(Reason.STEP, index)
            else:
                self._wakes = True
        return verdict

    def _is_near(self, cpu: Cpu) -> bool:
        """Whether the time to stop at, and nothing else, has stopped the CPU: it is in the block that would be next."""
        moment, timeline = self._moment, self.machine.timeline
        if moment is None or cpu.arch.stopped_by is not StopReason.BUDGET or timeline.follows_host:
            return False
        return timeline.ends_by(moment)

    def _before_instruction(self, cpu: Cpu, stepped: SteppedWatchpoints) -> Stop | None:
        """Why to stop before the next instruction of a CPU, which is executed alone."""
        at = cpu.arch.ctx.elr
        if at in self._armed:
            return self._at_breakpoint(cpu, at)
        self._access = stepped.hit(cpu, self._controls[cpu.index])
        return None if self._access is None else self._at_access(cpu, self._access)

    def _at_breakpoint(self, cpu: Cpu, at: int) -> Stop:
        software = at in self._software
        return Stop(Reason.SOFTWARE_BREAKPOINT if software else Reason.HARDWARE_BREAKPOINT, cpu.index)

    def _at_access(self, cpu: Cpu, access: WatchHit) -> Stop:
        self._leaving.add(cpu.index)
        return Stop(Reason.WATCHPOINT, cpu.index, self._watchpoints[access.number], access.address)

    def _stopped(self, cpu: Cpu) -> Stop | None:
        """Why the core has stopped for a debugger; None if it has only left a breakpoint behind."""
        index, by = cpu.index, cpu.arch.stopped_by
        if by is StopReason.STEP:
            return Stop(Reason.STEP, index) if self._any or index == self._target else None
        if by is StopReason.COUNT:
            self.at_limit = True
            return Stop(Reason.STEP, index)
        if by is StopReason.PAUSE:
            return self._paused(cpu)
        access = self._access
        if by is StopReason.WATCHPOINT and access is not None:
            return self._at_access(cpu, access)
        return self._at_breakpoint(cpu, cpu.arch.ctx.elr)

    def _paused(self, cpu: Cpu) -> Stop:
        self._pause = False
        for control in self._each:
            control.pause(False)
        return Stop(Reason.PAUSE, cpu.index)


def _tell_of_others(cpu: Cpu, observer: StateObserver, before: VCpuState, after: VCpuState) -> None:
    """Tell an observer of a change of state, unless it is a stop for the debugger or its end."""
    if not (cpu.arch.interrupted and before in _ENTERED and after in _ENTERED):
        observer(before, after)
