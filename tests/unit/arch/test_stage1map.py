"""The whole map of stage 1, against the walk of single addresses."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arch.registers.el1regs import Sctlr, Tcr
from arm_vcpu_cli.arch.translation import stage1map
from arm_vcpu_cli.arch.translation.stage1map import MAX_TABLES, Mapped, Stage1Map, TooManyTablesError
from arm_vcpu_cli.arch.translation.stage1walk import walk_stage1
from arm_vcpu_cli.arch.translation.walk import Walk
from tests.support import means

ON = int(Sctlr.of(M=1))
TCR = int(Tcr.of(T0SZ=25, T1SZ=25, TG1=2, IPS=5))
MAIR = 0x44FF00
ROOT = 0x8000_0000
TABLE = 0x1000
AF, NG = 1 << 10, 1 << 11
TABLES = 6


class Memory:
    """Tables of 4 KiB side by side from ``ROOT`` on."""

    def __init__(self, count: int = TABLES) -> None:
        self.words = [0] * (512 * count)

    def set(self, table: int, index: int, word: int) -> None:
        self.words[512 * table + index] = word

    def read_u64(self, address: int) -> int | None:
        index = (address - ROOT) // 8
        return self.words[index] if 0 <= index < len(self.words) else None

    def read_table(self, address: int, size: int) -> bytes | None:
        first = (address - ROOT) // 8
        if not 0 <= first <= len(self.words) - size // 8:
            return None
        return struct.pack(f"<{size // 8}Q", *self.words[first : first + size // 8])


def mapped(memory: Memory, *, upper: bool = False, tcr: int = TCR, sctlr: int = ON, pan: bool = False) -> list[Mapped]:
    tables = Stage1Map(memory.read_table, upper=upper, ttbr=ROOT, tcr=tcr, sctlr=sctlr, mair=MAIR, pan=pan)
    return list(tables.mappings())


def table_at(number: int) -> int:
    return ROOT + TABLE * number | 3


def test_pages_side_by_side_are_one_region() -> None:
    memory = Memory()
    memory.set(0, 1, table_at(1))
    memory.set(1, 0, table_at(2))
    for index in range(4, 8):
        memory.set(2, index, 0x9000_0000 + TABLE * index | AF | 3)
    memory.set(2, 8, 0x9000_8000 | AF | NG | 3)
    memory.set(1, 1, 0x4020_0000 | AF | 1)
    first, second, third = mapped(memory)
    assert (first.va, first.ipa, first.size, first.level) == (0x4000_4000, 0x9000_4000, 0x4000, 3)
    assert (second.va, second.size, second.el1.not_global) == (0x4000_8000, TABLE, True)
    assert (third.va, third.ipa, third.size, third.level) == (0x4020_0000, 0x4020_0000, 0x20_0000, 2)


def test_the_upper_half_ends_at_the_top() -> None:
    memory = Memory()
    memory.set(0, 511, 0x4000_0000 | AF | 1)
    (region,) = mapped(memory, upper=True)
    assert (region.va, region.va + region.size) == (0xFFFF_FFFF_C000_0000, 1 << 64)


def test_what_is_beyond_the_output_size_is_not_mapped() -> None:
    tcr = int(Tcr(TCR).replace(IPS=0))
    memory = Memory()
    memory.set(0, 0, 1 << 32 | AF | 1)
    memory.set(0, 1, table_at(1))
    memory.set(0, 2, table_at(1) | 1 << 32)
    memory.set(1, 0, table_at(2))
    for index in range(8):
        memory.set(2, index, 0xFFFF_C000 + TABLE * index | AF | 3)
    (region,) = mapped(memory, tcr=tcr)
    assert (region.va, region.ipa, region.size) == (0x4000_0000, 0xFFFF_C000, 0x4000)
    assert mapped(memory, tcr=tcr | int(Tcr.of(EPD0=1))) == []


def test_a_root_beyond_the_output_size_maps_nothing() -> None:
    memory = Memory()
    memory.set(0, 1, 0x4000_0000 | AF | 1)
    tables = Stage1Map(memory.read_table, upper=False, ttbr=ROOT | 1 << 44, tcr=TCR, sctlr=ON, mair=MAIR, pa_bits=44)
    assert list(tables.mappings()) == []


def test_tables_of_a_big_endian_guest() -> None:
    memory = Memory()
    memory.set(0, 1, int.from_bytes((0x4000_0000 | AF | 1).to_bytes(8, "little"), "big"))
    (region,) = mapped(memory, sctlr=int(Sctlr.of(M=1, EE=1)))
    assert (region.va, region.ipa, region.size) == (0x4000_0000, 0x4000_0000, 1 << 30)


@pytest.mark.parametrize(("tcr", "sctlr"), [(TCR, 0), (TCR | int(Tcr.of(EPD0=1)), ON)])
def test_nothing_is_mapped_where_no_walk_is_made(tcr: int, sctlr: int) -> None:
    memory = Memory()
    memory.set(0, 1, 0x4000_0000 | AF | 1)
    assert mapped(memory, tcr=tcr, sctlr=sctlr) == []


def test_tables_without_end_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage1map, "MAX_TABLES", 1000)
    memory = Memory(1)
    for index in range(512):
        memory.set(0, index, table_at(0))
    tables = Stage1Map(memory.read_table, upper=False, ttbr=ROOT, tcr=TCR, sctlr=ON, mair=MAIR)
    with pytest.raises(TooManyTablesError, match="more than 1000 tables"):
        for _ in tables.mappings():
            pass


def test_what_was_found_before_tables_without_end_is_told_and_where_they_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage1map, "MAX_TABLES", 1000)
    memory = Memory(2)
    memory.set(0, 0, 0x4000_0000 | AF | 1)
    for index in range(1, 512):
        memory.set(0, index, table_at(1))
    for index in range(512):
        memory.set(1, index, table_at(1))
    memory.set(1, 511, 0)
    found: list[Mapped] = []
    tables = Stage1Map(memory.read_table, upper=False, ttbr=ROOT, tcr=TCR, sctlr=ON, mair=MAIR)
    with pytest.raises(TooManyTablesError) as caught:
        found.extend(tables.mappings())
    assert (found[0].va, found[0].ipa, found[0].size) == (0, 0x4000_0000, 1 << 30)
    assert found[-1].va + found[-1].size <= caught.value.va


def test_tables_without_end_cost_little() -> None:
    """Every descriptor is a table, which at the last level is a page: 16 million of them, all the same 512."""
    code = """
