"""Detects interrupts that the guest takes: the core enters EL1's vectors without a report.

So the first instructions of the vectors are watched, those of IRQ and FIQ. Synchronous exceptions come through the exit
path, and an SError is only taken where a fault is injected, which reports it. A guest may move its vectors at any time;
their address is read at each exit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from arm_vcpu_cli.arch.registers.el1regs import Spsr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.observer import El1ExceptionRecord
from arm_vcpu_cli.arm_vcpu.vectors import TrapKind, TrapSource, vector_offset
from arm_vcpu_cli.engine.port import CpuCore
from arm_vcpu_cli.vm.machine import Machine

_VBAR, _ELR, _SPSR = lookup("VBAR_EL1"), lookup("ELR_EL1"), lookup("SPSR_EL1")
_SOURCES: Final = (TrapSource.CURRENT_SP_EL0, TrapSource.CURRENT_SP_ELX, TrapSource.LOWER_AARCH64)
_KINDS: Final = (TrapKind.IRQ, TrapKind.FIQ)
_MAX_TABLES: Final = 16
"""The most vector tables followed. Kernels have one or two; a guest may keep creating new ones."""


def watch_vectors(
    machine: Machine, now: Callable[[], int], take: Callable[[El1ExceptionRecord], None]
) -> Callable[[], None]:
    """Return a function to call at each exit of any vCPU. It makes ``take`` receive the interrupts that the vCPU
    takes."""
    vbar = machine.current.arch.state.layout.sysregs[_VBAR] // 8

    def where() -> int:
        return machine.current.arch.state.u64[vbar]

    watches = [VectorWatch(core, where, now, take, lambda: machine.current.index) for core in machine.host.cores]
    machine.observers += watches

    def look() -> None:
        for watch in watches:
            watch.look()

    return watches[0].look if len(watches) == 1 else look


class VectorWatch:
    """Calls ``take`` for each interrupt that the guest takes at EL1. ``vbar`` reads VBAR_EL1 from the saved state."""

    def __init__(
        self,
        core: CpuCore,
        vbar: Callable[[], int],
        now: Callable[[], int],
        take: Callable[[El1ExceptionRecord], None],
        vcpu: Callable[[], int] = lambda: 0,
    ) -> None:
        self._core = core
        self._vbar = vbar
        self._now = now
        self._take = take
        self._vcpu = vcpu
        self._current: int | None = None
        self._watched: set[int] = set()
        self._hooked: set[int] = set()
        """The watched vectors and those watched earlier, whose hooks stay in place."""

    def remembered(self) -> Any:
        """Return the address of the vectors, and the vectors that are watched."""
        return self._current, frozenset(self._watched)

    def recall(self, remembered: Any) -> None:
        """Restore what :meth:`remembered` returned."""
        self._current, watched = remembered
        self._watched = set(watched)

    def look(self) -> None:
        """Read the current address of the vectors."""
        vbar = self._vbar()
        if vbar == self._current:
            return
        self._current = vbar
        if vbar in self._watched or len(self._watched) >= _MAX_TABLES:
            return
        self._watched.add(vbar)
        if vbar in self._hooked:
            return
        self._hooked.add(vbar)
        for source in _SOURCES:
            for kind in _KINDS:
                self._watch(vbar, vector_offset(source, kind), kind)

    def _watch(self, vbar: int, offset: int, kind: TrapKind) -> None:
        def entered(vector: int) -> None:
            core = self._core
            if core.read_sysreg(_VBAR) != vbar or vbar not in self._watched:
                return
            el = Spsr(core.read_sysreg(_SPSR)).el
            elr, vcpu = core.read_sysreg(_ELR), self._vcpu()
            self._take(El1ExceptionRecord(self._now(), kind, None, None, elr, el, vector, 0, vcpu))

        self._core.watch_code(vbar + offset, vbar + offset, entered)
