"""The devices of QEMU's virt board that a similar machine may lack, with their addresses (hw/arm/virt.c, its memory
map)."""

from __future__ import annotations

from typing import Final, NamedTuple

from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.guest.loader import RAM_BASE


class VirtDevice(NamedTuple):
    """A device of the board; ``step`` says how to add it to a machine of armvcpu, empty if that is impossible."""

    base: int
    end: int
    name: str
    step: str = ""


VIRT_DEVICES: Final = (
    VirtDevice(0, 0x0800_0000, "the flash memory", "[memory.flash] in a machine file puts a file there, read-only"),
    VirtDevice(0x0800_0000, 0x0801_0000, "the interrupt controller", "device.gic.enabled = false switched it off"),
    VirtDevice(0x0801_0000, 0x0802_0000, "the CPU interface of a GICv2", "--gic 2 gives the machine a GICv2"),
    VirtDevice(0x0802_0000, 0x0803_0000, "the GICv2m frame (MSIs)"),
    VirtDevice(0x0803_0000, 0x0805_0000, "the virtualisation registers of a GICv2"),
    VirtDevice(0x0808_0000, 0x080A_0000, "the ITS of a GICv3"),
    VirtDevice(0x080A_0000, 0x0900_0000, "the redistributors of a GICv3", "--gic 3 gives the machine a GICv3"),
    VirtDevice(0x0900_0000, 0x0900_1000, "the PL011", "device.uart0.enabled = false switched it off"),
    VirtDevice(0x0901_0000, 0x0901_1000, "the PL031", "device.rtc.enabled = false switched it off"),
    VirtDevice(0x0902_0000, 0x0902_1000, "fw_cfg", "--append, --initrd and --dtb reach the guest by the device tree"),
    VirtDevice(0x0903_0000, 0x0903_1000, "the PL061 (GPIO)"),
    VirtDevice(
        0x0904_0000, 0x0904_1000, "the second PL011", '[device.uart1] with type = "pl011" and this base adds it'
    ),
    VirtDevice(0x0905_0000, 0x0907_0000, "the SMMU"),
    VirtDevice(0x0907_0000, 0x090A_0000, "ACPI's devices"),
    VirtDevice(0x090A_0000, 0x090B_0000, "the stolen time of vCPUs"),
    VirtDevice(0x090B_0000, 0x090B_1000, "the second PL061 (GPIO)"),
    VirtDevice(0x0A00_0000, 0x0A00_4000, "the virtio transports", "a machine file has placed something else there"),
    VirtDevice(0x0C00_0000, 0x0E00_0000, "the platform bus"),
    VirtDevice(0x0E00_0000, 0x0F00_0000, "the Secure memory"),
    VirtDevice(0x1000_0000, 0x3F00_0000, "the memory and I/O windows of PCIe"),
    VirtDevice(0x3F00_0000, 0x4000_0000, "the configuration space of PCIe"),
    VirtDevice(0x40_0000_0000, 0x40_0000_0000 + (1 << 26), "the redistributors of further CPUs"),
    VirtDevice(0x40_1000_0000, 0x40_2000_0000, "the configuration space of PCIe"),
    VirtDevice(0x80_0000_0000, 0x100_0000_0000, "the memory window of PCIe"),
)
"""By base address. QEMU has them by default."""


def virt_device(description: MachineDescription, ipa: int) -> VirtDevice | None:
    """Return the device that QEMU's virt board has at an IPA; None if it has none there, or the machine has a different
    layout."""
    if description.ram.base != RAM_BASE:
        return None
    return next((device for device in VIRT_DEVICES if device.base <= ipa < device.end), None)
