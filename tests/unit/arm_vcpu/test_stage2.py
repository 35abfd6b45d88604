"""The stage-2 address space: mapping, splitting, refusing, and freeing everything."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from arm_vcpu_cli.arch.registers.el2regs import Vtcr
from arm_vcpu_cli.arch.translation.descriptor import Stage2Attributes
from arm_vcpu_cli.arch.translation.memtype import Access, MemoryType
from arm_vcpu_cli.arch.translation.walk import WalkFault
from arm_vcpu_cli.arm_vcpu.stage2 import Stage2AddressSpace, Stage2Region
from arm_vcpu_cli.errors import Stage2Error

BASE = 0x8000_0000
PAGE, MIB2, GIB = 1 << 12, 1 << 21, 1 << 30
RWX = Stage2Attributes(True, True, True)
RO = Stage2Attributes(True, False, False)
DEVICE = Stage2Attributes(True, True, False, MemoryType.DEVICE_nGnRE)


class Frames:
    """A pool of frames that notices double and foreign frees."""

    def __init__(self, count: int = 64) -> None:
        self.bytes = bytearray(b"\xa5" * (count * PAGE))
        self.free = [BASE + index * PAGE for index in range(count)]
        self.used: set[int] = set()

    def alloc_frame(self) -> int | None:
        return self.alloc_frames(1)

    def alloc_frames(self, count: int) -> int | None:
        for first in self.free:
            run = [first + index * PAGE for index in range(count)]
            if first % (count * PAGE) == 0 and all(frame in self.free for frame in run):
                for frame in run:
                    self.free.remove(frame)
                    self.used.add(frame)
                return first
        return None

    def dealloc_frame(self, paddr: int) -> None:
        self.used.remove(paddr)
        self.free.append(paddr)
        self.free.sort()

    def memory(self, paddr: int, size: int) -> memoryview:
        return memoryview(self.bytes)[paddr - BASE : paddr - BASE + size]

    def snapshot(self) -> tuple[dict[int, bytes], frozenset[int]]:
        return {frame: bytes(self.memory(frame, PAGE)) for frame in self.used}, frozenset(self.used)


def sizes(space: Stage2AddressSpace, ipa: int, size: int) -> list[int]:
    """The sizes of the blocks and pages that make up a range."""
    found = []
    end = ipa + size
    while ipa < end:
        found.append(space.translate(ipa).size)
        ipa += found[-1]
    return found


@pytest.mark.parametrize(
    ("pa_bits", "ipa_bits", "levels", "vtcr", "root_frames"),
    [
        (44, None, 4, 0x80043594, 1),
        (48, None, 4, 0x80053590, 1),
        (52, None, 4, 0x80063590, 1),
        (40, None, 3, 0x80023558, 2),
        (44, 40, 3, 0x80043558, 2),
        (42, None, 3, 0x80033556, 8),
        (44, 43, 3, 0x80043555, 16),
        (44, 39, 3, 0x80043559, 1),
        (36, None, 3, 0x8001355C, 1),
        (44, 35, 3, 0x8004355D, 1),
        (44, 34, 2, 0x8004351E, 16),
        (44, 33, 2, 0x8004351F, 8),
        (32, None, 2, 0x80003520, 4),
    ],
)
def test_the_controls_follow_the_address_sizes(
    pa_bits: int, ipa_bits: int | None, levels: int, vtcr: int, root_frames: int
) -> None:
    frames = Frames()
    space = Stage2AddressSpace(frames, pa_bits=pa_bits, ipa_bits=ipa_bits)
    assert (space.levels, hex(space.vtcr)) == (levels, hex(vtcr))
    assert space.vttbr == space.root == BASE
    assert space.ipa_bits == 64 - Vtcr(space.vtcr).T0SZ
    assert len(frames.used) == root_frames


@pytest.mark.parametrize(("pa_bits", "ipa_bits"), [(41, None), (40, 41), (52, 49), (48, 31)])
def test_widths_that_the_core_can_not_walk_are_refused(pa_bits: int, ipa_bits: int | None) -> None:
    frames = Frames()
    with pytest.raises(ValueError, match="bits"):
        Stage2AddressSpace(frames, pa_bits=pa_bits, ipa_bits=ipa_bits)
    assert not frames.used


def test_without_frames_for_the_root_there_is_no_address_space() -> None:
    with pytest.raises(Stage2Error, match="root"):
        Stage2AddressSpace(Frames(count=1), pa_bits=40)


def test_a_mapping_uses_the_largest_blocks_that_fit() -> None:
    frames = Frames()
    space = Stage2AddressSpace(frames, pa_bits=44)
    start = GIB - MIB2 - PAGE
    space.map(start, start, PAGE + MIB2 + GIB + MIB2 + PAGE, RWX)
    assert sizes(space, start, PAGE + MIB2 + GIB + MIB2 + PAGE) == [PAGE, MIB2, GIB, MIB2, PAGE]


def test_blocks_need_an_aligned_physical_address_too() -> None:
    space = Stage2AddressSpace(Frames(), pa_bits=44)
    space.map(GIB, 2 * GIB + MIB2, GIB, RWX)
    assert set(sizes(space, GIB, GIB)) == {MIB2}
    space.map(4 * GIB, PAGE, MIB2, RWX)
    assert sizes(space, 4 * GIB, MIB2) == [PAGE] * 512
    assert space.translate(4 * GIB + 0x1234).output == 0x2234


def test_an_address_is_translated_with_its_permissions() -> None:
    space = Stage2AddressSpace(Frames(), pa_bits=44)
    space.map(0x4000_0000, 0x9000_0000, PAGE, RO)
    space.map(0x0900_0000, 0xA000_0000, PAGE, DEVICE)
    assert space.translate(0x4000_0ABC, Access.READ).output == 0x9000_0ABC
    assert space.translate(0x4000_0ABC, Access.WRITE).fault == WalkFault("permission", 3, 0x0F)
    assert space.translate(0x4000_0ABC, Access.EXECUTE).fault == WalkFault("permission", 3, 0x0F)
    assert space.translate(0x4000_1000).fault == WalkFault("translation", 3, 0x07)
    assert space.translate(0x0900_0000).attributes == DEVICE


def test_concatenated_roots_reach_the_whole_input_range() -> None:
    space = Stage2AddressSpace(Frames(), pa_bits=40)
    last = (1 << 40) - GIB
    space.map(last, 0, GIB, RWX)
    space.map(0, GIB, PAGE, RWX)
    assert space.translate(last + 0x1234).output == 0x1234
    assert [region.ipa for region in space.regions()] == [0, last]


def test_unmapping_part_of_a_block_splits_it() -> None:
    frames = Frames()
    space = Stage2AddressSpace(frames, pa_bits=44)
    space.map(GIB, 2 * GIB, GIB, RWX)
    before = len(frames.used)
    space.unmap(GIB + MIB2 + PAGE, PAGE)
    assert len(frames.used) == before + 2
    assert space.translate(GIB + MIB2 + PAGE).fault == WalkFault("translation", 3, 0x07)
    assert space.translate(GIB + MIB2).output == 2 * GIB + MIB2
    assert space.translate(GIB + MIB2 + 2 * PAGE).output == 2 * GIB + MIB2 + 2 * PAGE
    assert space.translate(GIB).size == MIB2


def test_unmapping_everything_frees_all_tables_but_the_root() -> None:
    frames = Frames()
    space = Stage2AddressSpace(frames, pa_bits=44)
    space.map(GIB - PAGE, 0x9000_0000, 4 * PAGE, RWX)
    assert len(frames.used) > 1
    space.unmap(GIB - PAGE, 4 * PAGE)
    assert frames.used == {space.root}
    assert list(space.regions()) == []


def test_protecting_part_of_a_region_leaves_the_rest() -> None:
    space = Stage2AddressSpace(Frames(), pa_bits=44)
    space.map(0, 0, 2 * MIB2, RWX)
    space.protect(PAGE, PAGE, RO)
    assert list(space.regions()) == [
        Stage2Region(0, 0, PAGE, RWX),
        Stage2Region(PAGE, PAGE, PAGE, RO),
        Stage2Region(2 * PAGE, 2 * PAGE, 2 * MIB2 - 2 * PAGE, RWX),
    ]
    assert space.translate(MIB2).size == MIB2


def test_regions_are_merged_only_where_they_continue_each_other() -> None:
    space = Stage2AddressSpace(Frames(), pa_bits=44)
    space.map(0, 0x10_0000, 2 * PAGE, RWX)
    space.map(2 * PAGE, 0x10_2000, PAGE, RWX)
    space.map(3 * PAGE, 0x20_0000, PAGE, RWX)
    assert list(space.regions()) == [
        Stage2Region(0, 0x10_0000, 3 * PAGE, RWX),
        Stage2Region(3 * PAGE, 0x20_0000, PAGE, RWX),
    ]


REFUSED: list[tuple[str, Callable[[Stage2AddressSpace], None], str]] = [
    ("overlap at the end", lambda space: space.map(GIB - MIB2, 0, 2 * MIB2, RWX), "mapped already"),
    ("overlap inside a block", lambda space: space.map(GIB + PAGE, 0, PAGE, RWX), "mapped already"),
    ("a block over pages", lambda space: space.map(2 * GIB, 0, MIB2, RWX), "mapped already"),
    ("unaligned IPA", lambda space: space.map(0x800, 0, PAGE, RWX), "whole 4 KiB"),
    ("unaligned size", lambda space: space.map(0, 0, 0x800, RWX), "whole 4 KiB"),
    ("unaligned PA", lambda space: space.map(0, 0x800, PAGE, RWX), "not page aligned"),
    ("no size", lambda space: space.map(0, 0, 0, RWX), "whole 4 KiB"),
    ("negative size", lambda space: space.unmap(GIB, -PAGE), "whole 4 KiB"),
    ("negative IPA", lambda space: space.map(-PAGE, 0, PAGE, RWX), "whole 4 KiB"),
    ("IPA too large", lambda space: space.map((1 << 44) - PAGE, 0, 2 * PAGE, RWX), "beyond the 44 bits"),
    ("PA too large", lambda space: space.map(0, (1 << 44) - PAGE, 2 * PAGE, RWX), "physical address width"),
    ("unmap beyond a region", lambda space: space.unmap(GIB + GIB - PAGE, 4 * PAGE), "not mapped"),
    ("unmap nothing", lambda space: space.unmap(0, PAGE), "not mapped"),
    ("protect beyond a region", lambda space: space.protect(GIB - PAGE, 2 * PAGE, RO), "not mapped"),
]


@pytest.mark.parametrize(
    ("operation", "message"), [entry[1:] for entry in REFUSED], ids=[entry[0] for entry in REFUSED]
)
def test_a_refused_operation_changes_nothing(operation: Callable[[Stage2AddressSpace], None], message: str) -> None:
    frames = Frames()
    space = Stage2AddressSpace(frames, pa_bits=44)
    space.map(GIB, 4 * GIB, GIB, RWX)
    space.map(2 * GIB + PAGE, 0, PAGE, RWX)
    before = frames.snapshot()
    with pytest.raises(Stage2Error, match=message):
        operation(space)
    assert frames.snapshot() == before


@pytest.mark.parametrize("spare", [0, 1, 2])
def test_running_out_of_frames_changes_nothing(spare: int) -> None:
    # The root, then three tables for a page in the middle of nowhere.
    frames = Frames(count=1 + spare)
    space = Stage2AddressSpace(frames, pa_bits=44)
    before = frames.snapshot()
    with pytest.raises(Stage2Error, match="no frame") as caught:
        space.map(GIB, 0, PAGE, RWX)
    assert (caught.value.ipa, caught.value.size) == (GIB, PAGE)
    assert frames.snapshot() == before


def test_running_out_of_frames_in_a_split_changes_nothing() -> None:
    frames = Frames(count=3)
    space = Stage2AddressSpace(frames, pa_bits=44)
    space.map(0, 0, GIB, RWX)
    before = frames.snapshot()
    with pytest.raises(Stage2Error, match="no frame"):
        space.unmap(PAGE, PAGE)
    assert frames.snapshot() == before
    with pytest.raises(Stage2Error, match="no frame"):
        space.protect(PAGE, PAGE, RO)
    assert frames.snapshot() == before


def test_memory_that_has_no_encoding_is_refused_and_changes_nothing() -> None:
    frames = Frames()
    space = Stage2AddressSpace(frames, pa_bits=44)
    before = frames.snapshot()
    with pytest.raises(ValueError, match="no encoding"):
        space.map(0, 0, PAGE, Stage2Attributes(True, True, True, MemoryType.NORMAL_MIXED))
    assert frames.snapshot() == before


def test_destroying_gives_all_frames_back_and_ends_the_address_space() -> None:
    frames = Frames()
    space = Stage2AddressSpace(frames, pa_bits=40)
    space.map(0, 0, 3 * GIB + MIB2 + PAGE, RWX)
    space.destroy()
    assert not frames.used
    space.destroy()
    with pytest.raises(Stage2Error, match="destroyed"):
        space.map(0, 0, PAGE, RWX)
