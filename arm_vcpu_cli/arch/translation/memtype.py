"""Kinds of access and of memory, as both translation stages use them (DDI 0487, B2.10 and D8.6)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final


class Access(Enum):
    """The kind of access to an address."""

    READ = "read"
    WRITE = "write"
    EXECUTE = "execute"


class MemoryType(Enum):
    """Memory types with one cacheability for inner and outer; ``NORMAL`` is write-back."""

    DEVICE_nGnRnE = "Device-nGnRnE"
    DEVICE_nGnRE = "Device-nGnRE"
    DEVICE_nGRE = "Device-nGRE"
    DEVICE_GRE = "Device-GRE"
    NORMAL_NC = "Normal non-cacheable"
    NORMAL_WT = "Normal write-through"
    NORMAL = "Normal write-back"
    NORMAL_MIXED = "Normal, mixed"
    """Inner and outer cacheability differ, or the encoding is reserved; it is decoded, never encoded."""

    @property
    def is_device(self) -> bool:
        """Whether it is one of the four Device types."""
        return self.value.startswith("Device")


DEVICE_TYPES: Final = (
    MemoryType.DEVICE_nGnRnE,
    MemoryType.DEVICE_nGnRE,
    MemoryType.DEVICE_nGRE,
    MemoryType.DEVICE_GRE,
)

# The cacheabilities that two bits of MemAttr encode at stage 2: outer in [3:2], inner in [1:0]; 0b00 is Device.
_STAGE2_CACHEABILITY: Final[Mapping[int, MemoryType]] = MappingProxyType(
    {1: MemoryType.NORMAL_NC, 2: MemoryType.NORMAL_WT, 3: MemoryType.NORMAL}
)

STAGE2_MEMATTR: Final[Mapping[MemoryType, int]] = MappingProxyType(
    {
        **{memory: code for code, memory in enumerate(DEVICE_TYPES)},
        **{memory: code << 2 | code for code, memory in _STAGE2_CACHEABILITY.items()},
    }
)
"""MemAttr[3:0] of a stage-2 descriptor without FEAT_S2FWB (D8.6.5)."""


def stage2_memory_type(memattr: int) -> MemoryType:
    """Return the memory type of MemAttr[3:0] without FEAT_S2FWB."""
    outer, inner = memattr >> 2 & 3, memattr & 3
    if outer == 0:
        return DEVICE_TYPES[inner]
    return _STAGE2_CACHEABILITY[outer] if outer == inner else MemoryType.NORMAL_MIXED


def _mair_cacheability(nibble: int) -> MemoryType:
    # 0b0100 is non-cacheable; else bits [3:2] are 00 or 10 for write-through and 01 or 11 for write-back.
    if nibble == 0b0100:
        return MemoryType.NORMAL_NC
    return MemoryType.NORMAL if nibble & 0b0100 else MemoryType.NORMAL_WT


def mair_memory_type(attr: int) -> MemoryType:
    """Return the memory type of one byte of MAIR_EL1; the allocation hints are dropped."""
    outer, inner = attr >> 4 & 15, attr & 15
    if outer == 0:
        return DEVICE_TYPES[inner >> 2]
    if inner == 0:
        # 0xF0 is tagged write-back memory; 0x40 and 0xA0 belong to FEAT_XS; the rest is reserved.
        special = {0xF0: MemoryType.NORMAL, 0x40: MemoryType.NORMAL_NC, 0xA0: MemoryType.NORMAL_WT}
        return special.get(attr & 0xFF, MemoryType.NORMAL_MIXED)
    first, second = _mair_cacheability(outer), _mair_cacheability(inner)
    return first if first is second else MemoryType.NORMAL_MIXED
