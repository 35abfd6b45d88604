"""The machines that a description may start from, as the documents that describe them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

PRESETS: Final[Mapping[str, Mapping[str, object]]] = MappingProxyType(
    {
        # The addresses of QEMU's virt board, so that guests built for it run unchanged.
        "virt": MappingProxyType(
            {
                "memory": {"ram": {"base": 0x4000_0000, "size": "512MiB", "permissions": "rwx"}},
                "device": {
                    "gic": {"type": "gicv3", "base": 0x0800_0000, "redistributor_base": 0x080A_0000},
                    "uart0": {"type": "pl011", "base": 0x0900_0000, "size": 0x1000, "intid": 33},
                    "rtc": {"type": "pl031", "base": 0x0901_0000, "size": 0x1000, "intid": 34},
                },
            }
        ),
    }
)
"""By the names that ``base`` has for them; with what a TOML document has in the same places."""
