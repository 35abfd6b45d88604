"""Time travel: goes back to a moment by restoring an earlier one and executing forward from it.

Execution repeats identically, to the byte: input comes from memory, nothing sleeps, and output, trace and recording are
not produced again. The latest moment of the run is kept (``_present``), and on reaching it again the run continues with
new input. If the user changes registers or memory at an earlier moment, the run continues differently from there, and
the old continuation is discarded.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.arch.instructions.inert import is_inert
from arm_vcpu_cli.debug.checkpoints import INTERVAL, Checkpoints
from arm_vcpu_cli.debug.execution import NEVER, Execution
from arm_vcpu_cli.debug.memory import Memory
from arm_vcpu_cli.debug.moment import Moment, Moments
from arm_vcpu_cli.debug.target import Reason, Stop
from arm_vcpu_cli.host.shown_once import ShownOnce
from arm_vcpu_cli.observe.tracing import Tracer

HITS: Final = (Reason.SOFTWARE_BREAKPOINT, Reason.HARDWARE_BREAKPOINT, Reason.WATCHPOINT)
_RATE: Final = 8_000_000_000
"""Instructions between moments for each second that keeping one takes: at 400 million instructions a second that slows
a run by a twentieth."""
_NEAR: Final = 4_000_000
"""Instructions: a moment this close before the destination is kept too, because users often go back again from
there."""
_PIECE: Final = 200_000_000
"""Instructions to execute again between two progress messages."""
_FIRST_WINDOW: Final = 16
_WINDOW_GROWTH: Final = 8
_LONGEST_WINDOW: Final = 4096
"""The most instructions to execute one by one to find the previous one."""


class History:
    """The history of one run, from now on."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._machine = machine = execution.machine
        machine.console.once = self._shown = ShownOnce()
        machine.observers.append(self._shown)
        self._tracers = [each for each in machine.observers if isinstance(each, Tracer)]
        for tracer in self._tracers:
            tracer.tell_once()
        machine.input.keep()
        self.report: Callable[[str], None] | None = None
        self._moments = Moments(execution)
        self._kept = Checkpoints(self._moments.take())
        self._present: Moment | None = None
        """The latest moment of the run, if it has gone back."""
        self._touched = False
        execution.when_due = self._keep
        execution.due = execution.executed() + INTERVAL

    # Forward ---------------------------------------------------------------------------------------------------

    def resume(self) -> Stop:
        """Run all vCPUs from the current moment until something stops them."""
        return self._forward(self._execution.resume)

    def step(self, vcpu: int) -> Stop:
        """Run until the vCPU has executed one instruction, as :meth:`resume` would."""
        return self._forward(lambda: self._execution.step(vcpu), is_step=True)

    def changed(self) -> None:
        """Record that registers or memory were changed from outside."""
        if self._present is not None:
            self._say("the history after this moment is discarded: the run continues differently now")
            self._present = None
            self._kept.forget_from(self._execution.executed())
            self._machine.input.forget_future()
            self._shown.forget_future()
            for tracer in self._tracers:
                tracer.forget_future()
            self._machine.input.repeat(False)
        self._touched = True

    def _forward(self, run: Callable[[], Stop], *, is_step: bool = False) -> Stop:
        self._settle()
        execution = self._execution
        while self._present is not None:
            end = self._kept.changed_after(execution.executed()) or self._present
            if execution.executed() >= end.executed and self._is_at(end):
                self._arrive(end)
                continue
            if execution.executed() >= end.executed:
                # The hypervisor's actions before the next instruction happen one by one.
                stop = execution.step_any()
                if execution.executed() > end.executed:
                    self._arrive(end)
                if stop.reason is Reason.PAUSE:
                    return stop
                if is_step:
                    return Stop(Reason.STEP, self._machine.current.index)
                continue
            with execution.limited(end.executed):
                stop = run()
            if not execution.at_limit:
                return stop
            if is_step and stop.reason is not Reason.STEP:
                return stop
            self._arrive(end)
            if execution.at_breakpoint:
                return Stop(Reason.SOFTWARE_BREAKPOINT, self._machine.current.index)
        return run()

    def _arrive(self, end: Moment) -> None:
        """Move to the end of what can be repeated: the present, or where the machine was changed."""
        self._moments.go_to(end)
        if end is self._present:
            self._present = None
        self._machine.input.repeat(self._present is not None)

    def _is_at(self, moment: Moment) -> bool:
        return self._execution.executed() == moment.executed and self._moments.place() == moment.place

    # To a place ------------------------------------------------------------------------------------------------

    def goto(self, instructions: int) -> Stop:
        """Go back or forward to the moment before instruction number ``instructions``, ignoring breakpoints."""
        self._settle()
        execution, present = self._execution, self._present
        if present is not None and instructions >= present.executed:
            self._arrive(present)
        now = execution.executed()
        if instructions < now:
            if instructions <= self._kept.first.executed:
                self._leave()
                self._go_back(self._kept.first)
                return Stop(Reason.STEP, self._machine.current.index)
            start = self._kept.before(instructions) or self._kept.first
            self._leave()
            self._go_back(start)
        elif self._present is not None:
            start = self._kept.before(instructions) or self._kept.first
            if start.executed > now:
                self._go_back(start)
        return self._execute_to(instructions)

    def _execute_to(self, instructions: int) -> Stop:
        """Execute forward to a place in pieces, and keep a moment near it."""
        execution = self._execution
        begin = execution.executed()
        stop = Stop(Reason.STEP, self._machine.current.index)
        near = instructions - _NEAR
        while execution.executed() < instructions:
            now = execution.executed()
            end = min(now + _PIECE, instructions)
            if now < near < end and self._present is not None:
                end = near
            stop = execution.goto(end)
            if stop.reason is not Reason.STEP:
                break
            if end == near:
                self._keep()
            elif end < instructions:
                done = (execution.executed() - begin) * 100 // (instructions - begin)
                self._say(f"at instruction {execution.executed()}, {done}% of the way to {instructions}")
        return stop

    # Back ------------------------------------------------------------------------------------------------------

    def reverse_step(self, vcpu: int) -> Stop:
        """Go back to before the last instruction that the vCPU executed."""
        self._settle()
        execution = self._execution
        goal = self._moments.place()
        now = end = execution.executed()
        self._leave()
        back = self._one_back(vcpu, now, goal)
        if back is not None:
            return back
        window = _FIRST_WINDOW
        while True:
            start = self._window_start(end, window)
            if start is None:
                window *= _WINDOW_GROWTH
                continue
            steps = start if isinstance(start, Stop) else self._steps_of(vcpu, end, goal if end == now else None)
            if isinstance(steps, Stop) or isinstance(start, Stop):
                return steps if isinstance(steps, Stop) else Stop(Reason.PAUSE, vcpu)
            if steps:
                self._go_back(start)
                paused = _repeated(execution.step_any, steps[-1])
                return paused or Stop(Reason.STEP, vcpu)
            if start.executed <= self._kept.first.executed:
                self._go_back(self._kept.first)
                return Stop(Reason.HISTORY_BEGIN, vcpu)
            if window < _LONGEST_WINDOW:
                window *= _WINDOW_GROWTH
                continue
            found = self._latest_of(vcpu, start.executed)
            if isinstance(found, Stop):
                return found
            end, window = found, _FIRST_WINDOW

    def _one_back(self, vcpu: int, now: int, goal: object) -> Stop | None:
        """Go back by one instruction, if ``vcpu`` executes the next one and then is at the moment ``goal``; return None
        if it does not. It nearly always does."""
        execution, machine = self._execution, self._machine
        if now <= self._kept.first.executed:
            return None
        self._go_back(self._kept.before(now) or self._kept.first)
        stop = self._execute_to(now - 1)
        if stop.reason is not Reason.STEP or execution.executed() >= now:
            return stop if stop.reason is Reason.PAUSE else None
        # Undo an instruction that only computes without comparing all of memory.
        computes = machine.faults is None and self._executes_inert_instruction()
        before = self._moments.take_without_memory() if computes else self._moments.take()
        execution.stepped = None
        stop = execution.step_any()
        if stop.reason is Reason.PAUSE:
            return stop
        if stop.reason is not Reason.STEP or execution.stepped != vcpu or self._moments.place() != goal:
            return None
        if computes:
            self._moments.undo(before)
        else:
            self._go_back(before)
        return Stop(Reason.STEP, vcpu)

    def _executes_inert_instruction(self) -> bool:
        cpu = self._machine.current
        word = Memory(self._machine).read(cpu, cpu.arch.ctx.elr, 4)
        return len(word) == 4 and is_inert(int.from_bytes(word, "little"))

    def _window_start(self, end: int, window: int) -> Moment | Stop | None:
        """Take a temporary moment at least ``window`` instructions before a place; None if that is too close."""
        place = end - window
        if place <= self._kept.first.executed:
            self._go_back(self._kept.first)
            return self._kept.first
        self._go_back(self._kept.before(place) or self._kept.first)
        stop = self._execute_to(place)
        if stop.reason is not Reason.STEP:
            return stop
        return self._moments.take() if self._execution.executed() < end else None

    def _steps_of(self, vcpu: int, end: int, goal: object) -> list[int] | Stop:
        """Execute one by one up to a place, which is the moment ``goal`` if given. Returns the numbers of the steps
        that ``vcpu`` made; the first is 0."""
        execution = self._execution
        found: list[int] = []
        number = 0
        while execution.executed() < end or (
            execution.executed() == end and goal is not None and self._moments.place() != goal
        ):
            execution.stepped = None
            stop = execution.step_any()
            if stop.reason is Reason.PAUSE:
                return stop
            if stop.reason is not Reason.STEP or execution.executed() > end:
                break
            if execution.stepped == vcpu:
                found.append(number)
            number += 1
        return found

    def _latest_of(self, vcpu: int, end: int) -> int | Stop:
        """Return the instruction count at which a vCPU executed its last instruction before a place."""
        execution = self._execution
        while True:
            start = self._kept.before(end)
            if start is None:
                self._go_back(self._kept.first)
                return Stop(Reason.HISTORY_BEGIN, vcpu)
            self._go_back(start)
            execution.latest.clear()
            stop = self._execute_to(end)
            if stop.reason is not Reason.STEP:
                return stop
            if vcpu in execution.latest:
                return execution.latest[vcpu]
            end = start.executed

    def reverse_resume(self) -> Stop:
        """Go back to the last moment at which :meth:`resume` would have stopped, or to the beginning of history."""
        self._settle()
        execution = self._execution
        end = execution.executed()
        self._leave()
        start = self._kept.before(end)
        while start is not None:
            self._say(f"looking back from instruction {end} to {start.executed}")
            self._go_back(start)
            stop = self._last_hit(start, end)
            if stop is not None:
                return stop
            # A search that starts at a kept moment misses a breakpoint there, so start from the one before.
            end = start.executed if start.changed else start.executed + 1
            start = self._kept.before(start.executed)
        self._go_back(self._kept.first)
        return Stop(Reason.HISTORY_BEGIN, self._machine.current.index)

    def _last_hit(self, start: Moment, end: int) -> Stop | None:
        """Go to the last hit before a place and return it; None if there is none. A hit that took long to reach is
        kept, so that the next visit is fast."""
        execution = self._execution
        base, hits, last = start, 0, None
        since, cost = time.perf_counter(), 0.0
        while True:
            with execution.limited(end):
                stop = execution.resume()
            if stop.reason is Reason.PAUSE:
                return stop
            if stop.reason not in HITS or execution.executed() >= end:
                break
            last, hits = stop, hits + 1
            began = time.perf_counter()
            if began - since > 10 * cost:
                base, hits = self._moments.take(), 0
                since = time.perf_counter()
                cost = since - began
        if last is None:
            return None
        self._go_back(base)
        return _repeated(execution.resume, hits) or last

    # Moments ---------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Keep the moment at which the user changed the machine, because execution cannot reproduce it."""
        if self._touched:
            self._touched = False
            self._kept.forget_from(self._execution.executed())
            self._kept.add(self._moments.take(changed=True), self._execution.executed())

    def _leave(self) -> None:
        """Save the present, to return to it later."""
        if self._present is None:
            self._present = self._moments.take()

    def _go_back(self, moment: Moment) -> None:
        self._moments.go_to(moment)
        self._machine.input.repeat(True)
        self._set_due(0.0)

    def _keep(self) -> None:
        began = time.perf_counter()
        execution = self._execution
        # Reaching the limit is not part of the moment.
        self._kept.add(self._moments.take(), execution.executed())
        self._set_due(time.perf_counter() - began)

    def _set_due(self, seconds: float) -> None:
        gap = max(INTERVAL, int(seconds * _RATE))
        self._execution.due = min(self._execution.executed() + gap, NEVER)

    def _say(self, text: str) -> None:
        if self.report is not None:
            self.report(text)


def _repeated(move: Callable[[], Stop], times: int) -> Stop | None:
    """Move ``times`` times; return the stop of a pause that interrupts it."""
    for _ in range(times):
        stop = move()
        if stop.reason is Reason.PAUSE:
            return stop
    return None
