"""Names of field values that several registers share (DDI 0487, D8.2, D8.6 and D24.2)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

CACHEABILITY: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "non-cacheable",
        1: "write-back write-allocate",
        2: "write-through",
        3: "write-back no write-allocate",
    }
)
SHAREABILITY: Final[Mapping[int, str]] = MappingProxyType({0: "non-shareable", 2: "outer", 3: "inner"})
GRANULE0: Final[Mapping[int, str]] = MappingProxyType({0: "4KB", 1: "64KB", 2: "16KB"})
GRANULE1: Final[Mapping[int, str]] = MappingProxyType({1: "16KB", 2: "4KB", 3: "64KB"})
PA_SIZE: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "32 bits",
        1: "36 bits",
        2: "40 bits",
        3: "42 bits",
        4: "44 bits",
        5: "48 bits",
        6: "52 bits",
        7: "56 bits",
    }
)
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
