"""What a debugger asks of a machine: the port between the debug protocol and the control of a machine's execution.

All calls are made with the guest stopped and from the thread that runs it, except :meth:`Target.pause`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from enum import Enum, Flag, auto
from typing import Protocol

from arm_vcpu_cli.record import Record


class Reason(Enum):
    """Why the guest has stopped."""

    SOFTWARE_BREAKPOINT = "swbreak"
    HARDWARE_BREAKPOINT = "hwbreak"
    WATCHPOINT = "watch"
    """Before the access; the PC is at the instruction that is about to make it."""
    STEP = "step"
    PAUSE = "pause"
    """Somebody called :meth:`Target.pause`."""
    HISTORY_BEGIN = "begin"
    """It went back as far as it could."""
    ENDED = "ended"
    """The run is over; :attr:`Stop.status` is what the command exits with."""


class Access(Flag):
    """Which accesses a watchpoint stops at."""

    READ = auto()
    WRITE = auto()


class Watchpoint(Record):
    """``length`` bytes from the virtual address ``address`` on."""

    address: int
    length: int
    access: Access


class Stop(Record):
    """Where and why the guest has stopped. ``vcpu`` is its index; ``watchpoint`` is the one that was hit and
    ``address`` the first byte of it that is accessed; ``message`` and ``status`` tell how the run ended."""

    reason: Reason
    vcpu: int
    watchpoint: Watchpoint | None = None
    address: int = 0
    message: str = ""
    status: int = 0


class Position(Record):
    """A moment of a run. ``instructions`` counts those that all vCPUs have executed, in the order in which the schedule
    has executed them; ``nanoseconds`` is the time of the vCPU that has the turn."""

    instructions: int
    nanoseconds: int


class Thread(Record):
    """A vCPU as a debugger lists it. ``state`` is for people: ``EL1 running``, ``waiting for an interrupt``."""

    vcpu: int
    state: str
    alive: bool = True


class Register(Record):
    """A register of a vCPU: ``bits`` wide; ``group`` is ``general``, ``vector``, ``sve`` or ``system``."""

    name: str
    bits: int
    group: str
    writable: bool = True


class Target(Protocol):
    """A machine under a debugger. Methods that take names or addresses raise :class:`UsageError`, in one line, for what
    is not there."""

    # Looking at it ---------------------------------------------------------------------------------------------

    def threads(self) -> Sequence[Thread]:
        """All vCPUs, by index."""

    @property
    def current(self) -> int:
        """The vCPU that has the turn, or had it last."""

    def registers(self) -> Sequence[Register]:
        """All registers that a vCPU has: x0 to x30, sp, pc, cpsr; v0 to v31, fpsr, fpcr, or, with SVE, z0 to z31, fpsr,
        fpcr, p0 to p15, ffr, vg; then the system registers."""

    def read_register(self, vcpu: int, name: str) -> int:
        """The value of a register."""

    def write_register(self, vcpu: int, name: str, value: int) -> None:
        """Change a register."""

    def read_memory(self, vcpu: int, address: int, size: int) -> bytes:
        """Memory at a virtual address, as the vCPU translates it at its Exception level. No device is read. It may be
        shorter than asked for where the rest is not mapped; empty if nothing is."""

    def write_memory(self, vcpu: int, address: int, data: bytes) -> bool:
        """Write memory at a virtual address, whether or not the guest may; False, without any change, where there is
        none."""

    def read_physical(self, ipa: int, size: int) -> bytes:
        """Memory at an IPA; as :meth:`read_memory`."""

    def write_physical(self, ipa: int, data: bytes) -> bool:
        """As :meth:`write_memory`, at an IPA."""

    # Forward ---------------------------------------------------------------------------------------------------

    def set_breakpoints(self, software: Collection[int], hardware: Collection[int]) -> None:
        """Stop before the instructions at these virtual addresses, from now on and no others."""

    def set_watchpoints(self, watchpoints: Sequence[Watchpoint]) -> None:
        """Stop before these accesses, from now on and no others. Raises :class:`UsageError` if there are too many."""

    def resume(self) -> Stop:
        """Let all vCPUs run until something stops them. A breakpoint at the current PC of a vCPU that has not moved
        since it stopped there does not stop it again."""

    def step(self, vcpu: int) -> Stop:
        """Run until ``vcpu`` has executed one instruction, or has entered an exception in its place; the others advance
        as the schedule has it, and may stop it earlier at a breakpoint. A WFI is complete when it wakes."""

    def pause(self) -> None:
        """Stop the guest between two instructions, as soon as possible. From any thread, or a signal handler."""

    # Through time ----------------------------------------------------------------------------------------------

    @property
    def travels(self) -> bool:
        """Whether the methods below work: under the instruction clock."""

    def keep_history(self) -> None:
        """Be able to go back to this moment, and to all that come. Without a debugger, a run keeps nothing."""

    def position(self) -> Position:
        """Where in the run it is."""

    def goto(self, instructions: int) -> Stop:
        """Go to the moment before the instruction of that number (0 is the first), back or forward, without stopping at
        breakpoints."""

    def reverse_step(self, vcpu: int) -> Stop:
        """Go back to before the last instruction that ``vcpu`` has executed."""

    def reverse_resume(self) -> Stop:
        """Go back to the last moment at which :meth:`resume` would have stopped, or to the beginning of history."""

    # For `monitor` ---------------------------------------------------------------------------------------------

    def on_progress(self, report: Callable[[str], None] | None) -> None:
        """The callback that receives the progress of a long operation, as a line of text."""