import struct
from arm_vcpu_cli.arch.translation.stage1map import Stage1Map, TooManyTablesError
from tests.unit.arch.test_stage1map import AF, MAIR, ON, ROOT, TABLE, TCR
content = struct.pack("<512Q", *[ROOT | 3 | AF] + [ROOT + TABLE * n | 3 | AF for n in range(511)])
tables = Stage1Map(lambda address, size: content, upper=False, ttbr=ROOT, tcr=TCR, sctlr=ON, mair=MAIR)
count = 0
try:
    for _ in tables.mappings():
        count += 1
except TooManyTablesError as error:
    print(count, hex(error.va))
"""
    count, beyond = means.python(code, seconds=10).split()
    assert int(count) > MAX_TABLES
    assert 0 < int(beyond, 16) < 1 << 39


def test_a_table_of_pages_that_others_share_is_the_same_everywhere() -> None:
    memory = Memory()
    memory.set(0, 0, table_at(1))
    memory.set(1, 3, table_at(2))
    memory.set(1, 9, table_at(2))
    memory.set(1, 10, table_at(2) | 1 << 63)
    for index in (0, 1, 5):
        memory.set(2, index, 0x9000_0000 + TABLE * index | AF | 3)
    found = mapped(memory)
    parts = [(0, 2 * TABLE), (5 * TABLE, TABLE)]
    assert [(each.va, each.ipa, each.size) for each in found] == [
        (table * 0x20_0000 + at, 0x9000_0000 + at, size) for table in (3, 9, 10) for at, size in parts
    ]


def test_pages_that_go_on_at_the_end_of_all_addresses_are_two_regions() -> None:
    memory = Memory()
    memory.set(0, 0, table_at(1))
    memory.set(1, 0, table_at(2))
    memory.set(2, 0, (1 << 48) - TABLE | AF | 3)
    memory.set(2, 1, 1 << 48 | AF | 3)
    assert [each.ipa for each in mapped(memory)] == [(1 << 48) - TABLE, 0]


descriptors = st.one_of(
    st.integers(1, TABLES - 1).map(table_at),
    st.tuples(st.integers(1, TABLES - 1), st.sampled_from([1 << 61, 2 << 61, 1 << 60, 1 << 59])).map(
        lambda pair: table_at(pair[0]) | pair[1]
    ),
    st.tuples(
        st.integers(0, 7),
        st.sampled_from([0, AF, AF | NG]),
        st.integers(0, 3),
        st.integers(0, 3),
        st.integers(0, 2),
        st.sampled_from([1, 3]),
    ).map(lambda f: f[0] << 30 | f[3] << 12 | f[1] | f[2] << 6 | f[3] << 53 | f[4] << 2 | f[5]),
)
ENTRIES = st.dictionaries(st.tuples(st.integers(0, TABLES - 1), st.integers(0, 3)), descriptors, max_size=16)


@given(ENTRIES, st.booleans(), st.booleans())
def test_the_map_says_what_walks_say(entries: dict[tuple[int, int], int], pan: bool, wxn: bool) -> None:
    memory = Memory()
    for (table, index), word in entries.items():
        memory.set(table, index, word)
    sctlr = int(Sctlr.of(M=1, WXN=int(wxn)))

    def walk(va: int, el: int) -> Walk:
        return walk_stage1(
            memory.read_u64, ttbr0=ROOT, ttbr1=0, tcr=TCR, sctlr=sctlr, mair=MAIR, va=va, el=el, pan=pan and el == 1
        )

    end = 0
    for region in mapped(memory, sctlr=sctlr, pan=pan):
        assert region.va >= end
        if region.va > end:
            for gap in (end, region.va - 1):
                assert walk(gap, 1).size == 0
        end = region.va + region.size
        for va in (region.va, region.va + region.size // 2, end - 1):
            for el, attributes in ((0, region.el0), (1, region.el1)):
                found = walk(va, el)
                assert found.attributes == attributes
                assert found.output == (region.ipa + va - region.va if region.accessed else None)
