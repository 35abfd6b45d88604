"""A GICv3 as a whole (IHI 0069H): Distributor, Redistributors, CPU interfaces, and the lines of devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from arm_vcpu_cli.arch.registers.gicregs import FIRST_PPI, FIRST_SPI
from arm_vcpu_cli.devices.bus import MmioDevice
from arm_vcpu_cli.devices.gic.common.controller_state import load_controller, save_controller
from arm_vcpu_cli.devices.gic.common.frame import FRAME_SIZE
from arm_vcpu_cli.devices.gic.common.infrastructure import unheard
from arm_vcpu_cli.devices.gic.common.watch import InterruptWatcher, Watch
from arm_vcpu_cli.devices.gic.controller import LineWrapper, unwrapped
from arm_vcpu_cli.devices.gic.v3.cpu_interface import CpuInterface
from arm_vcpu_cli.devices.gic.v3.distributor import Distributor
from arm_vcpu_cli.devices.gic.v3.iri import Iri, check_shape
from arm_vcpu_cli.devices.gic.v3.redistributor import Redistributors
from arm_vcpu_cli.devices.irq import IrqLine

DISTRIBUTOR_SIZE: Final = FRAME_SIZE
REDISTRIBUTOR_SIZE: Final = 2 * FRAME_SIZE
"""Bytes of one PE's Redistributor."""
DEFAULT_SPIS: Final = 224
"""INTIDs 32 to 255."""


class GicV3:
    """A GIC of one Security state, with affinity routing and system registers only, without LPIs.

    ``affinities``: MPIDR_EL1's affinity fields of each PE, Aff3 in bits 39:32. ``signal(cpu, irq, fiq)`` is called
    whenever an output of a PE's CPU interface changes; both are low initially. Raises ValueError for no PEs, two with
    the same affinity, bits outside the affinity fields, or more SPIs than there are INTIDs.
    """

    def __init__(
        self, affinities: Sequence[int], *, spis: int = DEFAULT_SPIS, signal: Callable[[int, bool, bool], None]
    ) -> None:
        check_shape(affinities, spis)
        self._iri = Iri(affinities, spis)
        self.distributor: MmioDevice = Distributor(self._iri)
        self.redistributors: MmioDevice = Redistributors(self._iri)
        self._interfaces = tuple(CpuInterface(cpu, self._iri, signal) for cpu in range(len(affinities)))
        self._watcher: InterruptWatcher | None = None
        self.watched_by: Watch | None = None
        """The watch that reports the steps of interrupts."""
        self._wrap: LineWrapper = unwrapped

    def cpu_interface(self, cpu: int) -> CpuInterface:
        """Return the CPU interface of a PE, by its index in ``affinities``."""
        return self._interfaces[cpu]

    @property
    def lpis_wanted(self) -> bool:
        """Whether the guest has tried to enable LPIs."""
        return self._iri.lpis_wanted

    def enabled_groups(self, cpu: int) -> tuple[bool, bool]:
        """Return whether a PE's CPU interface signals any interrupts of Group 1, as IRQ, and of Group 0, as FIQ."""
        return self._interfaces[cpu].enabled_groups

    def on_wake_request(self, cpu: int, wake: Callable[[], None]) -> None:
        """Call ``wake`` when the Redistributor of a PE that sleeps asserts WakeRequest (IHI 0069H, 11.1)."""
        self.restore_wake_request(cpu, wake)
        self._iri.update(cpu)

    def restore_wake_request(self, cpu: int, wake: Callable[[], None] | None) -> None:
        """As :meth:`on_wake_request`, after loading a state, for a PE that waited so when it was saved; None for one
        that did not. Interrupts held back were reported then."""
        self._iri.pes[cpu].wake = wake

    def reset_interface(self, cpu: int) -> None:
        """Reset the CPU interface of a PE that is switched off or on: it signals nothing.

        The Redistributor is not part of the PE and keeps its state.
        """
        self._iri.pes[cpu].wake = None
        self._interfaces[cpu].reset()

    def signalled(self, cpu: int) -> int | None:
        """Return the INTID that a PE's IRQ or FIQ output is high for, None while both are low: the result of an
        acknowledge."""
        output = self._interfaces[cpu].output()
        return None if output is None else output.intid

    def watch(self, watcher: InterruptWatcher | None) -> None:
        """Report the steps of interrupts to ``watcher`` from now on, in place of any other; None ends that.

        Costs nothing without a watcher.
        """
        self._watcher = watcher
        watch = None if watcher is None else Watch(self._iri, [each.output() for each in self._interfaces], watcher)
        self.watched_by = watch
        self._iri.nowhere.present = unheard if watch is None else lambda _rank, _group1: watch.look(-1)
        for interface in self._interfaces:
            interface.watch(watch)

    def spi(self, intid: int) -> IrqLine:
        """Return the input of a shared interrupt, INTID 32 and up. Raises ValueError if there is no such SPI."""
        if intid < FIRST_SPI or not self._iri.exists(intid):
            raise ValueError(f"INTID {intid} is not an SPI of this GIC")
        return self._wrap(-1, intid, partial(self._iri.set_line, self._iri.spis, 0, intid))

    def ppi(self, cpu: int, intid: int) -> IrqLine:
        """Return the input of a private interrupt of a PE, INTID 16 to 31. Raises ValueError for others."""
        if not FIRST_PPI <= intid < FIRST_SPI:
            raise ValueError(f"INTID {intid} is not a PPI")
        return self._wrap(cpu, intid, partial(self._iri.set_line, self._iri.pes[cpu].bank, cpu, intid))

    def wrap_lines(self, wrap: LineWrapper) -> None:
        """Make ``wrap`` wrap the lines that :meth:`spi` and :meth:`ppi` return from now on."""
        self._wrap = wrap

    def pend(self, cpu: int, intid: int) -> None:
        """Make an interrupt pending without its input, as a write of GICD_ISPENDR does; ``cpu`` is the PE of a PPI.
        Raises ValueError if there is no such interrupt."""
        if intid < FIRST_PPI or not self._iri.exists(intid):
            raise ValueError(f"INTID {intid} has no input")
        self._iri.pend(cpu, intid)

    def save(self) -> dict[str, Any]:
        """Return the whole state as plain data, with the levels of all inputs."""
        return save_controller(self._iri, self._interfaces)

    def load(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`save` of a GIC with as many PEs and SPIs returned; outputs that differ are signalled.

        Nothing of this is reported to a watcher. Raises ValueError, without a change, for anything else.
        """
        watcher = self._watcher
        self.watch(None)
        try:
            load_controller("GICv3", self._iri, self._interfaces, state)
        finally:
            self.watch(watcher)
