"""Builds the interrupt controller of a description, with its windows as each CPU sees them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Final

from arm_vcpu_cli.arch.registers.gicregs import FIRST_SPI, LAST_SPI
from arm_vcpu_cli.board.description import GicDescription, MachineDescription
from arm_vcpu_cli.devices.bus import Bus, MmioDevice
from arm_vcpu_cli.devices.gic.controller import InterruptController, Signal
from arm_vcpu_cli.devices.gic.v3 import CpuInterface, GicV3
from arm_vcpu_cli.record import Record

if TYPE_CHECKING:
    from arm_vcpu_cli.devices.gic.v2 import GicV2

V2: Final = 2
_GIC_V2: Final = "arm_vcpu_cli.devices.gic.v2"
"""Loaded only on demand: few machines have one."""
_LINES: Final = 32
"""The unit of GICD_TYPER.ITLinesNumber."""


class BuiltGic(Record):
    """``shared`` and ``private`` are windows by name, base and size; each CPU has its own ``private`` ones.

    ``interface`` is the system-register interface of a CPU, None if there are no such registers.
    """

    model: InterruptController
    shared: tuple[tuple[str, int, int, MmioDevice], ...]
    private: tuple[tuple[str, int, int, Callable[[int], MmioDevice]], ...]
    interface: Callable[[int], CpuInterface | None]

    def add_shared_windows(self, bus: Bus) -> None:
        """Add the windows that all CPUs share to a bus. Raises MemoryMapError."""
        for name, base, size, device in self.shared:
            bus.add(name, base, size, device)

    def bus_of(self, cpu: int, bus: Bus) -> Bus:
        """The bus as a CPU sees it."""
        if not self.private:
            return bus
        own = Bus()
        for window in bus.windows():
            own.add(window.name, window.base, window.end - window.base, window.device)
        for name, base, size, device in self.private:
            own.add(name, base, size, device(cpu))
        return own


def build_gic(description: MachineDescription, signal: Signal) -> BuiltGic | None:
    """The controller of a description, None if it has none."""
    gic = description.gic
    if gic is None:
        return None
    return (_build_v2 if gic.version == V2 else _build_v3)(description, gic, signal)


def _spis(description: MachineDescription, gic: GicDescription) -> int:
    """The number of SPIs: those of the description, or more if the devices need them."""
    last = max((device.intid for device in description.devices if device.intid is not None), default=0)
    return min(max(gic.spis, -(-(last + 1) // _LINES) * _LINES - FIRST_SPI), LAST_SPI + 1 - FIRST_SPI)


def _build_v2(description: MachineDescription, gic: GicDescription, signal: Signal) -> BuiltGic:
    model: GicV2 = import_module(_GIC_V2).GicV2(description.cpu.count, spis=_spis(description, gic), signal=signal)
    distributor, interface = gic.distributor, gic.cpu_interface
    if interface is None:
        raise ValueError("a GICv2 without a window for its CPU interfaces")
    private = (
        (gic.name, distributor.base, distributor.size, model.distributor),
        (f"{gic.name}-cpu-interface", interface.base, interface.size, model.cpu_interface),
    )
    return BuiltGic(model, (), private, lambda _cpu: None)


def _build_v3(description: MachineDescription, gic: GicDescription, signal: Signal) -> BuiltGic:
    model = GicV3(description.cpu.affinities, spis=_spis(description, gic), signal=signal)
    distributor, redistributors = gic.distributor, gic.redistributors
    if redistributors is None:
        raise ValueError("a GICv3 without a window for its Redistributors")
    shared = (
        (gic.name, distributor.base, distributor.size, model.distributor),
        (f"{gic.name}-redistributors", redistributors.base, redistributors.size, model.redistributors),
    )
    return BuiltGic(model, shared, (), model.cpu_interface)
