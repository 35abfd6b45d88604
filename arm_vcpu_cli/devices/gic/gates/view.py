"""A GIC as its registers show it: what both versions have alike, and what each of them says for itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Final

from arm_vcpu_cli.arch.registers.gicregs import FIRST_SPI
from arm_vcpu_cli.devices.gic.common.registers import IGROUPR, ISACTIVER, ISENABLER, ISPENDR
from arm_vcpu_cli.devices.gic.gates.gate import RegisterAt

WORD_BITS: Final = 32


class GicView(ABC):
    """The registers of a GIC of ``cpus`` PEs, whose INTIDs end before ``end``."""

    uses_group1 = True
    """Whether guests put their interrupts into Group 1, as far as they have to."""

    def __init__(self, cpus: int, end: int) -> None:
        self.cpus = cpus
        self.end = end

    # What the versions have in different places ------------------------------------------------------------------

    @abstractmethod
    def read(self, register: RegisterAt) -> int:
        """The value of a register."""

    @abstractmethod
    def interrupt_register(self, base: int, cpu: int, intid: int, bits: int = 1) -> RegisterAt:
        """The 32-bit register from ``base`` on that has ``bits`` bits for each interrupt."""

    @abstractmethod
    def priority_register(self, cpu: int, intid: int) -> RegisterAt:
        """The byte with the priority of an interrupt."""

    @abstractmethod
    def control(self) -> RegisterAt:
        """GICD_CTLR."""

    @abstractmethod
    def interface(self, name: str, cpu: int) -> RegisterAt:
        """A register of the CPU interface: ``PMR``, ``RPR``, ``CTLR``."""

    @abstractmethod
    def group_enable(self, cpu: int, group1: bool) -> tuple[RegisterAt, int]:
        """The register that has the CPU interface signal a group, and the bit that does."""

    @abstractmethod
    def end_register(self, cpu: int, group1: bool) -> RegisterAt:
        """What drops the priority of an interrupt of a group."""

    @abstractmethod
    def end_value(self, cpu: int, intid: int) -> int:
        """What is to be written to it to end an interrupt: what its acknowledge has returned."""

    @abstractmethod
    def active_priorities(self, cpu: int, group1: bool) -> RegisterAt:
        """The register with a bit for each active priority of a group."""

    @abstractmethod
    def eoi_mode(self, cpu: int) -> bool:
        """Whether the end of an interrupt only drops its priority, so that it has to be deactivated besides."""

    @abstractmethod
    def binary_point(self, cpu: int, group1: bool) -> RegisterAt:
        """The register that says which bits of a priority count for preemption."""

    @abstractmethod
    def group_mask(self, cpu: int, group1: bool) -> int:
        """The bits of a priority that count for preemption."""

    @abstractmethod
    def signals_as_fiq(self, cpu: int, group1: bool) -> bool:
        """Whether interrupts of a group are signalled as FIQ."""

    @abstractmethod
    def sleeps(self, cpu: int) -> RegisterAt | None:
        """The register that says that nothing is to be presented to a PE; None if nothing says so."""

    @abstractmethod
    def route(self, intid: int) -> RegisterAt:
        """The register that says where a shared interrupt goes."""

    @abstractmethod
    def targets(self, intid: int) -> tuple[int, ...]:
        """The PEs that a shared interrupt may go to, the one that gets it first."""

    @abstractmethod
    def route_to(self, intid: int, cpu: int) -> int:
        """What sends a shared interrupt to a PE when it is written there."""

    # What follows ------------------------------------------------------------------------------------------------

    def bit(self, base: int, cpu: int, intid: int) -> bool:
        """The bit of an interrupt."""
        return bool(self.read(self.interrupt_register(base, cpu, intid)) >> intid % WORD_BITS & 1)

    def is_pending(self, cpu: int, intid: int) -> bool:
        """Whether an interrupt is pending, active or not."""
        return self.bit(ISPENDR, cpu, intid)

    def is_active(self, cpu: int, intid: int) -> bool:
        """Whether an interrupt was acknowledged and not deactivated."""
        return self.bit(ISACTIVER, cpu, intid)

    def is_enabled(self, cpu: int, intid: int) -> bool:
        """Whether an interrupt is enabled."""
        return self.bit(ISENABLER, cpu, intid)

    def is_group1(self, cpu: int, intid: int) -> bool:
        """Whether an interrupt is of Group 1."""
        return self.bit(IGROUPR, cpu, intid)

    def priority(self, cpu: int, intid: int) -> int:
        """The priority of an interrupt."""
        return self.read(self.priority_register(cpu, intid))

    def private(self, base: int, cpu: int) -> Iterator[int]:
        """The private interrupts of a PE with their bit set, by their INTIDs."""
        return bits(self.read(self.interrupt_register(base, cpu, 0)), 0)

    def shared(self, base: int) -> Iterator[int]:
        """The shared interrupts with their bit set."""
        for first in range(FIRST_SPI, self.end, WORD_BITS):
            yield from bits(self.read(self.interrupt_register(base, 0, first)), first)

    def active(self, cpu: int) -> Iterator[int]:
        """The active interrupts that may be a PE's: its own, and all shared ones, which do not tell whose they are."""
        yield from self.private(ISACTIVER, cpu)
        yield from self.shared(ISACTIVER)


def bits(word: int, first: int) -> Iterator[int]:
    """The numbers of the bits that are set, counted from ``first``."""
    return (first + number for number in range(WORD_BITS) if word >> number & 1)
