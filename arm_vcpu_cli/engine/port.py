"""The interface between the hypervisor and a CPU core, which an emulation engine implements.

A core is one physical CPU that starts at EL2, with EL3 set up to stay out of the way. It executes the guest's EL1 and
EL0, walks both stages of translation and raises real exceptions, which call the hook. The state may be accessed only in
the hook and between two calls of ``run``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from enum import Enum
from typing import Final, Protocol

from arm_vcpu_cli.arch.registers.sysreg import SysReg
from arm_vcpu_cli.engine.layout import CpuState, StateLayout
from arm_vcpu_cli.record import Record

ExceptionHook = Callable[[int], None]
"""Called with the kind of the exception: 0 synchronous, 1 IRQ, 2 FIQ, 3 SError (the order of a vector table)."""


UNLIMITED: Final = 1 << 62
"""An instruction budget that is never used up, within the signed 64-bit number that holds it."""


class StopReason(Enum):
    """Why :meth:`CpuCore.run` returned."""

    STOP = "stop"
    """:meth:`CpuCore.stop` was called: by the hook, which makes the state exact, or from another thread."""
    BUDGET = "budget"
    """The instruction budget is used up."""
    REQUEST = "request"
    """:meth:`CpuCore.request_stop` was called."""
    WAIT = "wait"
    """The guest has executed WFE, at which :meth:`CpuCore.stop_at_wait` asks to stop."""
    BREAKPOINT = "breakpoint"
    """The PC is at a breakpoint of :class:`ExecutionControl`."""
    STEP = "step"
    """One instruction has been executed; see :attr:`ExecutionControl.stepping`."""
    PAUSE = "pause"
    """:meth:`ExecutionControl.pause` was called."""
    COUNT = "count"
    """The count of :attr:`ExecutionControl.limit` is reached."""
    WATCHPOINT = "watchpoint"
    """The instruction at the PC is about to access a watched range; see :meth:`CpuCore.set_watchpoints`."""


FOR_DEBUGGER: Final = (
    StopReason.BREAKPOINT,
    StopReason.STEP,
    StopReason.PAUSE,
    StopReason.COUNT,
    StopReason.WATCHPOINT,
)
"""Stops that the guest must not notice: it continues as if it had not been stopped."""


class CounterReads(Record):
    """How CNTPCT_EL0 and CNTVCT_EL0 are read. Times are in nanoseconds; a tick is 16.

    Without ``host_start`` the counter is :meth:`CpuCore.elapsed` plus an offset, and a read takes ``cost``. With it,
    the counter is the host's monotonic time since then. ``physical``: whether that applies to CNTPCT_EL0 too.
    """

    cost: int
    host_start: int | None = None
    physical: bool = True


class WatchedRange(Record):
    """``size`` bytes from a virtual address on, and the kinds of access to watch for."""

    address: int
    size: int
    reads: bool
    writes: bool

    @property
    def last(self) -> int:
        """The address of the last byte; a range ends at the end of the address space at the latest."""
        return min(self.address + self.size, 1 << 64) - 1


class WatchHit(Record):
    """An imminent access to a watched range. ``number`` is the index of the range, ``address`` its first byte
    accessed."""

    number: int
    address: int
    is_write: bool


HitHandler = Callable[[WatchHit], bool]
"""Returns whether :meth:`CpuCore.run` is to end before the access."""


class MoveHandler(Protocol):
    """Executes MRS and MSR instructions in place of the core. Nothing else may access the core meanwhile.

    ``encoding`` is op0 to op2 as in bits [20:5] of the instruction.
    """

    def read(self, encoding: int) -> int | None:
        """Return the 64-bit value that MRS reads, or None to let the core execute it."""

    def write(self, encoding: int, value: int) -> bool:
        """Execute the MSR and return True, or return False to let the core execute it."""


class MmioWindow(Protocol):
    """A device in the physical address space. Widths are 1, 2, 4 or 8 bytes, values unsigned."""

    def read(self, offset: int, width: int) -> int:
        """Return the ``width`` bytes at ``offset``."""

    def write(self, offset: int, width: int, value: int) -> None:
        """Store ``width`` bytes at ``offset``."""


class ExecutionControl(Protocol):
    """Exact control of one core's execution; see :meth:`CpuCore.control`. May be used only while the guest is not
    executing, except for :meth:`pause`."""

    unfinished: int
    """The number of instructions in the block that the core was stopped in that are counted but not executed. It
    belongs to the guest's state, along with its registers."""

    requested: int
    """Requested stops that take effect at the end of the block; part of the state like :attr:`unfinished`."""

    stepping: bool
    """Whether :meth:`CpuCore.run` executes one instruction and returns :attr:`StopReason.STEP`."""

    limit: int | None
    """End :meth:`CpuCore.run` as soon as :meth:`executed` is at least this; None for no limit."""

    stepped: bool
    """Whether the last :meth:`CpuCore.run` while stepping executed an instruction, or took an exception in its
    place."""

    def set_breakpoints(self, addresses: Collection[int]) -> None:
        """End :meth:`CpuCore.run` before the instructions at these virtual addresses only, from now on.

        A breakpoint at the PC ends it at once, so continuing from a breakpoint takes a step first.
        """

    def executed(self) -> int:
        """Return the number of counted instructions, less the unfinished ones.

        It never decreases. Each executed instruction adds one; if it leaves its block with an exception, it also adds
        the rest of the block, which is counted but not executed. An interrupt adds nothing.
        """

    def fetch(self, vaddr: int) -> int | None:
        """Return the instruction word at a virtual address, as the core translates it now; None if it cannot."""

    def pause(self, wanted: bool = True) -> None:
        """End :meth:`CpuCore.run` between two instructions, as soon as possible; with ``wanted`` false, withdraw the
        request. May be called from any thread."""


