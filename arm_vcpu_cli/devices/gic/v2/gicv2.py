"""A GICv2 as a whole (IHI 0048B): the Distributor and CPU interfaces as each PE sees them, and the lines of devices."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from arm_vcpu_cli.arch.registers.gicregs import FIRST_PPI, FIRST_SPI
from arm_vcpu_cli.devices.gic.common.controller_state import load_controller, save_controller
from arm_vcpu_cli.devices.gic.common.infrastructure import unheard
from arm_vcpu_cli.devices.gic.common.watch import Watch
from arm_vcpu_cli.devices.gic.controller import InterruptWatcher, LineWrapper, Signal, unwrapped
from arm_vcpu_cli.devices.gic.v2.banked_distributor import Distributor, shared_frame
from arm_vcpu_cli.devices.gic.v2.forwarding import Forwarding
from arm_vcpu_cli.devices.gic.v2.mmio_interface import CpuInterface
from arm_vcpu_cli.devices.irq import IrqLine

DISTRIBUTOR_SIZE: Final = 0x1000
"""The size of the Distributor in bytes; the rest of a larger window is RAZ/WI."""
CPU_INTERFACE_SIZE: Final = 0x2000
"""The size of a CPU interface in bytes: the second page has GICC_DIR."""
DEFAULT_SPIS: Final = 256
"""INTIDs 32 to 287."""


class GicV2:
    """A GIC without the Security Extensions, for up to 8 PEs, numbered from 0.

    ``signal(cpu, irq, fiq)`` is called whenever an output of a PE's CPU interface changes; both are low initially.
    Raises ValueError for no PEs or more than 8, or more SPIs than there are INTIDs.
    """

    def __init__(self, cpus: int, *, spis: int = DEFAULT_SPIS, signal: Signal) -> None:
        self._forwarding = forwarding = Forwarding(cpus, spis)
        shared = shared_frame(forwarding)
        self._distributors = tuple(Distributor(forwarding, cpu, shared) for cpu in range(cpus))
        self._interfaces = tuple(CpuInterface(cpu, forwarding, signal) for cpu in range(cpus))
        self._watcher: InterruptWatcher | None = None
        self.watched_by: Watch | None = None
        """The watch that reports the steps of interrupts."""
        self._wrap: LineWrapper = unwrapped

    def distributor(self, cpu: int) -> Distributor:
        """Return the Distributor as a PE sees it."""
        return self._distributors[cpu]

    def cpu_interface(self, cpu: int) -> CpuInterface:
        """Return the CPU interface of a PE, which each sees at the same address."""
        return self._interfaces[cpu]

    def spi(self, intid: int) -> IrqLine:
        """Return the input of a shared interrupt, INTID 32 and up. Raises ValueError if there is no such SPI."""
        if intid < FIRST_SPI or not self._forwarding.exists(intid):
            raise ValueError(f"INTID {intid} is not an SPI of this GIC")
        return self._wrap(-1, intid, partial(self._forwarding.set_line, self._forwarding.spis, 0, intid))

    def ppi(self, cpu: int, intid: int) -> IrqLine:
        """Return the input of a private interrupt of a PE, INTID 16 to 31. Raises ValueError for others."""
        if not FIRST_PPI <= intid < FIRST_SPI:
            raise ValueError(f"INTID {intid} is not a PPI")
        return self._wrap(cpu, intid, partial(self._forwarding.set_line, self._forwarding.pes[cpu].bank, cpu, intid))

    def wrap_lines(self, wrap: LineWrapper) -> None:
        """Make ``wrap`` wrap the lines that :meth:`spi` and :meth:`ppi` return from now on."""
        self._wrap = wrap

    def pend(self, cpu: int, intid: int) -> None:
        """Make an interrupt pending without its input, as a write of GICD_ISPENDR does; ``cpu`` is the PE of a PPI.
        Raises ValueError if there is no such interrupt."""
        if intid < FIRST_PPI or not self._forwarding.exists(intid):
            raise ValueError(f"INTID {intid} has no input")
        self._forwarding.pend(cpu, intid)

    def signalled(self, cpu: int) -> int | None:
        """Return the INTID that a PE's IRQ or FIQ output is high for, None while both are low: the result of an
        acknowledge."""
        output = self._interfaces[cpu].output()
        return None if output is None else output.intid

    def sender(self, cpu: int, intid: int) -> int:
        """Return the PE that sent the SGI that is active at a PE, 0 for other interrupts: its acknowledge returned it
        above the INTID, and its end must repeat it."""
        return self._forwarding.pes[cpu].takens[intid] if intid < FIRST_PPI else 0

    @property
    def lpis_wanted(self) -> bool:
        """Whether the guest has tried to enable LPIs; a GICv2 has no register for that."""
        return False

    def enabled_groups(self, cpu: int) -> tuple[bool, bool]:
        """Return whether a PE's CPU interface signals any interrupts as IRQ, and as FIQ."""
        return self._interfaces[cpu].enabled_groups()

    def watch(self, watcher: InterruptWatcher | None) -> None:
        """Report the steps of interrupts to ``watcher`` from now on, in place of any other; None ends that.

        Costs nothing without a watcher. See :mod:`arm_vcpu_cli.devices.gic.common.watch`.
        """
        self._watcher = watcher
        forwarding = self._forwarding
        watch = None if watcher is None else Watch(forwarding, [each.output() for each in self._interfaces], watcher)
        self.watched_by = watch
        forwarding.nowhere.present = unheard if watch is None else lambda _rank, _group1: watch.look(-1)
        for interface in self._interfaces:
            interface.watch(watch)

    def on_wake_request(self, cpu: int, wake: Callable[[], None]) -> None:
        """Do nothing: no Redistributor holds interrupts back, so the interface of a waiting PE signals them."""

    def restore_wake_request(self, cpu: int, wake: Callable[[], None] | None) -> None:
        """Do nothing, as :meth:`on_wake_request` does."""

    def reset_interface(self, cpu: int) -> None:
        """Reset the CPU interface of a PE that is switched off or on: it signals nothing."""
        self._interfaces[cpu].reset()

    def save(self) -> dict[str, Any]:
        """Return the whole state as plain data, with the levels of all inputs."""
        return save_controller(self._forwarding, self._interfaces)

    def load(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`save` of a GIC with as many PEs and SPIs returned; outputs that differ are signalled.

        Nothing of this is reported to a watcher. Raises ValueError, without a change, for anything else.
        """
        watcher = self._watcher
        self.watch(None)
        try:
            load_controller("GICv2", self._forwarding, self._interfaces, state)
        finally:
            self.watch(watcher)
