"""Devices that the guest reaches without an exit: stage 2 maps them, and the engine calls them itself."""

from __future__ import annotations

from collections.abc import Callable

from arm_vcpu_cli.arch.descriptor import Stage2Attributes
from arm_vcpu_cli.arch.memtype import MemoryType
from arm_vcpu_cli.arm_vcpu.stage2 import Stage2AddressSpace
from arm_vcpu_cli.devices.bus import MmioDevice
from arm_vcpu_cli.machine.description import DeviceDescription
from arm_vcpu_cli.machine.host import Host


class _Settling:
    """A device after each access to which its interrupt is looked at: there is no exit that would."""

    def __init__(self, device: MmioDevice, settle: Callable[[], None]) -> None:
        self._device = device
        self._settle = settle

    def read(self, offset: int, width: int) -> int:
        value = self._device.read(offset, width)
        self._settle()
        return value

    def write(self, offset: int, width: int, value: int) -> None:
        self._device.write(offset, width, value)
        self._settle()


def pass_through(
    host: Host,
    stage2: Stage2AddressSpace,
    description: DeviceDescription,
    device: MmioDevice,
    settle: Callable[[], None],
) -> None:
    """Put a device at a host-physical address and map its window there, as Device-nGnRE memory.

    ``settle`` is called after each access.
    """
    paddr = host.add_device(description.size, _Settling(device, settle))
    attributes = Stage2Attributes(read=True, write=True, execute=False, memory=MemoryType.DEVICE_nGnRE)
    stage2.map(description.base, paddr, description.size, attributes)
