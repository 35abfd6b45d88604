"""Names of field values that several registers share (DDI 0487, D8.2, D8.6 and D24.2)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

WRITE_BACK: Final = 1
"""Write-back with read and write allocation, as encoded in IRGN and ORGN of TCR_ELx and VTCR_EL2."""
CACHEABILITY: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "non-cacheable",
        WRITE_BACK: "write-back write-allocate",
        2: "write-through",
        3: "write-back no write-allocate",
    }
)
NON_SHAREABLE: Final = 0
OUTER_SHAREABLE: Final = 2
INNER_SHAREABLE: Final = 3
SHAREABILITY: Final[Mapping[int, str]] = MappingProxyType(
    {NON_SHAREABLE: "non-shareable", OUTER_SHAREABLE: "outer", INNER_SHAREABLE: "inner"}
)
GRANULE0: Final[Mapping[int, str]] = MappingProxyType({0: "4KB", 1: "64KB", 2: "16KB"})
GRANULE1: Final[Mapping[int, str]] = MappingProxyType({1: "16KB", 2: "4KB", 3: "64KB"})
PA_SIZE_BITS: Final = (32, 36, 40, 42, 44, 48, 52, 56)
"""Physical address widths by their code in PARange, IPS and PS."""
PA_SIZE: Final[Mapping[int, str]] = MappingProxyType({code: f"{bits} bits" for code, bits in enumerate(PA_SIZE_BITS)})
MAIR_ATTRIBUTE: Final[Mapping[int, str]] = MappingProxyType(
    {
        0x00: "Device-nGnRnE",
        0x04: "Device-nGnRE",
        0x08: "Device-nGRE",
        0x0C: "Device-GRE",
        0x44: "Normal non-cacheable",
        0xBB: "Normal write-through",
        0xEE: "Normal write-back read-allocate",
        0xF0: "Normal tagged",
        0xFF: "Normal write-back",
    }
)
