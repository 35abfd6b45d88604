"""Stops a core before any instruction, also in the middle of a translated block, without an effect on the guest.

The core counts a block when it begins. When it is stopped in the middle of a block, :attr:`ExactControl.unfinished`
instructions have been counted but not executed. They are executed next, as a block that is not counted again, so that
it ends where the whole block would have ended: the next block begins at the same place, with the same count and the
same budget. An exception on the way ends the unfinished block as it would end the whole one, and the rest stays counted
without having been executed, as without a stop.

**Breakpoints** are checked at the beginning of each block: the block stub does not begin one that contains a
breakpoint. That block is counted, and executed one instruction at a time up to the breakpoint. So breakpoints do not
change the translation, and changing them requires no new one.

**A step** from the beginning of a block first makes the core look up that block with an empty budget, which does not
begin it but yields its length. If it does not fit into the budget, it is not begun either, and the budget has ended. A
pending interrupt is taken first, and is a step. WFI, WFE, YIELD, SEV and SEVL leave a block in a special way, and
are executed as the last instruction of an ordinary block.

Two effects are not exact. If a guest writes to instructions of the very block that it is executing, without a barrier,
it executes the old ones without a debugger, and the new ones if the block is interrupted in between. And the slices of
the budget, at whose end the TLB is emptied, start anew when a stepped instruction sets a timer, which a guest can
notice only if it relies on translations that it should have invalidated.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection
from functools import partial
from threading import get_ident
from typing import Final, TypeVar

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.engine.instruction_budget import ARMED, BUDGET, HIT, PAUSE, REQUEST, SIZE, InstructionBudget
from arm_vcpu_cli.engine.layout import StateLayout
from arm_vcpu_cli.engine.port import ExceptionHook, StopReason
from arm_vcpu_cli.engine.refusals import COUNT, FREE, SINGLY, THREAD, register_address
from arm_vcpu_cli.engine.single_steps import SingleSteps, single_steps
from arm_vcpu_cli.engine.stubs import ASKED
from arm_vcpu_cli.engine.switched_hooks import Wrapper
from arm_vcpu_cli.engine.unicorn_api import Engine
from arm_vcpu_cli.engine.yields import WAITS
from arm_vcpu_cli.errors import EngineError
from arm_vcpu_cli.record import Record

_HINTS: Final = (0xD503_203F, 0xD503_205F, 0xD503_207F, 0xD503_209F, 0xD503_20BF)
"""YIELD, WFE, WFI, SEV and SEVL."""
_INSTRUCTION: Final = 4
_Result = TypeVar("_Result")


class Execution(Record):
    """The core's operations for its control. ``begin`` clears the reason for the end of the last run. ``is_stopped``
    returns whether a hook has stopped the guest, and raises what a hook has raised. ``surround`` wraps the vCPU's
    exception hook in another. ``next_slice`` begins another slice of the budget; ``use_set_budget`` replaces the
    function that sets it. ``ask`` makes the next block check for a stop."""

    engine: Engine
    layout: StateLayout
    budget: InstructionBudget
    refused: memoryview
    begin: Callable[[], None]
    is_stopped: Callable[[], bool]
    surround: Callable[[Wrapper | None], None]
    next_slice: Callable[[], None]
    flush_tlb: Callable[[], object]
    use_set_budget: Callable[[Callable[[int], None]], None]
    ask: Callable[[], None] | None


class ExactControl:
    """Controls one core. Implements :class:`~arm_vcpu_cli.engine.port.ExecutionControl`."""

    def __init__(self, execution: Execution, steps: SingleSteps) -> None:
        self._execution = execution
        self._engine, self._budget, self._refused = execution.engine, execution.budget, execution.refused
        self._counts = execution.budget.counts
        self._asks = execution.ask is not None
        self._steps = steps
        layout = execution.layout
        state = (layout.sysregs[lookup(name)] for name in ("ELR_EL1", "ESR_EL1", "FAR_EL1", "SPSR_EL1"))
        places = [register_address(steps.state, layout, at) for at in (layout.pc, layout.pstate & ~7, *state)]
        self._place = [ctypes.c_uint64.from_address(place) for place in places]
        """PC, PSTATE, and what an exception to EL1 changes, in the core's own state."""
        execution.budget.words.pc = places[0]
        self._fetch = execution.engine.fetcher()
        self._addresses: frozenset[int] = frozenset()
        self._array = (ctypes.c_uint64 * 0)()
        self._hooked = False
        self.unfinished = 0
        self.apart = False
        """Whether no block may begin, and the engine stops after each exception."""
        self.limit: int | None = None
        self.stepping = False
        self.stepped = False

    def set_breakpoints(self, addresses: Collection[int]) -> None:
        """Stop before the instructions at these virtual addresses only."""
        self._addresses = frozenset(addresses)
        self._array = (ctypes.c_uint64 * len(self._addresses))(*self._addresses)
        words = self._budget.words
        words.addresses = ctypes.addressof(self._array)
        words.armed = len(self._addresses)

    @property
    def requested(self) -> int:
        """The reason of the requested stop, 0 if there is none."""
        return self._counts[REQUEST]

    @requested.setter
    def requested(self, requested: int) -> None:
        self._counts[REQUEST] = requested
        if requested and self._execution.ask is not None:
            self._execution.ask()

    def executed(self) -> int:
        """Return the number of counted instructions, less the unfinished ones."""
        return self._budget.instruction_count() - self.unfinished

    def fetch(self, vaddr: int) -> int | None:
        """Return the instruction word at a virtual address, as the core translates it now; None if it cannot."""
        return self._fetch(vaddr)

    def pause(self, wanted: bool = True) -> None:
        """End the run between two instructions. May be called from any thread."""
        self._counts[PAUSE] = int(wanted)
        if wanted and self._execution.ask is not None:
            self._execution.ask()

    def run(self, pc: int) -> StopReason:
        """Run, or execute one instruction if :attr:`stepping`."""
        self._execution.begin()
        self.stepped = False
        if self.stepping:
            return self._apart(partial(self._step, pc))
        return self._run(pc)

    # Running ---------------------------------------------------------------------------------------------------

    def _run(self, pc: int) -> StopReason:
        while True:
            if self.limit is not None and self.executed() >= self.limit:
                return StopReason.COUNT
            if self.unfinished:
                if pc in self._addresses:
                    return StopReason.BREAKPOINT
                alone = self._nearest(pc)
                if alone:
                    if self._apart(partial(self._walk, pc, alone)):
                        return StopReason.STOP
                    pc = self._pc()
                    continue
            reason = self._go(pc)
            if reason is not None:
                return reason
            if self._counts[PAUSE]:
                self._counts[PAUSE] = 0
                return StopReason.PAUSE
            pc = self._pc()
            if pc in self._addresses:
                return StopReason.BREAKPOINT
            self.unfinished = size = self._counts[SIZE]
            self._counts[BUDGET] -= size

    def _nearest(self, pc: int) -> int:
        """Return the number of instructions to the next stop in the unfinished block, or to its end; 0 if there is
        none."""
        unfinished = self.unfinished
        distances = [(each - pc) // _INSTRUCTION for each in self._addresses]
        nearest = [distance for distance in distances if 0 < distance < unfinished]
        if self.limit is not None and self.limit - self.executed() <= unfinished:
            nearest.append(self.limit - self.executed())
        if self._counts[REQUEST]:
            # A stop requested in the block takes effect at its end.
            nearest.append(unfinished)
        return min(nearest, default=0)

    def _walk(self, pc: int, count: int) -> bool:
        """Execute ``count`` instructions of the unfinished block one by one, unless something ends it first; return
        whether a hook has stopped the guest."""
        for _ in range(count):
            if self._single(pc):
                return True
            if not self.unfinished:
                break
            pc = self._pc()
        return False

    def _go(self, pc: int) -> StopReason | None:
        """Run until something stops the guest: None for a breakpoint in the next block, or a pause."""
        counts, budget = self._counts, self._budget
        rest, self.unfinished = self.unfinished, 0
        if rest:
            before = budget.elapsed()
            counts[BUDGET] += rest
        while True:
            if self._asks and (budget.words.armed or counts[PAUSE] or counts[REQUEST]):
                counts[BUDGET] |= ASKED
            if rest:
                self._steps.block(rest)
            stopped = self._start(pc) if self.limit is None else self._start_clipped(pc, self.limit)
            if rest:
                self._steps.end()
                if budget.elapsed() < before:
                    # The guest was stopped before the run began.
                    counts[BUDGET] -= rest
                    self.unfinished = rest
                rest = 0
            if stopped:
                return StopReason.STOP
            if counts[HIT]:
                counts[HIT] = 0
                return None
            request = counts[REQUEST]
            if request:
                counts[REQUEST] = 0
                return _requested(request)
            if self.limit is not None and counts[SIZE] <= counts[BUDGET] & ~ASKED:
                # The block fits into the budget.
                if self.limit - budget.instruction_count() <= counts[SIZE]:
                    return None
                pc = self._pc()
                continue
            if not budget.held:
                return StopReason.BUDGET
            self._execution.next_slice()
            pc = self._pc()

    def _start_clipped(self, pc: int, limit: int) -> bool:
        """Start the guest with a stop before the block that reaches the limit. Time spent brings the stop forward."""
        budget = self._budget
        budget.clip(limit - 1)
        self._execution.use_set_budget(budget.set)
        try:
            return self._start(pc)
        finally:
            budget.unclip()
            self._execution.use_set_budget(budget.set)

    # Single steps ----------------------------------------------------------------------------------------------

    def _apart(self, work: Callable[[], _Result]) -> _Result:
        """Call ``work`` while no block begins without permission, and each exception is followed by a stop."""
        self._budget.withhold()
        self.apart = True
        self._execution.surround(self._stopping)
        try:
            return work()
        finally:
            self._execution.surround(None)
            self.apart = False
            self._budget.hand_out()

    def _stopping(self, hook: ExceptionHook) -> ExceptionHook:
        def on_exception(kind: int) -> None:
            self._hooked = True
            hook(kind)
            self._engine.stop()

        return on_exception

    def _step(self, pc: int) -> StopReason:
        while True:
            before = self._state()
            if not self.unfinished:
                reason = self._find_block(pc)
                if reason is not None:
                    return reason
            if self.unfinished and self._single(pc):
                self.stepped = True
                return StopReason.STOP
            if not self._hooked or self._state() != before:
                self.stepped = True
                return StopReason.STEP
            # The hypervisor has removed the obstacle to the instruction.

    def _find_block(self, pc: int) -> StopReason | None:
        """Make the core look up the next block without beginning it, and count it. None if it is the unfinished block
        now, or if an exception came first."""
        counts = self._counts
        self._hooked = False
        if self._start(pc):
            self.stepped = True
            return StopReason.STOP
        if self._hooked or self._pc() != pc:
            return None
        request = counts[REQUEST]
        if request:
            counts[REQUEST] = 0
            return _requested(request)
        counts[HIT] = 0
        size = counts[SIZE]
        if not self._budget.take_block(size, self._execution.flush_tlb):
            return StopReason.BUDGET
        self.unfinished = size
        return None

    def _single(self, pc: int) -> bool:
        """Execute one instruction of the unfinished block; return whether a hook has stopped the guest."""
        counts, steps = self._counts, self._steps
        left = self.unfinished - 1
        alone = left > 0 or self._fetch(pc) not in _HINTS
        begin = steps.one if alone else steps.last
        self._hooked, self.unfinished = False, 0
        requested = paused = 0
        # Some stubs check conditions at the beginning of every block, even without a request to stop.
        armed, counts[ARMED] = counts[ARMED], 0
        stopped = False
        counts[BUDGET] = 1
        while counts[BUDGET] & ~ASKED and not self._hooked and not stopped:
            # Repeat, because another thread has requested a stop meanwhile.
            requested, paused = requested | counts[REQUEST], paused | counts[PAUSE]
            counts[BUDGET], counts[REQUEST], counts[PAUSE] = 1, 0, 0
            stopped = self._start(pc, begin)
        steps.end()
        counts[BUDGET] = counts[HIT] = 0
        counts[ARMED] = armed
        counts[REQUEST] |= requested
        counts[PAUSE] |= paused
        if self._hooked or stopped:
            if self.unfinished:
                # Not even one: the instruction has hit a watchpoint.
                self.unfinished += left
            return stopped
        self.unfinished = left
        return False

    # The engine ------------------------------------------------------------------------------------------------

    def _start(self, pc: int, prepare: Callable[[], None] | None = None) -> bool:
        """Start the engine once, and again for each word that its translator refuses; return whether a hook has stopped
        it."""
        refused = self._refused
        while True:
            if prepare is not None:
                prepare()
            refused[THREAD] = get_ident()
            self._engine.start(pc)
            refused[THREAD] = FREE
            refused[SINGLY] = 0
            if self._execution.is_stopped():
                return True
            if not refused[COUNT]:
                return False
            refused[COUNT] = 0
            refused[SINGLY] = 1
            pc = self._pc()

    def _pc(self) -> int:
        return self._place[0].value

    def _state(self) -> list[int]:
        return [each.value for each in self._place]


def _requested(request: int) -> StopReason:
    return StopReason.WAIT if request == WAITS else StopReason.REQUEST


def open_control(execution: Execution) -> ExactControl:
    """Return the control of a core. Raises :class:`EngineError` if it has none."""
    steps = single_steps(execution.engine)
    if steps is None:
        raise EngineError("this build of the engine cannot be stopped at a chosen instruction")
    return ExactControl(execution, steps)
