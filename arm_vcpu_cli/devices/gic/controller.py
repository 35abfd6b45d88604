"""The interface of a machine to its interrupt controller, whatever its version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from arm_vcpu_cli.devices.irq import IrqLine
from arm_vcpu_cli.saved import Remembers

Signal = Callable[[int, bool, bool], None]
"""``signal(cpu, irq, fiq)``: called whenever an output of a PE's CPU interface changes; both are low initially."""

InterruptWatcher = Callable[[str, int, int], None]
"""Called with an action, the number of the PE and the INTID; see :mod:`arm_vcpu_cli.devices.gic.common.watch`."""

LineWrapper = Callable[[int, int, IrqLine], IrqLine]
"""``wrap(cpu, intid, line)``: returns the line for a device in place of ``line``; ``cpu`` is -1 for an SPI."""


def unwrapped(_cpu: int, _intid: int, line: IrqLine) -> IrqLine:
    """Return the line itself."""
    return line


class InterruptController(Protocol):
    """A GIC of several PEs, numbered from 0."""

    def spi(self, intid: int) -> IrqLine:
        """Return the input of a shared interrupt, INTID 32 and up. Raises ValueError if there is no such SPI."""

    def ppi(self, cpu: int, intid: int) -> IrqLine:
        """Return the input of a private interrupt of a PE, INTID 16 to 31. Raises ValueError for others."""

    def wrap_lines(self, wrap: LineWrapper) -> None:
        """Make ``wrap`` wrap the lines that :meth:`spi` and :meth:`ppi` return from now on."""

    def pend(self, cpu: int, intid: int) -> None:
        """Make an interrupt pending without its input, as a write of GICD_ISPENDR does; ``cpu`` is the PE of a PPI.
        Raises ValueError if there is no such interrupt."""

    def signalled(self, cpu: int) -> int | None:
        """Return the INTID that a PE's outputs are high for, None while both are low."""

    def enabled_groups(self, cpu: int) -> tuple[bool, bool]:
        """Return whether a PE's CPU interface signals any interrupts as IRQ, and as FIQ."""

    @property
    def lpis_wanted(self) -> bool:
        """Whether the guest has tried to enable LPIs, which are not implemented."""

    def watch(self, watcher: InterruptWatcher | None) -> None:
        """Report the steps of interrupts to ``watcher`` from now on, in place of any other; None ends that."""

    @property
    def watched_by(self) -> Remembers | None:
        """The part that remembers what was reported to the watcher, None without one. Loading a state replaces it."""

    def on_wake_request(self, cpu: int, wake: Callable[[], None]) -> None:
        """Call ``wake`` for interrupts that are held back from the CPU interface of a PE that waits without power, at
        once if there is one already; until :meth:`reset_interface`."""

    def restore_wake_request(self, cpu: int, wake: Callable[[], None] | None) -> None:
        """As :meth:`on_wake_request`, after loading a state, for a PE that waited so when it was saved; None for one
        that did not. Interrupts held back were reported then."""

    def reset_interface(self, cpu: int) -> None:
        """Reset the CPU interface of a PE that is switched off or on: it signals nothing."""

    def save(self) -> dict[str, Any]:
        """Return the whole state as plain data, with the levels of all inputs."""

    def load(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`save` of a GIC with as many PEs and SPIs returned; outputs that differ are signalled.

        Raises ValueError, without a change, for anything else.
        """
