"""The stage-2 walk through tables written by hand."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.translation.descriptor import Stage2Attributes
from arm_vcpu_cli.arch.translation.memtype import Access, MemoryType
from arm_vcpu_cli.arch.translation.stage2walk import walk_stage2
from arm_vcpu_cli.arch.translation.walk import WalkFault, WalkStep

from .tables import Words

# 44-bit IPAs from level 0: RES1, PS = 44 bits, inner shareable, write-back, SL0 = 2, T0SZ = 20.
VTCR_4_LEVELS = 0x80043594
# 40-bit IPAs from level 1, two concatenated root tables: PS = 40 bits, SL0 = 1, T0SZ = 24.
VTCR_3_LEVELS = 0x80023558
ROOT, L1, L2, L3 = 0x8000_0000, 0x8000_4000, 0x8000_5000, 0x8000_6000


def four_levels(leaf: int) -> Words:
    """IPA 0x80_4020_3000: indices 1, 1, 1, 3."""
    return Words({ROOT + 8: L1 | 3, L1 + 8: L2 | 3, L2 + 8: L3 | 3, L3 + 24: leaf})


IPA = 0x80_4020_3000


def test_a_page_is_found_through_four_levels() -> None:
    walk = walk_stage2(four_levels(0x9000_07FF).read, ROOT, VTCR_4_LEVELS, IPA + 0x123, Access.WRITE)
    assert walk.output == 0x9000_0123
    assert walk.fault is None
    assert (walk.size, walk.attributes) == (0x1000, Stage2Attributes(True, True, True, MemoryType.NORMAL))
    assert walk.steps == (
        WalkStep(0, ROOT + 8, L1 | 3, "table"),
        WalkStep(1, L1 + 8, L2 | 3, "table"),
        WalkStep(2, L2 + 8, L3 | 3, "table"),
        WalkStep(3, L3 + 24, 0x9000_07FF, "page"),
    )


def test_vmid_and_cnp_are_no_part_of_the_root_address() -> None:
    vttbr = 0x00AB << 48 | ROOT | 1
    assert walk_stage2(four_levels(0x9000_07FF).read, vttbr, VTCR_4_LEVELS, IPA).output == 0x9000_0000


def test_blocks_end_the_walk_early() -> None:
    words = Words({ROOT + 8: L1 | 3, L1 + 8: L2 | 3, L2 + 8: 0xA020_07FD, L1 + 16: 0xC000_07FD})
    two = walk_stage2(words.read, ROOT, VTCR_4_LEVELS, 0x80_4021_2345)
    assert (two.output, two.size, two.steps[-1].kind) == (0xA021_2345, 0x20_0000, "block")
    one = walk_stage2(words.read, ROOT, VTCR_4_LEVELS, 0x80_8765_4321)
    assert (one.output, one.size, one.steps[-1].level) == (0xC765_4321, 0x4000_0000, 1)


def test_concatenated_root_tables_are_indexed_through() -> None:
    # Bit 39 of the IPA selects the second of two tables at level 1: entry 513 of the root.
    words = Words({ROOT + 0x1008: 0x4000_07FD})
    walk = walk_stage2(words.read, ROOT, VTCR_3_LEVELS, 0x80_4000_1000)
    assert walk.output == 0x4000_1000
    assert walk.steps == (WalkStep(1, ROOT + 0x1008, 0x4000_07FD, "block"),)


def test_the_root_is_aligned_to_its_size() -> None:
    words = Words({ROOT: 0x4000_07FD})
    assert walk_stage2(words.read, ROOT + 0x1000, VTCR_3_LEVELS, 0x1000).output == 0x4000_1000


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (Words({ROOT: 0}), WalkFault("translation", 0, 0x04)),
        (Words({ROOT + 8: L1 | 3, L1: 0}), WalkFault("translation", 1, 0x05)),
        (four_levels(0), WalkFault("translation", 3, 0x07)),
        (four_levels(0x9000_07FD), WalkFault("translation", 3, 0x07)),
        (Words({ROOT + 8: 0x4000_07FD}), WalkFault("translation", 0, 0x04)),
        (four_levels(0x9000_03FF), WalkFault("access flag", 3, 0x0B)),
        (four_levels(1 << 44 | 0x7FF), WalkFault("address size", 3, 0x03)),
        (Words({ROOT + 8: 1 << 44 | 3}), WalkFault("address size", 0, 0x00)),
        (Words(), WalkFault("external", 0, 0x14)),
        (Words({ROOT + 8: L1 | 3}), WalkFault("external", 1, 0x15)),
    ],
)
def test_faults_carry_their_level_and_code(words: Words, fault: WalkFault) -> None:
    walk = walk_stage2(words.read, ROOT, VTCR_4_LEVELS, IPA, Access.READ)
    assert (walk.output, walk.fault) == (None, fault)
    assert [step.level for step in walk.steps] == list(range(fault.level + 1))


@pytest.mark.parametrize(
    ("leaf", "allowed"),
    [
        (0x9000_07FF, {Access.READ, Access.WRITE, Access.EXECUTE}),
        (0x9000_077F, {Access.READ, Access.EXECUTE}),
        (0x9000_07BF, {Access.WRITE, Access.EXECUTE}),
        (1 << 54 | 0x9000_07FF, {Access.READ, Access.WRITE}),
        (1 << 54 | 0x9000_073F, set()),
    ],
)
def test_permissions_are_checked_for_the_access(leaf: int, allowed: set[Access]) -> None:
    words = four_levels(leaf)
    for access in Access:
        walk = walk_stage2(words.read, ROOT, VTCR_4_LEVELS, IPA, access)
        if access in allowed:
            assert (walk.output, walk.fault) == (0x9000_0000, None)
        else:
            assert (walk.output, walk.fault) == (None, WalkFault("permission", 3, 0x0F))
    assert walk_stage2(words.read, ROOT, VTCR_4_LEVELS, IPA).output == 0x9000_0000


def test_hardware_management_of_the_access_flag_takes_the_fault_away() -> None:
    walk = walk_stage2(four_levels(0x9000_03FF).read, ROOT, VTCR_4_LEVELS | 1 << 21, IPA)
    assert walk.output == 0x9000_0000


@pytest.mark.parametrize(
    ("vtcr", "ipa"),
    [
        (VTCR_4_LEVELS, 1 << 44),
        (VTCR_4_LEVELS | 1 << 6, 0),  # SL0 = 3 is reserved
        (VTCR_4_LEVELS & ~0xC0, 0),  # start at level 2: 44 bits are too many
        (VTCR_3_LEVELS & ~0xC0 | 2 << 6 | 1, 0),  # start at level 0: 39 bits are too few
        (VTCR_4_LEVELS & ~0x3F | 12, 0),  # 52 bits need FEAT_LPA2
    ],
)
def test_inconsistent_controls_and_large_addresses_fault_at_level_0(vtcr: int, ipa: int) -> None:
    walk = walk_stage2(four_levels(0x9000_07FF).read, ROOT, vtcr, ipa)
    assert (walk.fault, walk.steps) == (WalkFault("translation", 0, 4), ())


def test_a_root_beyond_the_output_size_faults() -> None:
    walk = walk_stage2(Words().read, 1 << 45, VTCR_4_LEVELS, 0)
    assert walk.fault == WalkFault("address size", 0, 0)


def test_other_granules_are_refused() -> None:
    with pytest.raises(ValueError, match="granule"):
        walk_stage2(Words().read, ROOT, VTCR_4_LEVELS | 1 << 14, 0)
