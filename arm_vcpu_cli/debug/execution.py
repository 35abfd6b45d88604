"""Runs a machine in pieces, from one debugger stop to the next.

This is the run loop of ``vm/runner`` with a way to leave it and to return. A stop ends neither a turn nor an entry into
the guest, so the schedule, the counts, the exits and the trace are the same as without stops.
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
"""More instructions than any run executes."""
_ENTERED: Final = frozenset((VCpuState.READY, VCpuState.RUNNING))


class Execution:
    """One run of a started machine. ``watchdog`` must be entered, and ends the run; :meth:`pause` only stops it."""

    def __init__(self, machine: Machine, watchdog: Watchdog) -> None:
        """Raises :class:`EngineError` if the machine's cores cannot be controlled."""
        self._began = time.perf_counter()
        self.machine = machine
        self._controls = [cpu.core.control() for cpu in machine.cpus]
        self._each = {id(control): control for control in self._controls}.values()
        """The controls of all cores, each once: several vCPUs may share one."""
        self.run = GuestRun(machine, watchdog)
        self.run.start()
        self.result: RunResult | None = None
        """The result of the run, None before its end."""
        self._software: frozenset[int] = frozenset()
        self._armed: frozenset[int] = frozenset()
        self._target: int | None = None
        self._wakes = False
        self._leaving: set[int] = set()
        """The vCPUs that stopped at a breakpoint and have not moved since."""
        self._pause = False
        self._limit: int | None = None
        self._moment: TimelineAlarm | None = None
        """The alarm at the time to stop."""
        self._watchpoints: tuple[Watchpoint, ...] = ()
        self._passing = False
        """Whether to ignore breakpoints and watchpoints."""
        self._stepped: SteppedWatchpoints | None = None
        """Detects accesses to watched memory if the cores cannot."""
        self._access: WatchHit | None = None
        """The last access to watched memory."""
        self.at_limit = False
        """Whether the last stop was at the instruction limit."""
        self._ahead = 0
        """Instructions that the cores have not counted since an earlier state was loaded."""
        self._any = False
        """Whether a step applies to whichever vCPU has the turn."""
        self.stepped: int | None = None
        """The vCPU that made the last step."""
        self.latest: dict[int, int] = {}
        """The instruction count at each vCPU's last instruction."""
        self.due = NEVER
        """The instruction count at which to call ``when_due``."""
        self.when_due: Callable[[], object] = bool
        self._stop: Stop | None = None
        machine.console.breaks_off = lambda: self._pause
        for cpu in machine.cpus:
            observer = cpu.vcpu.state_observer
            if observer is not None:
                cpu.vcpu.observe_state(partial(_tell_of_others, cpu, observer))

    def set_breakpoints(self, software: Collection[int], hardware: Collection[int]) -> None:
        """Stop before the instructions at these virtual addresses only, from now on."""
        self._software = frozenset(software)
        armed = self._software.union(hardware)
        if armed != self._armed:
            self._armed = armed
            for control in self._each:
                control.set_breakpoints(armed)

    def set_watchpoints(self, watchpoints: Sequence[Watchpoint]) -> None:
        """Stop at accesses to these virtual addresses only, from now on. Raises :class:`EngineError` for too many."""
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
        """Return whether to stop before an access to watched memory."""
        self._access = access
        return not self._passing and self.machine.current.index not in self._leaving

    def moved(self, cpu: Cpu) -> None:
        """Record that the PC of a CPU was set from outside: the rest of its block will not execute."""
        self._leaving.discard(cpu.index)
        if cpu.arch.interrupted:
            self._controls[cpu.index].unfinished = 0

    def executed(self) -> int:
        """Return how many instructions all vCPUs have executed; see :class:`~arm_vcpu_cli.debug.target.Position`."""
        return sum(control.executed() for control in self._each) + self._ahead

    def now(self) -> int:
        """Return the time of the vCPU that has the turn, in nanoseconds since reset. The clock counts a block when it
        begins, so the instructions left in it are subtracted."""
        return self.machine.timeline.now() - self._controls[self.machine.current.index].unfinished

    # For time travel

    def remembered(self) -> Any:
        """Return the facts that an execution depends on besides the machine's state."""
        vcpus = [(cpu.arch.interrupted, cpu.arch.stopped_by) for cpu in self.machine.cpus]
        unfinished = [(each.unfinished, each.requested) for each in self._each]
        return self.executed(), unfinished, vcpus, frozenset(self._leaving), self.result, self.machine.seen_enough

    def recall(self, remembered: Any) -> None:
        """Restore those facts, once the machine's state of that moment is loaded."""
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
        """Step the vCPU that has the turn; also stop at the beginning of each turn."""
        self._any = True
        try:
            return self._advance(None)
        finally:
            self._any = False

    @contextmanager
    def limited(self, instructions: int) -> Iterator[None]:
        """Make every way of running stop at the first moment with at least ``instructions`` executed, while the context
        lasts."""
        self._limit = instructions
        try:
            yield
        finally:
            self._limit = None
            for control in self._each:
                control.limit = None

    @property
    def at_breakpoint(self) -> bool:
        """Whether the vCPU that has the turn is at a breakpoint."""
        return self.machine.current.arch.ctx.elr in self._armed

    def pause(self) -> None:
        """Stop the guest between two instructions, as soon as possible. May be called from any thread."""
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
        """Run forward to the first moment with at least ``instructions`` executed, ignoring breakpoints.

        The schedule determines which vCPUs have executed them.
        """
        with self._free(), self.limited(instructions):
            return self._advance(None)

    def goto_time(self, nanoseconds: int) -> Stop:
        """Run forward to the first moment at which the time of the vCPU that has the turn is ``nanoseconds`` or later,
        ignoring breakpoints. Under the instruction clock this does not change the run."""
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
        """Ignore breakpoints and watchpoints inside the context."""
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
        """Run as the loop of ``vm/runner`` does; None leaves the guest stopped, for the reason in ``_stop``."""
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
                # All vCPUs wait, and the host slept.
                self._stop = self._paused(cpu)
                return None
            verdict = next_turn(run) or stopped(run)
            if verdict is not None:
                return verdict
            self._wakes = self._wakes or self._any

    def _before(self, cpu: Cpu) -> Stop | None:
        """Return the reason to stop before the CPU, which has the turn, continues; None if there is none."""
        if self._wakes and (self._any or cpu.index == self._target):
            return Stop(Reason.STEP, cpu.index)
        if self._limit is not None and self.executed() >= self._limit:
            self.at_limit = True
            return Stop(Reason.STEP, cpu.index)
        if self.executed() >= self.due:
            self.when_due()
        return self._paused(cpu) if self._pause else None

    def _run(self, run: GuestRun, cpu: Cpu) -> Verdict:
        """Execute the CPU until it exits or is stopped."""
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
                # A fault's alarm; the fault is injected before the CPU continues.
                return None
            self._stop = self._stopped(cpu)
            return None
        if self._is_near(cpu):
            # Its handler would set the time to that of the alarm, which the original run does not have.
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
        """Return whether only the alarm has stopped the CPU: the time to stop at lies in its next block."""
        moment, timeline = self._moment, self.machine.timeline
        if moment is None or cpu.arch.stopped_by is not StopReason.BUDGET or timeline.follows_host:
            return False
        return timeline.ends_by(moment)

    def _before_instruction(self, cpu: Cpu, stepped: SteppedWatchpoints) -> Stop | None:
        """Return the reason to stop before the next instruction of a CPU, which executes on its own; None if there is
        none."""
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
        """Return the reason for which the core stopped for a debugger; None if it has only moved off a breakpoint."""
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
    """Report a change of state to an observer, unless it is a debugger's stop or the end of one."""
    if not (cpu.arch.interrupted and before in _ENTERED and after in _ENTERED):
        observer(before, after)
