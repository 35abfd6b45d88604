"""A physical CPU on the Unicorn engine: the only implementation of the engine's interface for real guests."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from importlib import import_module
from threading import get_ident
from typing import TYPE_CHECKING, Final

from arm_vcpu_cli.arch.identification.idregs import Aa64Isar1, Aa64Pfr0
from arm_vcpu_cli.arch.registers.el1regs import EL1H_MASKED, EL2H_MASKED
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup
from arm_vcpu_cli.engine.asking import ask_until
from arm_vcpu_cli.engine.corrections import correct_engine
from arm_vcpu_cli.engine.counters import Counters
from arm_vcpu_cli.engine.discovery import known_layout
from arm_vcpu_cli.engine.guarded_device import guarded
from arm_vcpu_cli.engine.guest_debugging import GuestDebugging
from arm_vcpu_cli.engine.handover import hand_over_to_el2
from arm_vcpu_cli.engine.instruction_budget import BUDGET, PAUSE, REQUEST, InstructionBudget
from arm_vcpu_cli.engine.known_builds import known_build
from arm_vcpu_cli.engine.layout import CpuState, StateLayout
from arm_vcpu_cli.engine.levers import Levers, known_levers
from arm_vcpu_cli.engine.port import UNLIMITED, CounterReads, ExceptionHook, MmioWindow, MoveHandler, StopReason
from arm_vcpu_cli.engine.refusals import COUNT, FREE, SINGLY, THREAD, entry_of
from arm_vcpu_cli.engine.stubs import ASKED, load_stubs
from arm_vcpu_cli.engine.switched_hooks import install_exceptions, install_moves
from arm_vcpu_cli.engine.system_calls import call_words
from arm_vcpu_cli.engine.unicorn_api import NZCV, PC, PSTATE, Engine, SavedContext
from arm_vcpu_cli.engine.yields import WAITS, Switch, watch_wfe
from arm_vcpu_cli.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arm_vcpu_cli.engine.exact_control import ExactControl
    from arm_vcpu_cli.engine.port import HitHandler, WatchedRange
    from arm_vcpu_cli.engine.watchpoints import Watchpoints

_DEBUG: Final = 2
"""op0 of the debug registers."""
_WATCHPOINTS: Final = "arm_vcpu_cli.engine.watchpoint_trial"
_EXACT_CONTROL: Final = "arm_vcpu_cli.engine.exact_control"
"""Loaded only for a debugger."""
_PSTATE_COMPANION: Final = lookup("TPIDR_EL2")
"""An EL2 register invisible to guests and unused here: writing it only refreshes the core."""
_TLBI_ALLE1: Final = lookup("TLBI ALLE1")

_PAGE: Final = 4096


class UnicornCore:
    """One modelled CPU at EL2. Implements :class:`~arm_vcpu_cli.engine.port.CpuCore`."""

    def __init__(self, model: str, layout: StateLayout | None = None, levers: Levers | None = None) -> None:
        """Open an engine; ``layout`` and ``levers`` are detected by default."""
        self._layout = known_layout() if layout is None else layout
        self._levers = known_levers() if levers is None else levers
        self._model = model
        correct_engine()
        self._engine = Engine(model)
        self.has_sysreg: Callable[[SysReg], bool] = self._engine.has_sysreg
        self.sysreg_writer: Callable[[SysReg], Callable[[int], object]] = self._engine.sysreg_writer
        self._debugging = GuestDebugging(self._engine, self._layout)
        if self._levers.exit_check is not None:
            self._engine.leave_out_exit_checks(self._levers.exit_check, True)
        self._scan_again = self._engine.hooks.leave_out_code_scans() if self._levers.code_scans else None
        pfr0 = Aa64Pfr0(self._engine.read_sysreg(lookup("ID_AA64PFR0_EL1")))
        isar1 = Aa64Isar1(self._engine.read_sysreg(lookup("ID_AA64ISAR1_EL1")))
        hand_over_to_el2(self._engine, has_sve=bool(pfr0.SVE), has_pauth=bool(isar1.APA or isar1.API))
        self._write_pstate = self._engine.pstate_writer(_PSTATE_COMPANION)
        self._write_pstate(EL1H_MASKED)
        # Created once, because every switch of address spaces uses it.
        self._empty_tlb = self._engine.sysreg_writer(_TLBI_ALLE1)
        self._failure: BaseException | None = None
        self._thread = get_ident()
        self._has_run = self._stopped = False
        self._stubs = load_stubs()
        self._entry = entry_of(self._engine)
        self._refusals = self._entry.words
        self._counting = self._hushed = False
        words = self._engine.block_words(UNLIMITED)
        self._counters = Counters(self._engine, words)
        self.answer_counters: Callable[[CounterReads], None] = self._counters.answer
        self.set_counter_offset: Callable[[int], None] = self._counters.set_offset
        self._budget = budget = InstructionBudget(words, self._counters.words)
        self.elapsed: Callable[[], int] = budget.elapsed
        self.elapsed_plus: Callable[[list[int]], Callable[[], int]] = budget.elapsed_plus
        self.instruction_count: Callable[[], int] = budget.instruction_count
        self.set_budget: Callable[[int], None] = budget.set
        self.budget_left: Callable[[], int] = budget.left
        self.spend: Callable[[int], None] = budget.spend
        self._switch_waits: Switch | None = None
        self._end_waits: Callable[[], object] = bool
        calls = call_words(self._engine, self._layout) if self._levers.system_calls else None
        self._exceptions = install_exceptions(self._engine, self._refusals, self._fail, calls)
        self._control: ExactControl | None = None
        self._use_moves: Callable[[MoveHandler], None] | None = None
        self._move_crns: frozenset[int] = frozenset()
        self._watchpoints: Watchpoints | None = None

    @property
    def model(self) -> str:
        """The name of the modelled CPU."""
        return self._model

    @property
    def layout(self) -> StateLayout:
        """The layout of a saved state."""
        return self._layout

    @property
    def prefers_execute_on_demand(self) -> bool:
        """Whether stores to executable memory are slow, which is a side effect of the lever."""
        return self._levers.execute_on_demand

    @property
    def tlbi_heeds_stage1(self) -> bool:
        """Whether TLBI by address invalidates a whole stage-1 block: with the lever that reports its size."""
        return self._levers.stage1_sizes

    @property
    def guest_watchpoints(self) -> bool:
        """Whether the guest's watchpoints fire: with the stubs."""
        words = self._debugging.words
        return words is not None and (known_build() is not None or import_module(_WATCHPOINTS).notices_accesses())

    def expect_user_code_everywhere(self) -> None:
        """Restore the scans of the TLB that are omitted while only EL1 executes in the upper half."""
        if self._scan_again is not None:
            self._scan_again()
            self._scan_again = None

    def new_state(self) -> CpuState:
        """Return the current state of the core in newly allocated memory."""
        context = SavedContext(self._engine)
        if len(context.memory) != self._layout.size:
            raise EngineError(f"saved state of {len(context.memory)} bytes, expected {self._layout.size}")
        return CpuState(self._layout, context.memory, context)

    def saver(self, state: CpuState) -> Callable[[], object]:
        """Return a function that copies the core's state into ``state``."""
        return self._engine.saver(_context_of(state))

    def restorer(self, state: CpuState) -> Callable[[], object]:
        """Return a function that loads ``state`` into the core."""
        return self._engine.restorer(_context_of(state))

    def pstate_writer(self) -> Callable[[int], object]:
        """Return a function that writes PSTATE and makes the engine recompute what it caches about it."""
        return self._write_pstate

    def read_sysreg(self, reg: SysReg) -> int:
        """Read a system register from the engine; 0 if it has none with that encoding."""
        return self._engine.read_sysreg(reg)

    def write_sysreg(self, reg: SysReg, value: int) -> None:
        """Write a system register through its write function in the engine."""
        self._engine.write_sysreg(reg, value)
        if reg.op0 == _DEBUG:
            self._debugging.written()

    def current_el(self) -> int:
        """Return the guest's Exception level, for a :class:`MoveHandler`."""
        return self._engine.current_el()

    def set_flags(self, nzcv: int) -> None:
        """Set NZCV, for a :class:`MoveHandler`."""
        self._engine.write_register(NZCV, nzcv)

    def set_exception_hook(self, hook: ExceptionHook | None, *, system_calls: bool = True) -> None:
        """Set the function that the engine calls for each exception to EL1 or EL2, possibly except system calls."""
        self._exceptions.use(hook, system_calls)
        self._debugging.changed()

    def set_move_hook(self, crns: Collection[int], handler: MoveHandler) -> None:
        """Call ``handler`` for each MRS and MSR with one of these CRn. The first call installs the hooks."""
        if self._use_moves is None or not self._move_crns.issuperset(crns):
            self._move_crns = frozenset(crns)
            self._use_moves = install_moves(self._engine, self._stubs, self._counters, crns, self._fail)
        self._use_moves(handler)

    def watch_code(self, first: int, last: int, callback: Callable[[int], None]) -> Callable[[], None]:
        """Call ``callback`` before each instruction of a range, until the returned function is called."""

        def on_code(vaddr: int) -> None:
            if self._hushed:
                return
            try:
                callback(vaddr)
            except BaseException as error:  # noqa: BLE001
                self._fail(error)

        return self._engine.hooks.code(first, last, on_code)

    def stop_before(self, vaddr: int, wanted: Callable[[], bool]) -> None:
        """End :meth:`run` before an instruction. This requires the check for a stop that the lever omits."""
        if self._levers.exit_check is not None:
            self._engine.leave_out_exit_checks(self._levers.exit_check, False)

        def reached(_vaddr: int) -> None:
            if wanted():
                self.stop()

        # Drop the code translated without either.
        self.watch_code(vaddr, vaddr, reached)

    def set_watchpoints(self, ranges: Sequence[WatchedRange], hit: HitHandler) -> None:
        """Call ``hit`` before each access to one of these ranges."""
        if self._watchpoints is None:
            make, words, wrap = import_module(_WATCHPOINTS).open_watchpoints, self._budget.words, self._exceptions.wrap
            state, debugging = self.new_state(), self._debugging
            self._watchpoints = make(
                self._engine, debugging, words, state, self.saver, wrap, self.stop, lambda: self._control
            )
        self.count_instructions()
        self._watchpoints.set(ranges, hit)
        self.flush_tlb()

    def go_on_from(self, unfinished: int, requested: int) -> None:
        """Continue in the middle of a block, after a saved state was loaded."""
        if unfinished or requested or self._control is not None:
            control = self.control()
            control.unfinished, control.requested = unfinished, requested

    def hush(self, quiet: bool) -> None:
        """Suspend the callbacks of :meth:`watch_code`, or resume them."""
        self._hushed = quiet

    def run(self, pc: int) -> StopReason:
        """Run from ``pc`` until a stop. An exception raised by a hook is raised again here."""
        if self._debugging.stale:
            self._debugging.renew()
        reason = self._run(pc) if self._control is None else self._control.run(pc)
        return reason if self._watchpoints is None else self._watchpoints.ended(reason)

    def _run(self, pc: int) -> StopReason:
        self._begin()
        counts, refused = self._budget.counts, self._refusals
        while True:
            if counts[REQUEST] and self._stubs.ask is not None:
                counts[BUDGET] |= ASKED
            refused[THREAD] = self._thread
            self._engine.start(pc)
            refused[THREAD] = FREE
            refused[SINGLY] = 0
            if self._failure is not None:
                raise self._failure
            if self._stopped:
                return StopReason.STOP
            if refused[COUNT]:
                refused[COUNT] = 0
                refused[SINGLY] = 1
                pc = self._engine.read_register(PC)
                continue
            request = counts[REQUEST]
            if request:
                counts[REQUEST] = 0
                return StopReason.WAIT if request == WAITS else StopReason.REQUEST
            if not self._budget.held:
                return StopReason.BUDGET
            self._next_slice()
            pc = self._engine.read_register(PC)

    def _begin(self) -> None:
        self._failure = None
        self._stopped = False
        self._has_run = True
        self._thread = get_ident()

    def _is_stopped(self) -> bool:
        if self._failure is not None:
            raise self._failure
        return self._stopped

    def control(self) -> ExactControl:
        """Return the exact control of the execution, which controls every run from now on."""
        if self._control is None:
            self.count_instructions()
            ask, module = self._stubs.ask, import_module(_EXACT_CONTROL)
            execution = module.Execution(
                self._engine,
                self._layout,
                self._budget,
                self._refusals,
                self._begin,
                self._is_stopped,
                self._exceptions.surround,
                self._next_slice,
                self.flush_tlb,
                partial(setattr, self, "set_budget"),
                None
                if ask is None
                else lambda: ask_until(ask, self._budget.address, self._thread, lambda: not self._budget.counts[PAUSE]),
            )
            self._control = module.open_control(execution)
        return self._control

    def _next_slice(self) -> None:
        """Empty the TLB and continue."""
        self.flush_tlb()
        self._budget.lengthen_slice()
        self.set_budget(self.budget_left())

    def stop(self) -> None:
        """End :meth:`run`, from a hook."""
        self._stopped = True
        self._stop_engine()

    def count_instructions(self) -> None:
        """Count instructions with a stub at the start of each block. Further calls have no effect."""
        if not self._counting:
            self._counting = True
            self.set_budget(self.budget_left())
            self._engine.hooks.blocks(self._stubs, self._budget.words, inline=self._levers.inline_counting)

    def set_el0_counters(self, *, physical: bool, virtual: bool) -> None:
        """Set which counters the read stub answers at EL0."""
        self._counters.allow_el0(physical=physical, virtual=virtual)

    def stop_at_wait(self, stop: bool) -> None:
        """Set whether to end :meth:`run` at a WFE. The first call installs the detection."""
        if self._switch_waits is None:
            self._switch_waits, self._end_waits = watch_wfe(self._engine, self._budget.address)
        self._switch_waits(stop)

    def request_stop(self) -> None:
        """End :meth:`run` between two instructions, or at once if instructions are not counted."""
        counts, ask = self._budget.counts, self._stubs.ask
        counts[REQUEST] = 1
        if not self._counting:
            self.stop()
        elif ask is not None:
            ask_until(ask, self._budget.address, self._thread, lambda: not counts[REQUEST])

    def map_device(self, paddr: int, size: int, device: MmioWindow) -> None:
        """Map a host-physical range to the functions of ``device``."""
        self._engine.map_device(paddr, size, *guarded(device, self._fail))

    def map_memory(self, paddr: int, size: int, host_address: int) -> None:
        """Map a host-physical range to host memory."""
        self._engine.map_pointer(paddr, size, host_address)

    def flush_tlb(self) -> None:
        """Empty the TLB."""
        self._empty_tlb(0)

    def forget_code(self, paddr: int, size: int) -> None:
        """Drop the translated code of a range. The engine takes a VA; at EL2, where stage 1 is off, that is the PA."""
        if not self._has_run:
            return
        engine, state = self._engine, self.new_state()
        pstate = engine.read_register(PSTATE)
        self._write_pstate(EL2H_MASKED)
        for page in range(paddr & -_PAGE, paddr + size, _PAGE):
            engine.forget_code(page, _PAGE)
        self.restorer(state)()
        self._write_pstate(pstate)

    def flush_code(self) -> None:
        """Drop all translated code."""
        self._debugging.loaded()
        self._engine.flush_code()

    def read_virtual(self, vaddr: int, size: int) -> bytes | None:
        """Read guest memory as loads see it; None if a translation fails."""
        return self._engine.read_virtual(vaddr, size)

    def fetcher(self) -> Callable[[int], int | None]:
        """Return a function that reads the instruction at a VA as a fetch sees it; None if the fetch faults."""
        return self._engine.fetcher()

    def translate(self, vaddr: int) -> int | None:
        """Return the host-physical address of a load from ``vaddr``; None if it faults."""
        return self._engine.translate(vaddr)

    def close(self) -> None:
        """Close the engine; mapped memory stays."""
        self._entry.give_back()
        self._debugging.close()
        self._end_waits()
        self._engine.close()

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._stop_engine()

    def _stop_engine(self) -> None:
        """Stop the engine. In the middle of a block, only the end of the budget makes the next one check for it."""
        self._engine.stop()
        if self._stubs.ask is not None:
            ask_until(self._stubs.ask, self._budget.address, self._thread)


def _context_of(state: CpuState) -> SavedContext:
    if not isinstance(state.owner, SavedContext):
        raise EngineError("the saved state belongs to another engine")
    return state.owner
