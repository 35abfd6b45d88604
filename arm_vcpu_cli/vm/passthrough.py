"""Devices that the guest accesses without an exit: stage 2 maps them, and the engine calls them directly."""

from __future__ import annotations

from collections.abc import Callable

from arm_vcpu_cli.arch.translation.descriptor import Stage2Attributes
from arm_vcpu_cli.arch.translation.memtype import MemoryType
from arm_vcpu_cli.arm_vcpu.stage2 import Stage2AddressSpace
from arm_vcpu_cli.board.description import DeviceDescription
from arm_vcpu_cli.devices.bus import MmioDevice
from arm_vcpu_cli.vm.hosting import MachineHost

AccessObserver = Callable[["PassedThrough", bool, int, int, int], None]
"""(device, whether it is a write, offset, width in bytes, value) -> None."""


class PassedThrough:
    """A device whose interrupt line is checked after each access, because no exit triggers that check.

    Each access is reported to ``observer``, because no exit reports it either.
    """

    def __init__(self, name: str, base: int, device: MmioDevice, settle: Callable[[], None]) -> None:
        self.name = name
        self.base = base
        self.device = device
        self._settle = settle
        self.observer: AccessObserver | None = None

    def read(self, offset: int, width: int) -> int:
        """Read the device, and check its interrupt line."""
        value = self.device.read(offset, width)
        if self.observer is not None:
            self.observer(self, False, offset, width, value)
        self._settle()
        return value

    def write(self, offset: int, width: int, value: int) -> None:
        """Write to the device, and check its interrupt line."""
        # The cause is reported before its effects.
        if self.observer is not None:
            self.observer(self, True, offset, width, value)
        self.device.write(offset, width, value)
        self._settle()


def pass_through(
    host: MachineHost,
    stage2: Stage2AddressSpace,
    description: DeviceDescription,
    device: MmioDevice,
    settle: Callable[[], None],
) -> PassedThrough:
    """Place a device at a host-physical address and map its window there, as Device-nGnRE memory.

    ``settle`` is called after each access.
    """
    window = PassedThrough(description.name, description.base, device, settle)
    paddr = host.add_device(description.size, window)
    attributes = Stage2Attributes(read=True, write=True, execute=False, memory=MemoryType.DEVICE_nGnRE)
    stage2.map(description.base, paddr, description.size, attributes)
    return window
