"""The states of all interrupts, and the best one for each PE, independent of their distribution.

Registers change these states, and the CPU interfaces take interrupts from here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from arm_vcpu_cli.arch.registers.gicregs import FIRST_PPI, FIRST_SPI, LAST_SPI
from arm_vcpu_cli.devices.gic.common.bank import INTID_MASK, NO_INTERRUPT, InterruptBank

Present = Callable[[int, bool], None]
"""Presents the best pending interrupt to a CPU interface: its rank, and whether it is in Group 1."""

SGIS: Final = (1 << FIRST_PPI) - 1
"""The mask of all SGIs."""
NOWHERE: Final = -1
"""The place of :attr:`Infrastructure.nowhere`."""


def unheard(rank: int, group1: bool) -> None:
    """Do nothing: the PE has no CPU interface."""


class Pe:
    """One PE: its private interrupts, the SPIs routed to it, its CPU interface."""

    __slots__ = ("asleep", "bank", "present", "routed", "wake")

    def __init__(self, *, asleep: bool) -> None:
        self.bank = InterruptBank(0, FIRST_SPI, edge=SGIS)
        self.routed = 0
        self.asleep = asleep
        self.wake: Callable[[], None] | None = None
        """Called when an interrupt waits for a PE that sleeps without power."""
        """No interrupt is presented to it."""
        self.present: Present = unheard


P = TypeVar("P", bound=Pe)


class Infrastructure(ABC, Generic[P]):
    """The interrupts of the PEs ``pes`` and ``spis`` shared ones.

    ``nowhere`` is the target of shared interrupts without a PE; it always sleeps.
    """

    def __init__(self, pes: tuple[P, ...], nowhere: P, spis: int) -> None:
        self.pes = pes
        self.nowhere = nowhere
        self._places = (*pes, nowhere)
        self._end = FIRST_SPI + spis
        self.spis = InterruptBank(FIRST_SPI, self._end)
        self.enable0 = self.enable1 = False

    def exists(self, intid: int) -> bool:
        """Return whether there is such an interrupt; special INTIDs do not count."""
        return intid < self._end

    @abstractmethod
    def target(self, intid: int) -> int:
        """Return the PE that a shared interrupt is routed to, the first of several, -1 if there is none."""

    @abstractmethod
    def update_shared(self, intid: int) -> None:
        """Present the best interrupt to each PE that a shared interrupt is routed to."""

    def set_line(self, bank: InterruptBank, cpu: int, intid: int, level: bool) -> None:
        """Set the input of an interrupt; ``cpu`` is the PE of a PPI."""
        bit = 1 << intid
        if level:
            if bank.wires & bit:
                return
            bank.wires |= bit
            if bank.edge & bit:
                bank.latch |= bit
        elif bank.wires & bit:
            bank.wires ^= bit
        else:
            return
        bank.refresh()
        if intid < FIRST_SPI:
            self.update(cpu)
        else:
            self.update_shared(intid)

    def pend(self, cpu: int, intid: int) -> None:
        """Make an interrupt pending without its input, until it is acknowledged or cleared; ``cpu`` is the PE of a
        PPI."""
        bank = self.pes[cpu].bank if intid < FIRST_SPI else self.spis
        bank.latch |= 1 << intid
        bank.refresh()
        if intid < FIRST_SPI:
            self.update(cpu)
        else:
            self.update_shared(intid)

    def update(self, cpu: int) -> None:
        """Find the best pending interrupt of a PE and present it; none while the PE sleeps (GICR_WAKER)."""
        pe = self._places[cpu]
        bank = pe.bank
        shared = self.spis
        rank = NO_INTERRUPT
        group1 = False
        if pe.asleep:
            if pe.wake is not None and (bank.ready or shared.ready & pe.routed):
                pe.wake()
        else:
            if bank.ready:
                rank = bank.highest(bank.ready)
                group1 = bool(bank.group >> (rank & INTID_MASK) & 1)
            ready = shared.ready & pe.routed
            if ready:
                other = shared.highest(ready)
                if other < rank:
                    rank = other
                    group1 = bool(shared.group >> (rank & INTID_MASK) & 1)
        pe.present(rank, group1)

    def changed(self, cpu: int) -> None:
        """Record a change of the private interrupts of a PE."""
        self.pes[cpu].bank.refresh()
        self.update(cpu)

    def configured(self, cpu: int) -> None:
        """Record a change of enables or groups of the private interrupts of a PE."""
        self.pes[cpu].bank.forward(self.enable0, self.enable1)
        self.update(cpu)

    def shared_changed(self) -> None:
        """Record a change of SPIs."""
        self.spis.refresh()
        for cpu in range(len(self.pes)):
            self.update(cpu)

    def shared_configured(self) -> None:
        """Record a change of enables or groups of SPIs."""
        self.spis.forward(self.enable0, self.enable1)
        for cpu in range(len(self.pes)):
            self.update(cpu)

    def enable_groups(self, enable0: bool, enable1: bool) -> None:
        """Set GICD_CTLR's group enables."""
        self.enable0, self.enable1 = enable0, enable1
        for pe in self.pes:
            pe.bank.forward(enable0, enable1)
        self.shared_configured()


def check_spis(spis: int) -> None:
    """Raise ValueError unless there are INTIDs for this many SPIs."""
    if not 0 <= spis <= LAST_SPI + 1 - FIRST_SPI:
        raise ValueError(f"{spis} SPIs, expected 0 to {LAST_SPI + 1 - FIRST_SPI}")
