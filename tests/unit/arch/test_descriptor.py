"""Stage-2 descriptors, bit by bit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arch.translation.descriptor import (
    LeafDescriptor,
    Stage2Attributes,
    TableDescriptor,
    decode_stage2,
    leaf_size,
    stage2_leaf,
    stage2_table,
)
from arm_vcpu_cli.arch.translation.memtype import MemoryType, mair_memory_type, stage2_memory_type

RWX = Stage2Attributes(True, True, True)
ENCODABLE = [memory for memory in MemoryType if memory is not MemoryType.NORMAL_MIXED]
ATTRIBUTES = st.builds(Stage2Attributes, st.booleans(), st.booleans(), st.booleans(), st.sampled_from(ENCODABLE))


@pytest.mark.parametrize(
    ("level", "pa", "attributes", "descriptor"),
    [
        # Page, write-back: MemAttr 1111, S2AP 11, SH 11, AF.
        (3, 0x4000_1000, RWX, 0x4000_17FF),
        (2, 0x4020_0000, RWX, 0x4020_07FD),
        (1, 0x4000_0000, RWX, 0x4000_07FD),
        # Not executable is XN[1], bit 54.
        (3, 0x1000, Stage2Attributes(True, True, False), 0x0040_0000_0000_17FF),
        # S2AP is {write, read}: bit 7, bit 6.
        (3, 0x1000, Stage2Attributes(True, False, True), 0x177F),
        (3, 0x1000, Stage2Attributes(False, True, True), 0x17BF),
        (3, 0x1000, Stage2Attributes(False, False, False), 0x0040_0000_0000_173F),
        # Device: MemAttr 00xx, SH is 00.
        (3, 0x1000, Stage2Attributes(True, True, True, MemoryType.DEVICE_nGnRnE), 0x14C3),
        (3, 0x1000, Stage2Attributes(True, True, True, MemoryType.DEVICE_nGnRE), 0x14C7),
        (3, 0x1000, Stage2Attributes(True, True, True, MemoryType.DEVICE_nGRE), 0x14CB),
        (3, 0x1000, Stage2Attributes(True, True, True, MemoryType.DEVICE_GRE), 0x14CF),
        # Non-cacheable MemAttr 0101, write-through 1010.
        (3, 0x1000, Stage2Attributes(True, True, True, MemoryType.NORMAL_NC), 0x17D7),
        (3, 0x1000, Stage2Attributes(True, True, True, MemoryType.NORMAL_WT), 0x17EB),
        (3, 0xFFFF_FFFF_F000, RWX, 0x0000_FFFF_FFFF_F7FF),
    ],
)
def test_leaf_descriptors(level: int, pa: int, attributes: Stage2Attributes, descriptor: int) -> None:
    assert stage2_leaf(level, pa, attributes) == descriptor


@given(st.integers(1, 3), st.integers(0, 2**36 - 1), ATTRIBUTES)
def test_a_leaf_decodes_to_what_was_encoded(level: int, page: int, attributes: Stage2Attributes) -> None:
    pa = (page << 12) & -leaf_size(level)
    decoded = decode_stage2(level, stage2_leaf(level, pa, attributes))
    shareability = 0 if attributes.memory.is_device else 3
    assert decoded == LeafDescriptor(level, pa, leaf_size(level), attributes, True, shareability, False)


@pytest.mark.parametrize(
    ("level", "pa"), [(0, 0), (4, 0), (3, 0x800), (2, 0x1000), (1, 0x20_0000), (3, 1 << 48), (3, -0x1000)]
)
def test_leaves_that_do_not_exist_are_refused(level: int, pa: int) -> None:
    with pytest.raises(ValueError):
        stage2_leaf(level, pa, RWX)


def test_mixed_memory_can_not_be_encoded() -> None:
    with pytest.raises(ValueError, match="no encoding"):
        stage2_leaf(3, 0, Stage2Attributes(True, True, True, MemoryType.NORMAL_MIXED))


def test_table_descriptors() -> None:
    assert stage2_table(0x4000_3000) == 0x4000_3003
    assert decode_stage2(0, 0x4000_3003) == TableDescriptor(0x4000_3000)
    for bad in (0x800, 1 << 48):
        with pytest.raises(ValueError, match="table address"):
            stage2_table(bad)


@pytest.mark.parametrize(
    ("level", "descriptor"),
    [(0, 0), (1, 0x4000_07FC), (2, 0x2), (3, 0x4000_07FE), (0, 0x4000_0001), (3, 0x4000_07FD)],
)
def test_invalid_patterns_decode_to_nothing(level: int, descriptor: int) -> None:
    assert decode_stage2(level, descriptor) is None


def test_the_access_flag_and_the_contiguous_bit_are_read() -> None:
    leaf = decode_stage2(3, 0x1000 | 0x3FF | 1 << 52)
    assert isinstance(leaf, LeafDescriptor)
    assert (leaf.access_flag, leaf.contiguous) == (False, True)


@given(st.integers(0, 3), st.integers(0, 2**64 - 1))
def test_any_word_decodes(level: int, descriptor: int) -> None:
    decoded = decode_stage2(level, descriptor)
    if not descriptor & 1:
        assert decoded is None
    if isinstance(decoded, LeafDescriptor):
        assert decoded.pa % decoded.size == 0


@pytest.mark.parametrize(
    ("attr", "memory"),
    [
        (0x00, MemoryType.DEVICE_nGnRnE),
        (0x04, MemoryType.DEVICE_nGnRE),
        (0x08, MemoryType.DEVICE_nGRE),
        (0x0C, MemoryType.DEVICE_GRE),
        (0x44, MemoryType.NORMAL_NC),
        (0xFF, MemoryType.NORMAL),
        (0x77, MemoryType.NORMAL),
        (0xF0, MemoryType.NORMAL),
        (0xBB, MemoryType.NORMAL_WT),
        (0x33, MemoryType.NORMAL_WT),
        (0xF4, MemoryType.NORMAL_MIXED),
        (0x10, MemoryType.NORMAL_MIXED),
    ],
)
def test_mair_attributes(attr: int, memory: MemoryType) -> None:
    assert mair_memory_type(attr) is memory


@pytest.mark.parametrize(
    ("memattr", "memory"),
    [(0b1101, MemoryType.NORMAL_MIXED), (0b0100, MemoryType.NORMAL_MIXED), (3, MemoryType.DEVICE_GRE)],
)
def test_stage_2_memory_attributes(memattr: int, memory: MemoryType) -> None:
    assert stage2_memory_type(memattr) is memory
