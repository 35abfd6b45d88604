"""What the hypervisor asks of a CPU core: the port between it and an emulation engine.

A core is one physical CPU that starts at EL2 with everything above it (EL3) set up to stay out of the way.
It executes the guest's EL1 and EL0, walks both stages of translation and raises real exceptions, which arrive
in the hook. Only the hook and the time between two ``run`` calls may touch the state.
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
"""A budget of instructions that nobody uses up; the core keeps it as a signed number of 64 bits."""


class StopReason(Enum):
    """Why :meth:`CpuCore.run` has returned."""

    STOP = "stop"
    """:meth:`CpuCore.stop` was called: by the hook, which makes the state exact, or from another thread."""
    BUDGET = "budget"
    """The instructions that the guest was given are used up."""
    REQUEST = "request"
    """:meth:`CpuCore.request_stop` was called."""
    WAIT = "wait"
    """The guest has executed WFE, and :meth:`CpuCore.stop_at_wait` was asked for."""
    BREAKPOINT = "breakpoint"
    """The PC is at a breakpoint of :class:`ExecutionControl`."""
    STEP = "step"
    """One instruction has been executed, see :attr:`ExecutionControl.stepping`."""
    PAUSE = "pause"
    """:meth:`ExecutionControl.pause` was called."""
    COUNT = "count"
    """So many instructions are executed as :attr:`ExecutionControl.limit` says."""
    WATCHPOINT = "watchpoint"
    """The instruction at the PC is about to access what is watched, see :meth:`CpuCore.set_watchpoints`."""


FOR_DEBUGGER: Final = (
    StopReason.BREAKPOINT,
    StopReason.STEP,
    StopReason.PAUSE,
    StopReason.COUNT,
    StopReason.WATCHPOINT,
)
"""Stops that the guest must not notice: it goes on as if it had not been stopped."""


class CounterReads(Record):
    """How CNTPCT_EL0 and CNTVCT_EL0 are read. Times are in nanoseconds, a tick is 16.

    Without ``host_start`` the counter is :meth:`CpuCore.elapsed` plus an offset, and a read takes ``cost``. With it, it
    is the host's monotonic time since then. ``physical``: whether that holds for CNTPCT_EL0 too.
    """

    cost: int
    host_start: int | None = None
    physical: bool = True


class WatchedRange(Record):
    """``size`` bytes from a virtual address on, and which accesses to them are of interest."""

    address: int
    size: int
    reads: bool
    writes: bool

    @property
    def last(self) -> int:
        """The address of the last byte; a range ends with the address space."""
        return min(self.address + self.size, 1 << 64) - 1


class WatchHit(Record):
    """An access to a range, which is about to be made. ``number`` is the range's place among those that are watched,
    ``address`` its first byte that is accessed."""

    number: int
    address: int
    is_write: bool


HitHandler = Callable[[WatchHit], bool]
"""Says whether :meth:`CpuCore.run` is to end before the access."""


class MoveHandler(Protocol):
    """Executes MRS and MSR instructions in place of the core. Nothing else may touch the core meanwhile.

    ``encoding`` is op0 to op2 as in bits [20:5] of the instruction.
    """

    def read(self, encoding: int) -> int | None:
        """The value that MRS reads (64 bits), or None to have the core execute it."""

    def write(self, encoding: int, value: int) -> bool:
        """Whether the handler has carried the MSR out; if not, the core executes it."""


class MmioWindow(Protocol):
    """A device in the physical address space. Widths are 1, 2, 4 or 8 bytes, values unsigned."""

    def read(self, offset: int, width: int) -> int:
        """The ``width`` bytes at ``offset``."""

    def write(self, offset: int, width: int, value: int) -> None:
        """Store ``width`` bytes at ``offset``."""


class ExecutionControl(Protocol):
    """Exact control of one core's execution, see :meth:`CpuCore.control`. Only while the guest is not executing, except
    for :meth:`pause`."""

    unfinished: int
    """How many instructions are counted, but not executed yet, of the block that the core was stopped in the middle of.
    It belongs to the state of the guest, and goes with its registers."""

    requested: int
    """Stops that have been requested, and take effect at the end of the block; as :attr:`unfinished`."""

    stepping: bool
    """Whether :meth:`CpuCore.run` executes one instruction, and then returns :attr:`StopReason.STEP`."""

    limit: int | None
    """End :meth:`CpuCore.run` as soon as :meth:`executed` is that many, or more; None for no limit."""

    stepped: bool
    """Whether the last :meth:`CpuCore.run` has executed an instruction, or taken an exception in its place; for one
    that was stepping."""

    def set_breakpoints(self, addresses: Collection[int]) -> None:
        """End :meth:`CpuCore.run` before the instructions at these virtual addresses, from now on, and at no others.

        One at the PC ends it at once: whoever goes on from a breakpoint steps first.
        """

    def executed(self) -> int:
        """The instructions that have been counted, without those unfinished.

        It never goes back. An instruction that is executed adds one; if it leaves its block for an exception, it also
        adds what was left of the block, which is counted and not executed. An interrupt that is taken adds nothing.
        """

    def fetch(self, vaddr: int) -> int | None:
        """The instruction word at a virtual address, as the core translates it now; None if it cannot."""

    def pause(self, wanted: bool = True) -> None:
        """End :meth:`CpuCore.run` between two instructions, as soon as possible; or not, if that has not happened yet.
        From any thread."""


class CpuCore(Protocol):
    """One physical CPU."""

    @property
    def model(self) -> str:
        """The name of the modelled CPU, such as ``cortex-a72``."""

    @property
    def layout(self) -> StateLayout:
        """Where things lie in a saved state."""

    @property
    def prefers_execute_on_demand(self) -> bool:
        """Whether memory should be executable only once the guest executes from it, because stores to it are slow."""

    @property
    def tlbi_heeds_stage1(self) -> bool:
        """Whether TLBI by address forgets all of a stage-1 block, also where stage 2 maps it by smaller pieces."""

    @property
    def guest_watchpoints(self) -> bool:
        """Whether the guest's own watchpoints fire (DBGWCR<n>_EL1)."""

    def expect_user_code_everywhere(self) -> None:
        """Note that EL0 executes in the upper half of the address space, which a core may have ruled out."""

    def new_state(self) -> CpuState:
        """Memory for one saved state, filled with the state of the core as it is now."""

    def saver(self, state: CpuState) -> Callable[[], object]:
        """A function that saves the core's state into ``state`` (a single call, for the exit path)."""

    def restorer(self, state: CpuState) -> Callable[[], object]:
        """A function that loads ``state`` into the core (a single call, for the exit path)."""

    def pstate_writer(self) -> Callable[[int], object]:
        """A function that sets PSTATE and makes the core take notice of a changed Exception level."""

    def read_sysreg(self, reg: SysReg) -> int:
        """The value of a system register as the core holds it; 0 if it has none of that encoding."""

    def has_sysreg(self, reg: SysReg) -> bool:
        """Whether the core has a register of that encoding. Reading it may have the effects of a read."""

    def write_sysreg(self, reg: SysReg, value: int) -> None:
        """Write a system register, with the side effects of that register on the core."""

    def sysreg_writer(self, reg: SysReg) -> Callable[[int], object]:
        """A function that does the same for one register (a single call, for the exit path)."""

    def current_el(self) -> int:
        """The Exception level that the guest executes at; for use inside a :class:`MoveHandler`."""

    def set_flags(self, nzcv: int) -> None:
        """Set the condition flags (N in bit 31 to V in bit 28); for use inside a :class:`MoveHandler`."""

    def set_exception_hook(self, hook: ExceptionHook | None, *, system_calls: bool = True) -> None:
        """Set who is called for every exception that the core takes to EL1 or EL2. Without ``system_calls`` the core
        may enter the vector of EL1 by itself for SVC from AArch64. Quick: it changes with the vCPU."""

    def set_move_hook(self, crns: Collection[int], handler: MoveHandler) -> None:
        """Have ``handler`` asked about each MRS and MSR of a register with one of these CRn, before any trap.

        Quick where the CRn are those of before: the handler changes with the vCPU.
        """

    def watch_code(self, first: int, last: int, callback: Callable[[int], None]) -> Callable[[], None]:
        """Have ``callback(vaddr)`` called before each instruction at ``first`` to ``last`` (virtual addresses).

        Nothing but system registers may be read inside. The function that is returned ends it; not from inside.
        """

    def stop_before(self, vaddr: int, wanted: Callable[[], bool]) -> None:
        """From now on, end :meth:`run` with :attr:`StopReason.STOP` before the instruction at ``vaddr`` (virtual) is
        executed, whenever ``wanted()`` is true; it is asked each time that the guest gets there.

        The state is exact, in the middle of a block too. Accesses to memory become slower for good.
        """

    def set_watchpoints(self, ranges: Sequence[WatchedRange], hit: HitHandler) -> None:
        """Ask ``hit`` before each access of the guest to one of these ranges and no others, from now on, and end
        :meth:`run` with :attr:`StopReason.WATCHPOINT` if it says so.

        The PC is at the instruction then, nothing is changed or counted of it, and its exceptions are not reported. It
        may have accessed addresses outside of the range already, where it accesses more than one. The first instruction
        after a hit is executed without being asked about again. Instructions are counted from now on. Only while the
        guest is not executing. Raises :class:`WatchingError` if the core cannot, and :class:`EngineError` for
        more than it can.
        """

    def control(self) -> ExecutionControl:
        """Exact control of the execution, for a debugger. Raises :class:`EngineError` where the core has none.

        Nothing changes for the guest by it: it executes the same instructions, with the same counts, budgets and
        exits. Instructions are counted from now on.
        """

    def go_on_from(self, unfinished: int, requested: int) -> None:
        """Set :attr:`ExecutionControl.unfinished` and :attr:`ExecutionControl.requested` to what was saved with the
        registers. Raises :class:`EngineError` as :meth:`control` does, unless they are 0."""

    def hush(self, quiet: bool) -> None:
        """Suspend the callbacks of :meth:`watch_code`, or resume them."""

    def run(self, pc: int) -> StopReason:
        """Execute from ``pc`` until it is stopped. Raises :class:`EngineError` when the engine gives up."""

    def stop(self) -> None:
        """End :meth:`run`. From another thread it stops in mid-instruction: the guest must not be resumed."""

    def count_instructions(self) -> None:
        """Count executed instructions from now on, and make budgets and requests work. Once is enough.

        They are counted a block at a time, when it is begun; a block that is left by an exit and entered again in its
        middle counts the rest twice. The count is the same in every run of the same guest.
        """

    def instruction_count(self) -> int:
        """How many instructions have been counted."""

    def elapsed(self) -> int:
        """Instructions counted, plus all that was spent: nanoseconds, where an instruction takes one."""

    def spend(self, nanoseconds: int) -> None:
        """Let time pass without an instruction, and take it from the budget if there is one."""

    def answer_counters(self, reads: CounterReads) -> None:
        """Read the counters in place of the :class:`MoveHandler`, as it would, wherever possible. A core may ignore
        this."""

    def set_counter_offset(self, nanoseconds: int) -> None:
        """How far the counter of :meth:`answer_counters` is ahead of :meth:`elapsed`."""

    def set_el0_counters(self, *, physical: bool, virtual: bool) -> None:
        """Which counters EL0 may read (CNTKCTL_EL1.EL0PCTEN and EL0VCTEN)."""

    def set_budget(self, instructions: int) -> None:
        """Stop before the block that would exceed this many instructions from now on. Only while the guest is not
        executing: between two runs, or inside a hook."""

    def budget_left(self) -> int:
        """How many instructions of the budget are left."""

    def stop_at_wait(self, stop: bool) -> None:
        """Whether to end :meth:`run` at a WFE from now on; a core may ignore this. Only while the guest is not
        executing."""

    def request_stop(self) -> None:
        """End :meth:`run` between two instructions, as soon as possible. Safe from any thread and in any hook."""

    def map_device(self, paddr: int, size: int, device: MmioWindow) -> None:
        """Put a device at a host-physical address; multiples of 4 KiB. Its accesses do not exit."""

    def map_memory(self, paddr: int, size: int, host_address: int) -> None:
        """Put host memory at a host-physical address; multiples of 4 KiB."""

    def flush_tlb(self) -> None:
        """Forget all cached translations of both stages."""

    def forget_code(self, paddr: int, size: int) -> None:
        """Forget translated code of the pages of a host-physical range, which was written from outside. Only while the
        guest is stopped."""

    def flush_code(self) -> None:
        """Forget translated code, after memory that the guest executes was written from outside."""

    def read_virtual(self, vaddr: int, size: int) -> bytes | None:
        """Read guest memory through both stages as the core is now; None where a translation fails."""

    def fetcher(self) -> Callable[[int], int | None]:
        """A function from a virtual address to the instruction there, a 32-bit word; None where a fetch faults."""

    def translate(self, vaddr: int) -> int | None:
        """The host-physical address of ``vaddr`` for a read, as the core translates it; None if it faults."""

    def close(self) -> None:
        """Release the engine. The mapped host memory must outlive this call."""