class CpuCore(Protocol):
    """One physical CPU."""

    @property
    def model(self) -> str:
        """The name of the modelled CPU, such as ``cortex-a72``."""

    @property
    def layout(self) -> StateLayout:
        """The layout of a saved state."""

    @property
    def prefers_execute_on_demand(self) -> bool:
        """Whether memory should become executable only once the guest executes from it, because stores to executable
        memory are slow."""

    @property
    def tlbi_heeds_stage1(self) -> bool:
        """Whether TLBI by address invalidates all of a stage-1 block, even if stage 2 maps it in smaller pieces."""

    @property
    def guest_watchpoints(self) -> bool:
        """Whether the guest's own watchpoints fire (DBGWCR<n>_EL1)."""

    def expect_user_code_everywhere(self) -> None:
        """Announce that EL0 executes in the upper half of the address space, which a core may have ruled out."""

    def new_state(self) -> CpuState:
        """Allocate memory for one saved state, filled with the current state of the core."""

    def saver(self, state: CpuState) -> Callable[[], object]:
        """Return a function that saves the core's state into ``state`` (a single call, for the exit path)."""

    def restorer(self, state: CpuState) -> Callable[[], object]:
        """Return a function that loads ``state`` into the core (a single call, for the exit path)."""

    def pstate_writer(self) -> Callable[[int], object]:
        """Return a function that sets PSTATE and makes the core apply a changed Exception level."""

    def read_sysreg(self, reg: SysReg) -> int:
        """Return the value of a system register in the core; 0 if it has none with that encoding."""

    def has_sysreg(self, reg: SysReg) -> bool:
        """Return whether the core has a register with that encoding. This may have the side effects of a read."""

    def write_sysreg(self, reg: SysReg, value: int) -> None:
        """Write a system register, with its side effects on the core."""

    def sysreg_writer(self, reg: SysReg) -> Callable[[int], object]:
        """Return a function that writes one register as :meth:`write_sysreg` does (a single call, for the exit
        path)."""

    def current_el(self) -> int:
        """Return the guest's Exception level; for use inside a :class:`MoveHandler`."""

    def set_flags(self, nzcv: int) -> None:
        """Set the condition flags (N in bit 31 to V in bit 28); for use inside a :class:`MoveHandler`."""

    def set_exception_hook(self, hook: ExceptionHook | None, *, system_calls: bool = True) -> None:
        """Set the function to call for every exception that the core takes to EL1 or EL2. Without ``system_calls`` the
        core may handle SVC from AArch64 to EL1 itself. This is fast, because the hook changes with the vCPU."""

    def set_move_hook(self, crns: Collection[int], handler: MoveHandler) -> None:
        """Call ``handler`` for each MRS and MSR of a register with one of these CRn, before any trap.

        This is fast if the CRn stay the same, because the handler changes with the vCPU.
        """

    def watch_code(self, first: int, last: int, callback: Callable[[int], None]) -> Callable[[], None]:
        """Call ``callback(vaddr)`` before each instruction at the virtual addresses ``first`` to ``last``.

        The callback may only read system registers. The returned function ends this; it must not be called from the
        callback.
        """

    def stop_before(self, vaddr: int, wanted: Callable[[], bool]) -> None:
        """From now on, end :meth:`run` with :attr:`StopReason.STOP` before the instruction at virtual address ``vaddr``
        executes, if ``wanted()`` is true at that time.

        The state is exact, in the middle of a block too. Memory accesses become permanently slower.
        """

    def set_watchpoints(self, ranges: Sequence[WatchedRange], hit: HitHandler) -> None:
        """From now on, call ``hit`` before each access of the guest to one of these ranges, and end :meth:`run` with
        :attr:`StopReason.WATCHPOINT` if it returns true.

        The PC is then at the instruction, which has changed and counted nothing, and whose exceptions are not reported.
        If it makes several accesses, it may have made those outside the range. The first instruction after a hit
        executes without another call. Instructions are counted from now on. May be called only while the guest is not
        executing. Raises :class:`WatchingError` if the core does not support it, and :class:`EngineError` for too many
        ranges.
        """

    def control(self) -> ExecutionControl:
        """Return the exact control of the execution, for a debugger. Raises :class:`EngineError` if the core has none.

        It does not affect the guest, which executes the same instructions with the same counts, budgets and exits.
        Instructions are counted from now on.
        """

    def go_on_from(self, unfinished: int, requested: int) -> None:
        """Set :attr:`ExecutionControl.unfinished` and :attr:`ExecutionControl.requested` to the values saved with the
        registers. Raises :class:`EngineError` as :meth:`control` does, unless they are 0."""

    def hush(self, quiet: bool) -> None:
        """Suspend the callbacks of :meth:`watch_code`, or resume them."""

    def run(self, pc: int) -> StopReason:
        """Execute from ``pc`` until it is stopped. Raises :class:`EngineError` when the engine gives up."""

    def stop(self) -> None:
        """End :meth:`run`. From another thread this stops in the middle of an instruction, and the guest must not be
        resumed."""

    def count_instructions(self) -> None:
        """Count executed instructions from now on, which budgets and requests require. Further calls have no effect.

        Instructions are counted a block at a time, when it begins; a block that is left by an exit and entered again in
        its middle counts the rest twice. The count is the same in every run of the same guest.
        """

    def instruction_count(self) -> int:
        """Return the number of instructions counted."""

    def elapsed(self) -> int:
        """Return the instructions counted plus all time spent, in nanoseconds: an instruction takes one."""

    def elapsed_plus(self, ahead: list[int]) -> Callable[[], int]:
        """Return a function that returns :meth:`elapsed` plus the one number in ``ahead``, in one call."""

    def spend(self, nanoseconds: int) -> None:
        """Let time pass without instructions, and deduct it from the budget if there is one."""

    def answer_counters(self, reads: CounterReads) -> None:
        """Read the counters wherever possible in place of the :class:`MoveHandler`, with the same results. A core may
        ignore this."""

    def set_counter_offset(self, nanoseconds: int) -> None:
        """Set how far the counter of :meth:`answer_counters` is ahead of :meth:`elapsed`."""

    def set_el0_counters(self, *, physical: bool, virtual: bool) -> None:
        """Set which counters EL0 may read (CNTKCTL_EL1.EL0PCTEN and EL0VCTEN)."""

    def set_budget(self, instructions: int) -> None:
        """Stop before the block that would exceed this many instructions from now on. May be called only while the
        guest is not executing: between two runs, or inside a hook."""

    def budget_left(self) -> int:
        """Return the instructions left in the budget."""

    def stop_at_wait(self, stop: bool) -> None:
        """Set whether to end :meth:`run` at a WFE from now on; a core may ignore this. May be called only while the
        guest is not executing."""

    def request_stop(self) -> None:
        """End :meth:`run` between two instructions, as soon as possible. May be called from any thread and in any
        hook."""

    def map_device(self, paddr: int, size: int, device: MmioWindow) -> None:
        """Map a device at a host-physical address; multiples of 4 KiB. Its accesses do not exit."""

    def map_memory(self, paddr: int, size: int, host_address: int) -> None:
        """Map host memory at a host-physical address; multiples of 4 KiB."""

    def flush_tlb(self) -> None:
        """Invalidate all cached translations of both stages."""

    def forget_code(self, paddr: int, size: int) -> None:
        """Discard the translated code of the pages of a host-physical range that was written from outside. May be
        called only while the guest is stopped."""

    def flush_code(self) -> None:
        """Discard all translated code, after memory that the guest executes was written from outside."""

    def read_virtual(self, vaddr: int, size: int) -> bytes | None:
        """Read guest memory through both stages in the core's current state; None if a translation fails."""

    def fetcher(self) -> Callable[[int], int | None]:
        """Return a function from a virtual address to the 32-bit instruction there, None if a fetch faults."""

    def translate(self, vaddr: int) -> int | None:
        """Return the host-physical address of ``vaddr`` for a read, as the core translates it; None if it faults."""

    def close(self) -> None:
        """Release the engine. The mapped host memory must outlive this call."""
