"""The machines that a description may start from, as documents."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.guest.loader import RAM_BASE

INTERRUPT_CONTROLLERS: Final[Mapping[str, Mapping[str, object]]] = MappingProxyType(
    {
        "gicv3": MappingProxyType({"type": "gicv3", "base": 0x0800_0000, "redistributor_base": 0x080A_0000}),
        "gicv2": MappingProxyType(
            {
                "type": "gicv2",
                "base": 0x0800_0000,
                "size": 0x1_0000,
                "cpu_interface_base": 0x0801_0000,
                "cpu_interface_size": 0x1_0000,
            }
        ),
    }
)
"""The interrupt controllers of QEMU's virt board, which has either, by device type."""

PRESETS: Final[Mapping[str, Mapping[str, object]]] = MappingProxyType(
    {
        # The addresses of QEMU's virt board, so that guests built for it run unchanged.
        "virt": MappingProxyType(
            {
                "memory": {"ram": {"base": RAM_BASE, "size": 0x2000_0000, "permissions": "rwx"}},
                "device": {
                    "gic": INTERRUPT_CONTROLLERS["gicv3"],
                    "uart0": {"type": "pl011", "base": 0x0900_0000, "size": 0x1000, "intid": 33},
                    # 32 transports without a device. They are not in the device tree, so that no guest probes them.
                    "virtio": {"type": "virtio-mmio", "base": 0x0A00_0000, "size": 0x4000},
                    "rtc": {"type": "pl031", "base": 0x0901_0000, "size": 0x1000, "intid": 34},
                },
            }
        ),
    }
)
"""The presets by the names that ``base`` accepts, structured as parsed TOML."""
