"""The combination of both translation stages: permissions, memory type, shareability (DDI 0487, D8.4 and D8.6.6)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.registers.fieldvalues import INNER_SHAREABLE, NON_SHAREABLE, OUTER_SHAREABLE
from arm_vcpu_cli.arch.translation.memtype import DEVICE_TYPES, MemoryType

# From the strictest to the weakest: the combination is the stricter of the two.
_ORDER: Final = (*DEVICE_TYPES, MemoryType.NORMAL_NC, MemoryType.NORMAL_WT, MemoryType.NORMAL)
_SHARED_MOST: Final[Mapping[int, int]] = MappingProxyType(
    {NON_SHAREABLE: 0, 1: 0, INNER_SHAREABLE: 1, OUTER_SHAREABLE: 2}
)


def combine_memory(stage1: MemoryType, stage2: MemoryType) -> MemoryType:
    """Combine the memory types of both stages without FEAT_S2FWB: Device wins, else the lesser cacheability."""
    if MemoryType.NORMAL_MIXED in (stage1, stage2):
        other = stage2 if stage1 is MemoryType.NORMAL_MIXED else stage1
        return other if other.is_device or other is MemoryType.NORMAL_NC else MemoryType.NORMAL_MIXED
    return min(stage1, stage2, key=_ORDER.index)


def combine_shareability(memory: MemoryType, stage1: int, stage2: int) -> int:
    """Combine SH of both stages: the wider; Device and non-cacheable memory is outer shareable whatever the fields
    are."""
    if memory.is_device or memory is MemoryType.NORMAL_NC:
        return OUTER_SHAREABLE
    return max(stage1, stage2, key=lambda value: _SHARED_MOST[value & 3])
