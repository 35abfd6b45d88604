"""What a machine asks of an interrupt controller, whatever its version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from arm_vcpu_cli.devices.irq import IrqLine

Signal = Callable[[int, bool, bool], None]
"""``signal(cpu, irq, fiq)``: called whenever an output of a PE's CPU interface changes; both are low at first."""

InterruptWatcher = Callable[[str, int, int], None]
"""Is called with an action, the number of the PE and the INTID; see :mod:`arm_vcpu_cli.devices.gic.v3.watch`."""


class InterruptController(Protocol):
    """A GIC of several PEs, numbered from 0."""

    def spi(self, intid: int) -> IrqLine:
        """The input of a shared interrupt, INTID 32 and up; ValueError if there is no such SPI."""

    def ppi(self, cpu: int, intid: int) -> IrqLine:
        """The input of a private interrupt of a PE, INTID 16 to 31; ValueError for others."""

    def signalled(self, cpu: int) -> int | None:
        """The INTID that a PE's outputs are high for, None while both are low."""

    def enabled_groups(self, cpu: int) -> tuple[bool, bool]:
        """Whether a PE's CPU interface signals interrupts as IRQ, and as FIQ, at all."""

    def watch(self, watcher: InterruptWatcher | None) -> None:
        """Tell ``watcher`` what becomes of interrupts from now on, in place of any other; None: nobody."""

    def reset_interface(self, cpu: int) -> None:
        """A PE is switched off or on: its CPU interface has its reset values, and signals nothing."""

    def save(self) -> dict[str, object]:
        """The whole state as plain data (integers, strings, lists, dicts), with a ``version``."""

    def load(self, state: dict[str, object]) -> None:
        """Take the state that :meth:`save` gave, of a controller of the same shape."""
