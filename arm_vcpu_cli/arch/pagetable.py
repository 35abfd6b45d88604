"""Translation tables: descriptors, and the walks of both stages (DDI 0487, chapter D8).

The parts are in ``memtype``, ``descriptor``, ``walk``, ``stage1walk`` and ``stage2walk``; this is their
front.
"""

from __future__ import annotations

from arm_vcpu_cli.arch.descriptor import (
    DESCRIPTOR_BYTES,
    ENTRIES,
    LAST_LEVEL,
    PAGE_SHIFT,
    PAGE_SIZE,
    LeafDescriptor,
    Stage1Leaf,
    Stage1Table,
    Stage2Attributes,
    Stage2Leaf,
    TableDescriptor,
    decode_stage2,
    leaf_size,
    stage2_leaf,
    stage2_table,
)
from arm_vcpu_cli.arch.memtype import Access, MemoryType
from arm_vcpu_cli.arch.stage1walk import walk_stage1
from arm_vcpu_cli.arch.stage2walk import walk_stage2
from arm_vcpu_cli.arch.walk import ReadU64, Stage1Attributes, Walk, WalkFault, WalkStep

__all__ = [
    "DESCRIPTOR_BYTES",
    "ENTRIES",
    "LAST_LEVEL",
    "PAGE_SHIFT",
    "PAGE_SIZE",
    "Access",
    "LeafDescriptor",
    "MemoryType",
    "ReadU64",
    "Stage1Attributes",
    "Stage1Leaf",
    "Stage1Table",
    "Stage2Attributes",
    "Stage2Leaf",
    "TableDescriptor",
    "Walk",
    "WalkFault",
    "WalkStep",
    "decode_stage2",
    "leaf_size",
    "stage2_leaf",
    "stage2_table",
    "walk_stage1",
    "walk_stage2",
]
