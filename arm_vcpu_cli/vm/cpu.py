"""One CPU of a machine: its vCPU, and everything private to it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arm_vcpu.config import Aarch64VCpuSetupConfig
from arm_vcpu_cli.arm_vcpu.context_frame import ZERO_REGISTER
from arm_vcpu_cli.arm_vcpu.pcpu import Aarch64PerCpu
from arm_vcpu_cli.arm_vcpu.vcpu import Aarch64VCpu
from arm_vcpu_cli.axvcpu.vcpu import AxPerCpu, AxVCpu, VCpuState
from arm_vcpu_cli.devices.bus import Bus
from arm_vcpu_cli.devices.timer import GenericTimer
from arm_vcpu_cli.engine.port import CpuCore
from arm_vcpu_cli.errors import EngineError
from arm_vcpu_cli.saved import Saved
from arm_vcpu_cli.vm.platform import MachinePlatform
from arm_vcpu_cli.vm.power import PowerController
from arm_vcpu_cli.vm.system_moves import SystemMoves

_VERSION: Final = 2
"""The version of a saved state."""
_LAST: Final = 1 << 73
"""Nanoseconds; larger than any time."""
_MOST_TURNS: Final = 1 << 63


class Activity(Enum):
    """The state of a CPU as the scheduler sees it."""

    RUNNING = "running"
    """It executes whenever it is its turn."""
    WAITING = "waiting"
    """It waits for an interrupt."""
    OFF = "off"
    """It was switched off, or never on."""


class Cpu:
    """A CPU and its private parts: its view of the bus, its timer, its system registers outside the core.

    ``time`` is its time in nanoseconds while another CPU has its turn.
    """

    def __init__(
        self,
        index: int,
        core: CpuCore,
        arch: Aarch64VCpu,
        vcpu: AxVCpu[Aarch64VCpuSetupConfig, Aarch64PerCpu],
        bus: Bus,
        platform: MachinePlatform,
        timer: GenericTimer,
        moves: SystemMoves,
        reset_interface: Callable[[], None],
        power: PowerController,
        affinity: int,
    ) -> None:
        self.index = index
        self.core = core
        self.arch = arch
        self.vcpu = vcpu
        self.bus = bus
        self.platform = platform
        self.timer = timer
        self.moves = moves
        self._reset_interface = reset_interface
        self._power = power
        self.affinity = affinity
        self.time = 0
        self.turns = 0
        """The number of its turns so far."""
        self.seen: tuple[int, tuple[int, ...]] | None = None
        """Its PC and registers at the end of its last whole turn."""
        self.activity = Activity.RUNNING if index == 0 else Activity.OFF
        self.starts = False
        """Whether it restarts on its next turn, at the address in its power state."""
        self._stop = (0, 0)
        """The block in whose middle it continues, according to a loaded state."""

    def start(self, physical: AxPerCpu[Aarch64PerCpu]) -> None:
        """Bind the vCPU to a physical CPU."""
        self.vcpu.bind(physical)
        self.core = physical.arch.core

    def enter(self) -> None:
        """Make the core use this CPU's system registers."""
        self.moves.enter()
        self._unblock()
        if self.starts:
            self._start_anew()

    def place(self) -> tuple[int, tuple[int, ...]]:
        """Its PC and general-purpose registers."""
        frame = self.arch.ctx
        return frame.elr, frame.gprs()

    def power_on(self, entry: int, arg: int) -> None:
        """Set the CPU to its initial state: the first starts at ``entry`` with ``arg`` in x0, the others are off."""
        self._unblock()
        self.starts = False
        self.activity = Activity.RUNNING if self.index == 0 else Activity.OFF
        self._begin(entry, arg)

    def _start_anew(self) -> None:
        """Reset it as after power-on, except for the entry address and x0 (DEN0022, 6.4)."""
        self.starts = False
        start = self._power.take_start(self.affinity) or self._power.resume(self.affinity)
        if start is not None:
            self.switch_off()
            self._begin(start.entry, start.context)

    def _begin(self, entry: int, arg: int) -> None:
        """Reset all registers as after power-on, except for the PC and x0."""
        self.arch.reset(entry, arg)
        self.moves.reset()

    def _unblock(self) -> None:
        if self.vcpu.state is VCpuState.BLOCKED:
            self.vcpu.unblock()

    def switch_off(self) -> None:
        """Switch the CPU off: without power it signals no interrupt, and its timers stop."""
        self.timer.reset()
        self._reset_interface()

    def save(self) -> dict[str, Any]:
        """Return the state of the vCPU and its private parts as plain data; only while it does not run."""
        return {
            "version": _VERSION,
            "vcpu": self.arch.save(),
            "blocked": self.vcpu.state is VCpuState.BLOCKED,
            "timer": self.timer.save(),
            "moves": self.moves.save(),
            "time": self.time,
            "turns": self.turns,
            "seen": [] if self.seen is None else [self.seen[0], *self.seen[1]],
            "activity": self.activity.value,
            "starts": self.starts,
            "stop": self._save_stop(),
        }

    def _save_stop(self) -> list[int]:
        """Return the rest of the block that a debugger has stopped it in; empty between two entries."""
        if not self.arch.interrupted:
            return []
        control = self.core.control()
        return [control.unfinished, control.requested]

    def load(self, state: object) -> None:
        """Restore the state that :meth:`save` returned for a CPU of the same kind; only while it is bound and not
        running.

        Raises ValueError for any other state.
        """
        saved = Saved(state, f"cpu{self.index}", version=_VERSION)
        time, turns = saved.number("time", _LAST), saved.number("turns", _MOST_TURNS)
        seen = saved.numbers("seen", 1 + ZERO_REGISTER if saved.value("seen") else 0, MASK64)
        activity, starts, blocked = saved.member("activity", Activity), saved.flag("starts"), saved.flag("blocked")
        stop = saved.numbers("stop", 2 if saved.value("stop") else 0, MASK64)
        if stop:
            self._check_control()
        self.arch.load(saved.value("vcpu"))
        self.arch.interrupted, self._stop = bool(stop), (stop[0], stop[1]) if stop else (0, 0)
        self.timer.load(saved.value("timer"))
        self.moves.load(saved.value("moves"))
        self.time, self.turns, self.activity, self.starts = time, turns, activity, starts
        self.seen = (seen[0], tuple(seen[1:])) if seen else None
        self.vcpu.go_on_as(VCpuState.BLOCKED if blocked else VCpuState.READY)

    def go_on(self) -> None:
        """Continue its turn from a loaded state."""
        self.moves.enter()
        self.core.go_on_from(*self._stop)

    def _check_control(self) -> None:
        try:
            self.core.control()
        except EngineError as error:
            raise ValueError(f"cpu{self.index}.stop is in the middle of a block; {error}") from error
