"""The interface between the debug protocol and the control of a machine's execution.

All calls come from the thread that runs the guest, while it is stopped, except :meth:`Target.pause`.
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
    """Before the access; the PC is at the instruction that would make it."""
    STEP = "step"
    PAUSE = "pause"
    """:meth:`Target.pause` was called."""
    HISTORY_BEGIN = "begin"
    """Going back reached the beginning of history."""
    ENDED = "ended"
    """The run is over; :attr:`Stop.status` is the command's exit status."""


class Access(Flag):
    """The accesses at which a watchpoint stops."""

    READ = auto()
    WRITE = auto()


class Watchpoint(Record):
    """``length`` bytes from the virtual address ``address`` on."""

    address: int
    length: int
    access: Access


class Stop(Record):
    """Where and why the guest stopped. ``vcpu`` is its index; ``watchpoint`` is the one that was hit and ``address``
    its first byte accessed; ``message`` and ``status`` describe the end of the run."""

    reason: Reason
    vcpu: int
    watchpoint: Watchpoint | None = None
    address: int = 0
    message: str = ""
    status: int = 0


class Position(Record):
    """A moment of a run. ``instructions`` is the number executed by all vCPUs, in the order of the schedule;
    ``nanoseconds`` is the time of the vCPU that has the turn."""

    instructions: int
    nanoseconds: int


class Thread(Record):
    """A vCPU as a debugger lists it. ``state`` is text for the user: ``EL1 running``, ``waiting for an interrupt``."""

    vcpu: int
    state: str
    alive: bool = True


class Register(Record):
    """A register of a vCPU, ``bits`` wide; ``group`` is ``general``, ``vector``, ``sve`` or ``system``."""

    name: str
    bits: int
    group: str
    writable: bool = True


class Target(Protocol):
    """A machine under a debugger. Methods raise :class:`UsageError`, in one line, for names or addresses that do not
    exist."""

    # Inspection ------------------------------------------------------------------------------------------------

    def threads(self) -> Sequence[Thread]:
        """All vCPUs, by index."""

    @property
    def current(self) -> int:
        """The vCPU that is running its turn, or ran the last one."""

    def registers(self) -> Sequence[Register]:
        """The registers of every vCPU: x0 to x30, sp, pc, cpsr; v0 to v31, fpsr, fpcr, or, with SVE, z0 to z31, fpsr,
        fpcr, p0 to p15, ffr, vg; then the system registers."""

    def read_register(self, vcpu: int, name: str) -> int:
        """Return the value of a register."""

    def write_register(self, vcpu: int, name: str, value: int) -> None:
        """Change a register."""

    def read_memory(self, vcpu: int, address: int, size: int) -> bytes:
        """Return memory at a virtual address, as the vCPU translates it at its Exception level. Devices are not read.
        The result ends where the rest is not mapped, and is empty if nothing is."""

    def write_memory(self, vcpu: int, address: int, data: bytes) -> bool:
        """Write memory at a virtual address, regardless of the guest's permissions; return False, without a change,
        where there is none."""

    def read_physical(self, ipa: int, size: int) -> bytes:
        """Return memory at an IPA, as :meth:`read_memory` does."""

    def write_physical(self, ipa: int, data: bytes) -> bool:
        """Write memory at an IPA, as :meth:`write_memory` does."""

    # Forward ---------------------------------------------------------------------------------------------------

    def set_breakpoints(self, software: Collection[int], hardware: Collection[int]) -> None:
        """Stop before the instructions at these virtual addresses only, from now on."""

    def set_watchpoints(self, watchpoints: Sequence[Watchpoint]) -> None:
        """Stop before these accesses only, from now on. Raises :class:`UsageError` if there are too many."""

    def resume(self) -> Stop:
        """Run all vCPUs until something stops them. A vCPU does not stop again at the breakpoint at its PC unless it
        has moved."""

    def step(self, vcpu: int) -> Stop:
        """Run until ``vcpu`` has executed one instruction, or has entered an exception in its place. The others advance
        as scheduled, and may stop the run earlier at a breakpoint. A WFI completes when it wakes."""

    def pause(self) -> None:
        """Stop the guest between two instructions, as soon as possible. May be called from any thread or signal
        handler."""

    # Through time ----------------------------------------------------------------------------------------------

    @property
    def travels(self) -> bool:
        """Whether the methods below work, which need the instruction clock."""

    def keep_history(self) -> None:
        """Make this moment and all later ones available for going back. A run without a debugger keeps nothing."""

    def position(self) -> Position:
        """Return the position in the run."""

    def goto(self, instructions: int) -> Stop:
        """Go back or forward to the moment before instruction number ``instructions`` (0 is the first), ignoring
        breakpoints."""

    def reverse_step(self, vcpu: int) -> Stop:
        """Go back to before the last instruction that ``vcpu`` executed."""

    def reverse_resume(self) -> Stop:
        """Go back to the last moment at which :meth:`resume` would have stopped, or to the beginning of history."""

    # For `monitor` ---------------------------------------------------------------------------------------------

    def on_progress(self, report: Callable[[str], None] | None) -> None:
        """Set the callback that receives the progress of a long operation, as a line of text."""
