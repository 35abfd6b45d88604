"""A machine under a debugger: implements the interface that ``target`` defines.

**Exact.** Stops, steps and breakpoints do not change a run: instruction counts, times, turns, exits, console and trace
are identical to the byte, unless the user changes registers or memory. A stop is before an instruction, also in the
middle of a translated block, with registers and memory as the architecture defines them there. A step is one
instruction, or the exception or interrupt taken in its place. A trapped instruction that the hypervisor completes is
one step, and so are LDXR and STXR, because a stop does not clear the exclusive monitor. WFI completes when it wakes.

**Inexact.** ``Position.instructions`` is the clock's count. An instruction adds one; an exception in the middle of a
translated block also adds the rest of the block, which was counted at its start. So the number never decreases and is
the same in each run, but skips values: ``goto`` stops at the first moment with at least that number. An interrupt has
the number of the instruction that it precedes. ``engine/exact_control`` lists what a guest could do to notice a stop.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from arm_vcpu_cli.debug.execution import Execution
from arm_vcpu_cli.debug.memory import Memory
from arm_vcpu_cli.debug.registers import Registers
from arm_vcpu_cli.debug.target import Position, Register, Stop, Thread, Watchpoint
from arm_vcpu_cli.errors import EngineError, UsageError
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.vm.cpu import Activity, Cpu
from arm_vcpu_cli.vm.machine import Machine

if TYPE_CHECKING:
    from arm_vcpu_cli.debug.history import History

_HISTORY: Final = "arm_vcpu_cli.debug.history"
"""Loaded only for a run with a debugger."""
_NO_HISTORY: Final = "going back needs --clock instructions, and no --semihosting-dir"
_ACTIVITIES: Final = MappingProxyType({Activity.WAITING: "waiting for an interrupt", Activity.OFF: "off"})


class MachineControl:
    """Implements :class:`~arm_vcpu_cli.debug.target.Target` for a machine that has been started but has not run.

    ``watchdog`` must be entered; it ends the run, while :meth:`pause` only stops it. Raises :class:`EngineError` if the
    machine's cores cannot be controlled exactly.
    """

    def __init__(self, machine: Machine, watchdog: Watchdog) -> None:
        self.machine = machine
        self.execution = Execution(machine, watchdog)
        self._registers = Registers(machine)
        self._memory = Memory(machine)
        self._history: History | None = None
        self._report: Callable[[str], None] | None = None

    # Inspection ------------------------------------------------------------------------------------------------

    def threads(self) -> Sequence[Thread]:
        """All vCPUs, by index."""
        return [Thread(cpu.index, _state(cpu)) for cpu in self.machine.cpus]

    @property
    def current(self) -> int:
        """The vCPU that is running its turn, or ran the last one."""
        return self.machine.current.index

    def registers(self) -> Sequence[Register]:
        """The registers of every vCPU."""
        return self._registers.all

    def read_register(self, vcpu: int, name: str) -> int:
        """Return the value of a register."""
        return self._registers.read(self._cpu(vcpu), name)

    def write_register(self, vcpu: int, name: str, value: int) -> None:
        """Change a register."""
        cpu = self._cpu(vcpu)
        before = cpu.arch.ctx.elr
        self._registers.write(cpu, name, value)
        self._changed()
        if cpu.arch.ctx.elr != before:
            self.execution.moved(cpu)

    def read_memory(self, vcpu: int, address: int, size: int) -> bytes:
        """Return memory at a virtual address, as the vCPU translates it."""
        return self._memory.read(self._cpu(vcpu), address, size)

    def write_memory(self, vcpu: int, address: int, data: bytes) -> bool:
        """Write memory at a virtual address; return False where there is none."""
        written = self._memory.write(self._cpu(vcpu), address, data)
        return written and self._changed()

    def read_physical(self, ipa: int, size: int) -> bytes:
        """Return memory at an IPA."""
        return self._memory.read_physical(ipa, size)

    def write_physical(self, ipa: int, data: bytes) -> bool:
        """Write memory at an IPA; return False where there is none."""
        return self._memory.write_physical(ipa, data) and self._changed()

    # Forward ---------------------------------------------------------------------------------------------------

    def set_breakpoints(self, software: Collection[int], hardware: Collection[int]) -> None:
        """Stop before the instructions at these addresses only."""
        self.execution.set_breakpoints(software, hardware)

    def set_watchpoints(self, watchpoints: Sequence[Watchpoint]) -> None:
        """Stop before these accesses only."""
        try:
            self.execution.set_watchpoints(watchpoints)
        except EngineError as error:
            raise UsageError(str(error)) from error

    def resume(self) -> Stop:
        """Let all vCPUs run until something stops them."""
        return self.execution.resume() if self._history is None else self._history.resume()

    def step(self, vcpu: int) -> Stop:
        """Run until a vCPU has executed one instruction."""
        index = self._cpu(vcpu).index
        return self.execution.step(index) if self._history is None else self._history.step(index)

    def pause(self) -> None:
        """Stop the guest soon. May be called from any thread."""
        self.execution.pause()

    # Through time ----------------------------------------------------------------------------------------------

    @property
    def travels(self) -> bool:
        """Whether the machine can go back in time."""
        return _repeats(self.machine)

    def keep_history(self) -> None:
        """Keep moments from now on for going back."""
        if self._history is None and self.travels:
            history: History = import_module(_HISTORY).History(self.execution)
            self._history, history.report = history, self._report

    def position(self) -> Position:
        """Return the position in the run."""
        return Position(self.execution.executed(), self.machine.timeline.now())

    def goto(self, instructions: int) -> Stop:
        """Go to the moment before instruction number ``instructions``."""
        return self._past.goto(instructions)

    def reverse_step(self, vcpu: int) -> Stop:
        """Go back to before the last instruction of the vCPU."""
        return self._past.reverse_step(self._cpu(vcpu).index)

    def reverse_resume(self) -> Stop:
        """Go back to the last moment at which :meth:`resume` would have stopped."""
        return self._past.reverse_resume()

    def on_progress(self, report: Callable[[str], None] | None) -> None:
        """Set the callback that receives the progress of a long operation."""
        self._report = report
        if self._history is not None:
            self._history.report = report

    @property
    def _past(self) -> History:
        self.keep_history()
        if self._history is None:
            raise UsageError(f"this run has no history: {_NO_HISTORY}")
        return self._history

    def _changed(self) -> bool:
        if self._history is not None:
            self._history.changed()
        return True

    def _cpu(self, vcpu: int) -> Cpu:
        if not 0 <= vcpu < len(self.machine.cpus):
            raise UsageError(f"no vCPU has the number {vcpu}")
        return self.machine.cpus[vcpu]


def _repeats(machine: Machine) -> bool:
    """Return whether the run so far can be repeated, and has no irreversible effects outside the machine."""
    description = machine.description
    return not machine.timeline.follows_host and description.semihosting_dir is None


def _state(cpu: Cpu) -> str:
    return _ACTIVITIES.get(cpu.activity) or f"EL{cpu.arch.ctx.spsr.el} running"
