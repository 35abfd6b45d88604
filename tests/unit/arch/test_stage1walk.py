"""The stage-1 walk through tables written by hand."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from arm_vcpu_cli.arch.registers.el1regs import Sctlr, Tcr
from arm_vcpu_cli.arch.translation.memtype import Access, MemoryType
from arm_vcpu_cli.arch.translation.stage1walk import walk_stage1
from arm_vcpu_cli.arch.translation.walk import Stage1Attributes, Walk, WalkFault

from .tables import Words

ROOT, L1, L2, L3 = 0x8000_0000, 0x8001_0000, 0x8002_0000, 0x8003_0000
ON = int(Sctlr.of(M=1))
WXN = int(Sctlr.of(M=1, WXN=1))
# 48-bit halves, 4 KiB granule in both, 48-bit output.
TCR = Tcr.of(T0SZ=16, T1SZ=16, TG1=2, IPS=5)
# Attr0 Device-nGnRnE, Attr1 Normal write-back, Attr2 Normal non-cacheable.
MAIR = 0x44FF00
AF, PXN, UXN, NG = 1 << 10, 1 << 53, 1 << 54, 1 << 11
EL1_RW, BOTH_RW, EL1_RO, BOTH_RO = 0 << 6, 1 << 6, 2 << 6, 3 << 6
WB = 1 << 2
VA = 0x80_4020_3000
"""Indices 1, 1, 1, 3 with the 4 KiB granule."""


def tables(leaf: int, *, limits: int = 0) -> Words:
    return Words({ROOT + 8: L1 | 3 | limits, L1 + 8: L2 | 3, L2 + 8: L3 | 3, L3 + 24: leaf})


def walk(
    words: Words,
    va: int = VA,
    access: Access | None = None,
    *,
    tcr: int = TCR,
    sctlr: int = ON,
    ttbr1: int = 0,
    el: int = 1,
    pan: bool = False,
) -> Walk:
    return walk_stage1(
        words.read,
        ttbr0=ROOT,
        ttbr1=ttbr1,
        tcr=tcr,
        sctlr=sctlr,
        va=va,
        access=access,
        el=el,
        pan=pan,
        mair=MAIR,
    )


def test_a_page_is_found_through_four_levels() -> None:
    found = walk(tables(0x9000_0003 | AF | WB | NG | 3 << 8), VA + 0x123, Access.WRITE)
    assert (found.output, found.fault, found.size) == (0x9000_0123, None, 0x1000)
    assert [(step.level, step.address, step.kind) for step in found.steps] == [
        (0, ROOT + 8, "table"),
        (1, L1 + 8, "table"),
        (2, L2 + 8, "table"),
        (3, L3 + 24, "page"),
    ]
    assert found.attributes == Stage1Attributes(
        read=True, write=True, execute=True, memory=MemoryType.NORMAL, shareability=3, not_global=True
    )


def test_the_attribute_index_selects_from_mair() -> None:
    for index, memory in enumerate((MemoryType.DEVICE_nGnRnE, MemoryType.NORMAL, MemoryType.NORMAL_NC)):
        attributes = walk(tables(0x9000_0003 | AF | index << 2)).attributes
        assert attributes is not None
        assert attributes.memory is memory


def test_bit_55_selects_the_half() -> None:
    words = Words({0xA000_0000 + 511 * 8: 0xA000_1003, 0xA000_1000 + 511 * 8: 0x4000_0001 | AF})
    found = walk(words, 0xFFFF_FFFF_C000_1234, ttbr1=0xA000_0000)
    assert (found.output, found.size) == (0x4000_1234, 0x4000_0000)


class Granule(NamedTuple):
    name: str
    tg0: int
    t0sz: int
    levels: tuple[tuple[int, int], ...]
    """(address of the table, index) from the start level on; the last is a leaf."""
    va: int
    leaf: int
    output: int
    size: int


GRANULES = [
    Granule(
        "4K, 39 bits, 2 MiB block",
        0,
        25,
        ((ROOT, 1), (L1, 2)),
        0x4040_1234,
        0x4020_0001,
        0x4020_1234,
        1 << 21,
    ),
    Granule("4K, 25 bits, page", 0, 39, ((ROOT, 1), (L1, 5)), 0x20_5678, 0x4000_1003, 0x4000_1678, 1 << 12),
    Granule(
        "16K, 47 bits, page",
        2,
        17,
        ((ROOT, 1), (L1, 2), (L2, 3)),
        0x10_0400_C004,
        0x4000_4003,
        0x4000_4004,
        1 << 14,
    ),
    Granule("16K, 36 bits, block", 2, 28, ((ROOT, 2),), 0x400_0008, 0x4200_0001, 0x4200_0008, 1 << 25),
    Granule("64K, 42 bits, block", 1, 22, ((ROOT, 1),), 0x2000_0010, 0x6000_0001, 0x6000_0010, 1 << 29),
    Granule(
        "64K, 48 bits, page",
        1,
        16,
        ((ROOT, 1), (L1, 2), (L2, 3)),
        0x400_4003_0000,
        0x4001_0003,
        0x4001_0000,
        1 << 16,
    ),
]


@pytest.mark.parametrize("granule", GRANULES, ids=[granule.name for granule in GRANULES])
def test_granules_and_address_sizes(granule: Granule) -> None:
    words = Words()
    for (table, index), (after, _) in zip(granule.levels, granule.levels[1:], strict=False):
        words[table + index * 8] = after | 3
    table, index = granule.levels[-1]
    words[table + index * 8] = granule.leaf | AF
    found = walk(words, granule.va, tcr=Tcr.of(T0SZ=granule.t0sz, TG0=granule.tg0, IPS=5))
    assert (found.output, found.size, found.fault) == (granule.output, granule.size, None)
    assert len(found.steps) == len(granule.levels)


def test_64k_tables_with_52_bit_addresses() -> None:
    # IPS = 6: bits 51:48 of addresses are in bits 15:12 of a descriptor and in bits 5:2 of TTBR.
    tcr = Tcr.of(T0SZ=22, TG0=1, IPS=6)
    words = Words({(5 << 48 | 0x8000_0000) + 8: 0x6000_0001 | AF | 9 << 12})
    found = walk_stage1(words.read, ttbr0=0x8000_0000 | 5 << 2, ttbr1=0, tcr=tcr, sctlr=ON, va=0x2000_0010, pa_bits=52)
    assert found.output == 9 << 48 | 0x6000_0010


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (Words({ROOT: 0}), WalkFault("translation", 0, 0x04)),
        (Words({ROOT + 8: 0x4000_0001 | AF}), WalkFault("translation", 0, 0x04)),
        (Words({ROOT + 8: L1 | 3, L1: 0}), WalkFault("translation", 1, 0x05)),
        (tables(0x9000_0001 | AF), WalkFault("translation", 3, 0x07)),
        (tables(0x9000_0003), WalkFault("access flag", 3, 0x0B)),
        (Words(), WalkFault("external", 0, 0x14)),
        (Words({ROOT + 8: L1 | 3, L1 + 8: L2 | 3}), WalkFault("external", 2, 0x16)),
    ],
)
def test_faults_carry_their_level_and_code(words: Words, fault: WalkFault) -> None:
    found = walk(words)
    assert (found.output, found.fault) == (None, fault)


def test_addresses_beyond_ips_fault_where_they_are_met() -> None:
    tcr = TCR.replace(IPS=2)
    assert walk(tables(1 << 40 | 3 | AF), tcr=tcr).fault == WalkFault("address size", 3, 3)
    assert walk(Words({ROOT + 8: 1 << 40 | 3}), tcr=tcr).fault == WalkFault("address size", 0, 0)
    found = walk_stage1(Words().read, ttbr0=1 << 40, ttbr1=0, tcr=tcr, sctlr=ON, va=VA)
    assert found.fault == WalkFault("address size", 0, 0)


@pytest.mark.parametrize(
    ("tcr", "va"),
    [
        (TCR, 1 << 48),
        (TCR, 0xFF00_0000_0000_0000 | VA),
        (TCR, 0xFFFE_FFFF_FFFF_F000),
        (TCR.replace(EPD0=1), VA),
        (TCR.replace(EPD1=1), 0xFFFF_FFFF_FFFF_F000),
    ],
)
def test_addresses_outside_the_halves_and_disabled_halves_fault_at_level_0(tcr: int, va: int) -> None:
    found = walk(tables(0x9000_0003 | AF), va, tcr=tcr, ttbr1=ROOT)
    assert (found.fault, found.steps) == (WalkFault("translation", 0, 4), ())


def test_the_top_byte_is_ignored_where_tbi_says_so() -> None:
    words, tagged = tables(0x9000_0003 | AF), 0xAB00_0000_0000_0000 | VA
    tcr = TCR.replace(TBI0=1)
    assert walk(words, tagged, tcr=tcr).output == 0x9000_0000
    assert walk(words, tagged, Access.EXECUTE, tcr=tcr).output == 0x9000_0000
    assert walk(words, tagged, Access.EXECUTE, tcr=tcr.replace(TBID0=1)).fault == WalkFault("translation", 0, 4)
    assert walk(words, tagged, Access.READ, tcr=tcr.replace(TBID0=1)).output == 0x9000_0000


def test_e0pd_keeps_el0_out_of_a_half() -> None:
    words, tcr = tables(0x9000_0003 | AF | BOTH_RW), TCR.replace(E0PD0=1)
    assert walk(words, access=Access.READ, tcr=tcr, el=0).fault == WalkFault("translation", 0, 4)
    assert walk(words, access=Access.READ, tcr=tcr).output == 0x9000_0000


def allowed(words: Words, *, el: int, sctlr: int = ON, tcr: int = TCR, pan: bool = False) -> str:
    letters = ""
    for access, letter in ((Access.READ, "r"), (Access.WRITE, "w"), (Access.EXECUTE, "x")):
        found = walk(words, access=access, el=el, sctlr=sctlr, tcr=tcr, pan=pan)
        if found.fault is None:
            letters += letter
        else:
            assert found.fault == WalkFault("permission", 3, 0x0F)
    return letters


@pytest.mark.parametrize(
    ("bits", "el1", "el0"),
    [
        (EL1_RW, "rwx", "x"),
        (BOTH_RW, "rw", "rwx"),
        (EL1_RO, "rx", "x"),
        (BOTH_RO, "rx", "rx"),
        (EL1_RW | PXN, "rw", "x"),
        (EL1_RW | UXN, "rwx", ""),
        (BOTH_RO | UXN, "rx", "r"),
        (BOTH_RO | PXN | UXN, "r", "r"),
    ],
)
def test_permissions_of_a_page(bits: int, el1: str, el0: str) -> None:
    words = tables(0x9000_0003 | AF | bits)
    assert allowed(words, el=1) == el1
    assert allowed(words, el=0) == el0


@pytest.mark.parametrize(
    ("limits", "bits", "el1", "el0"),
    [
        (1 << 61, BOTH_RW, "rwx", "x"),
        (2 << 61, BOTH_RW, "rx", "rx"),
        (3 << 61, BOTH_RW, "rx", "x"),
        (1 << 60, BOTH_RO, "rx", "r"),
        (1 << 59, BOTH_RO, "r", "rx"),
    ],
)
def test_a_table_limits_what_is_below_it(limits: int, bits: int, el1: str, el0: str) -> None:
    words = tables(0x9000_0003 | AF | bits, limits=limits)
    assert allowed(words, el=1) == el1
    assert allowed(words, el=0) == el0
    unlimited = tables(0x9000_0003 | AF | bits)
    hpd = TCR.replace(HPD0=1)
    assert allowed(words, el=0, tcr=hpd) == allowed(unlimited, el=0)


def test_wxn_makes_writable_memory_not_executable() -> None:
    assert allowed(tables(0x9000_0003 | AF | EL1_RW), el=1, sctlr=WXN) == "rw"
    assert allowed(tables(0x9000_0003 | AF | BOTH_RW), el=0, sctlr=WXN) == "rw"
    assert allowed(tables(0x9000_0003 | AF | EL1_RO), el=1, sctlr=WXN) == "rx"


def test_pan_keeps_el1_data_accesses_from_what_el0_can_reach() -> None:
    assert allowed(tables(0x9000_0003 | AF | BOTH_RO), el=1, pan=True) == "x"
    assert allowed(tables(0x9000_0003 | AF | EL1_RW), el=1, pan=True) == "rwx"
    assert allowed(tables(0x9000_0003 | AF | BOTH_RO), el=0, pan=True) == "rx"
    epan = int(Sctlr.of(M=1, EPAN=1))
    assert allowed(tables(0x9000_0003 | AF | EL1_RW), el=1, pan=True, sctlr=epan) == "x"
    assert allowed(tables(0x9000_0003 | AF | EL1_RW | UXN), el=1, pan=True, sctlr=epan) == "rwx"


def test_with_the_mmu_off_addresses_are_flat() -> None:
    found = walk(Words(), 0x4000_1234, Access.WRITE, sctlr=0)
    assert (found.output, found.steps, found.size) == (0x4000_1234, (), 0)
    assert found.attributes is not None
    assert found.attributes.memory is MemoryType.DEVICE_nGnRnE
    assert walk(Words(), 1 << 48, sctlr=0).fault == WalkFault("address size", 0, 0)
    assert walk(Words(), 0x5A << 56 | 0x1000, sctlr=0, tcr=TCR.replace(TBI0=1)).output == 0x1000


def test_big_endian_tables() -> None:
    swapped = Words(
        {
            address: int.from_bytes(word.to_bytes(8, "little"), "big")
            for address, word in tables(0x9000_0003 | AF).items()
        }
    )
    assert walk(swapped, sctlr=int(Sctlr.of(M=1, EE=1))).output == 0x9000_0000
    assert walk(swapped).fault is not None
