"""A GIC as seen through its registers: the common part, and the interface to each version's part."""

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
    """Whether guests use Group 1 for their interrupts, where they must choose."""

    def __init__(self, cpus: int, end: int) -> None:
        self.cpus = cpus
        self.end = end

    # Provided by each version ------------------------------------------------------------------------------------

    @abstractmethod
    def read(self, register: RegisterAt) -> int:
        """Return the value of a register."""

    @abstractmethod
    def interrupt_register(self, base: int, cpu: int, intid: int, bits: int = 1) -> RegisterAt:
        """Return the 32-bit register from ``base`` on that has ``bits`` bits for each interrupt."""

    @abstractmethod
    def priority_register(self, cpu: int, intid: int) -> RegisterAt:
        """Return the byte with the priority of an interrupt."""

    @abstractmethod
    def control(self) -> RegisterAt:
        """Return GICD_CTLR."""

    @abstractmethod
    def interface(self, name: str, cpu: int) -> RegisterAt:
        """Return a register of the CPU interface: ``PMR``, ``RPR``, ``CTLR``."""

    @abstractmethod
    def group_enable(self, cpu: int, group1: bool) -> tuple[RegisterAt, int]:
        """Return the register that makes the CPU interface signal a group, and the bit that does."""

    @abstractmethod
    def end_register(self, cpu: int, group1: bool) -> RegisterAt:
        """Return the register that drops the priority of an interrupt of a group."""

    @abstractmethod
    def end_value(self, cpu: int, intid: int) -> int:
        """Return the value to write to it to end an interrupt: the result of its acknowledge."""

    @abstractmethod
    def active_priorities(self, cpu: int, group1: bool) -> RegisterAt:
        """Return the register with a bit for each active priority of a group."""

    @abstractmethod
    def eoi_mode(self, cpu: int) -> bool:
        """Return whether the end of an interrupt only drops its priority, so that it must be deactivated separately."""

    @abstractmethod
    def binary_point(self, cpu: int, group1: bool) -> RegisterAt:
        """The register that selects the priority bits for preemption."""

    @abstractmethod
    def group_mask(self, cpu: int, group1: bool) -> int:
        """Return the bits of a priority that determine preemption."""

    @abstractmethod
    def signals_as_fiq(self, cpu: int, group1: bool) -> bool:
        """Return whether interrupts of a group are signalled as FIQ."""

    @abstractmethod
    def sleeps(self, cpu: int) -> RegisterAt | None:
        """Return the register that keeps interrupts from a PE that sleeps; None if there is none."""

    @abstractmethod
    def route(self, intid: int) -> RegisterAt:
        """Return the register that routes a shared interrupt."""

    @abstractmethod
    def targets(self, intid: int) -> tuple[int, ...]:
        """Return the PEs that a shared interrupt may go to, the one that gets it first."""

    @abstractmethod
    def route_to(self, intid: int, cpu: int) -> int:
        """Return the value for that register that routes a shared interrupt to a PE."""

    # Derived facts -----------------------------------------------------------------------------------------------

    def bit(self, base: int, cpu: int, intid: int) -> bool:
        """Return the bit of an interrupt."""
        return bool(self.read(self.interrupt_register(base, cpu, intid)) >> intid % WORD_BITS & 1)

    def is_pending(self, cpu: int, intid: int) -> bool:
        """Return whether an interrupt is pending, active or not."""
        return self.bit(ISPENDR, cpu, intid)

    def is_active(self, cpu: int, intid: int) -> bool:
        """Return whether an interrupt was acknowledged and not deactivated."""
        return self.bit(ISACTIVER, cpu, intid)

    def is_enabled(self, cpu: int, intid: int) -> bool:
        """Return whether an interrupt is enabled."""
        return self.bit(ISENABLER, cpu, intid)

    def is_group1(self, cpu: int, intid: int) -> bool:
        """Return whether an interrupt is in Group 1."""
        return self.bit(IGROUPR, cpu, intid)

    def priority(self, cpu: int, intid: int) -> int:
        """Return the priority of an interrupt."""
        return self.read(self.priority_register(cpu, intid))

    def private(self, base: int, cpu: int) -> Iterator[int]:
        """Yield the private interrupts of a PE with their bit set, by their INTIDs."""
        return bits(self.read(self.interrupt_register(base, cpu, 0)), 0)

    def shared(self, base: int) -> Iterator[int]:
        """Yield the shared interrupts with their bit set."""
        for first in range(FIRST_SPI, self.end, WORD_BITS):
            yield from bits(self.read(self.interrupt_register(base, 0, first)), first)

    def active(self, cpu: int) -> Iterator[int]:
        """Yield the active interrupts that may be a PE's: its own, and all shared ones, which do not identify their
        PE."""
        yield from self.private(ISACTIVER, cpu)
        yield from self.shared(ISACTIVER)


def bits(word: int, first: int) -> Iterator[int]:
    """Yield the numbers of the bits that are set, counted from ``first``."""
    return (first + number for number in range(WORD_BITS) if word >> number & 1)
