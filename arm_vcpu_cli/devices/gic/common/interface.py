"""A CPU interface of any version: priorities, preemption, and the IRQ and FIQ outputs (IHI 0069H, 4.8; IHI 0048B,
3.3)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Generic, TypeVar

from arm_vcpu_cli.devices.gic.common.bank import (
    IDLE_PRIORITY,
    INTID_BITS,
    INTID_MASK,
    NO_INTERRUPT,
    PRIORITY_BITS,
    PRIORITY_MASK,
)
from arm_vcpu_cli.devices.gic.common.infrastructure import Pe
from arm_vcpu_cli.devices.gic.common.watch import Output, Watch
from arm_vcpu_cli.saved import Saved

MIN_BPR0: Final = 7 - PRIORITY_BITS
MIN_BPR1: Final = MIN_BPR0 + 1
"""The binary points at which every implemented bit is group priority (4.8)."""
MAX_BPR: Final = 7
APR_SHIFT: Final = 8 - PRIORITY_BITS
APR_MASK: Final = 0xFFFF_FFFF
_PRIORITY_LIMITS: Final = (("pmr", IDLE_PRIORITY), ("bpr0", MAX_BPR), ("bpr1", MAX_BPR))

K = TypeVar("K")


class Interface(Generic[K]):
    """The interface of PE ``cpu``. ``signal(cpu, irq, fiq)`` is called when one of the two outputs changes.

    A subclass defines how a guest accesses the registers: it fills ``_readers``, by the key of a register, and
    ``_acknowledgers`` with those that acknowledge interrupts, which are reported to a watcher.
    """

    def __init__(self, cpu: int, pe: Pe, signal: Callable[[int, bool, bool], None]) -> None:
        self._cpu = cpu
        self._pe = pe
        self._signal = self._drive = signal
        self._rank = NO_INTERRUPT
        self._group1 = False
        self._irq = self._fiq = False
        self._set_reset_values()
        self._acknowledgers: dict[K, Callable[[], int]] = {}
        self._readers: dict[K, Callable[[], int]] = {}
        pe.present = self._present

    def _set_reset_values(self) -> None:
        self._pmr = 0
        self._enable0 = self._enable1 = False
        self._fiq0 = True
        """Whether Group 0 is signalled as FIQ, not as IRQ."""
        self._eoi_mode = self._cbpr = False
        self._bpr0, self._bpr1 = MIN_BPR0, MIN_BPR1
        self._mask0 = self._mask1 = PRIORITY_MASK
        self._apr0 = self._apr1 = 0
        self._running = IDLE_PRIORITY

    def output(self) -> Output | None:
        """Return what the outputs signal, None while both are low."""
        return Output(self._rank & INTID_MASK, self._fiq) if self._irq or self._fiq else None

    def watch(self, watch: Watch | None) -> None:
        """Report the steps of this PE's interrupts to ``watch``; None ends that."""
        pe = self._pe
        if watch is None:
            pe.present, self._signal = self._present, self._drive
            self._readers.update(self._acknowledgers)
        else:
            pe.present, self._signal = partial(self._present_to, watch), partial(self._signal_to, watch)
            self._readers.update(
                (reg, partial(self._acknowledge_to, watch, read)) for reg, read in self._acknowledgers.items()
            )

    def hold(self) -> Callable[[], None]:
        """Hold the outputs until the returned function is called. There must be no watcher."""
        before = self._irq, self._fiq
        self._signal = _unheard

        def release() -> None:
            self._signal = self._drive
            if (self._irq, self._fiq) != before:
                self._drive(self._cpu, self._irq, self._fiq)

        return release

    def _present_to(self, watch: Watch, rank: int, group1: bool) -> None:
        watch.look(self._cpu)
        self._present(rank, group1)
        watch.signal(self._cpu, self.output())

    def _signal_to(self, watch: Watch, cpu: int, irq: bool, fiq: bool) -> None:
        watch.signal(cpu, self.output())
        self._drive(cpu, irq, fiq)

    def _acknowledge_to(self, watch: Watch, acknowledge: Callable[[], int]) -> int:
        output = self.output()
        return acknowledge() if output is None else watch.acknowledging(self._cpu, output.intid, acknowledge)

    # Pending interrupts and the outputs ---------------------------------------------------------------------

    def _present(self, rank: int, group1: bool) -> None:
        self._rank = rank
        self._group1 = group1
        self._evaluate()

    def _evaluate(self) -> None:
        """Drive the outputs: signal the best pending interrupt if it is enabled, unmasked and able to preempt (4.8,
        preemption).

        Its group priority is higher than that of the running one if its priority is higher than the latter.
        """
        irq = fiq = False
        priority = self._rank >> INTID_BITS
        if priority < self._pmr:
            running = self._running
            if self._group1:
                irq = self._enable1 and (running == IDLE_PRIORITY or priority < running & self._mask1)
            elif self._enable0 and (running == IDLE_PRIORITY or priority < running & self._mask0):
                fiq = self._fiq0
                irq = not fiq
        if irq != self._irq or fiq != self._fiq:
            self._irq, self._fiq = irq, fiq
            self._signal(self._cpu, irq, fiq)

    def _take(self) -> int:
        """Make the signalled interrupt the running one, and return its INTID.

        It preempts whatever was running, so the running priority becomes its group priority.
        """
        rank = self._rank
        if self._group1:
            self._running = running = rank >> INTID_BITS & self._mask1
            self._apr1 |= 1 << (running >> APR_SHIFT)
        else:
            self._running = running = rank >> INTID_BITS & self._mask0
            self._apr0 |= 1 << (running >> APR_SHIFT)
        return rank & INTID_MASK

    def _find_running(self) -> None:
        """Set the running priority to the highest of the active ones; bit 0 of the registers stands for priority 0."""
        active = self._apr0 | self._apr1
        self._running = (active & -active).bit_length() - 1 << APR_SHIFT if active else IDLE_PRIORITY

    # Registers -------------------------------------------------------------------------------------------------

    def _write_pmr(self, value: int) -> None:
        self._pmr = value & PRIORITY_MASK
        self._evaluate()

    def _write_bpr0(self, value: int) -> None:
        self._bpr0 = max(value & MAX_BPR, MIN_BPR0)
        self._set_masks()

    def _write_bpr1(self, value: int) -> None:
        self._bpr1 = max(value & MAX_BPR, MIN_BPR1)
        self._set_masks()

    def _set_masks(self) -> None:
        """Compute the bits of a priority that determine preemption (4.8, priority grouping; CBPR: both groups as Group
        0)."""
        self._mask0 = PRIORITY_MASK & PRIORITY_MASK << self._bpr0 - MIN_BPR0
        self._mask1 = self._mask0 if self._cbpr else PRIORITY_MASK & PRIORITY_MASK << self._bpr1 - MIN_BPR1
        self._evaluate()

    def _set_active_priorities(self, apr0: int, apr1: int) -> None:
        self._apr0, self._apr1 = apr0 & APR_MASK, apr1 & APR_MASK
        self._find_running()
        self._evaluate()

    # The state as plain data -----------------------------------------------------------------------------------

    def _save_priorities(self) -> dict[str, object]:
        return {
            "pmr": self._pmr,
            "bpr0": self._bpr0,
            "bpr1": self._bpr1,
            "apr0": self._apr0,
            "apr1": self._apr1,
        }

    def _load_priorities(self, saved: Saved) -> None:
        """Restore what :meth:`_save_priorities` returned, under the current controls."""
        pmr, bpr0, bpr1 = (saved.number(name, limit) for name, limit in _PRIORITY_LIMITS)
        apr0, apr1 = (saved.number(name, APR_MASK) for name in ("apr0", "apr1"))
        self._pmr = pmr & PRIORITY_MASK
        self._bpr0, self._bpr1 = max(bpr0, MIN_BPR0), max(bpr1, MIN_BPR1)
        self._apr0, self._apr1 = apr0, apr1
        self._find_running()
        self._set_masks()


def _unheard(cpu: int, irq: bool, fiq: bool) -> None:
    """Ignore the outputs while they are held."""
