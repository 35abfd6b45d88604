"""The symbol table: the name of an address."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.guest.symbol import Symbol
from arm_vcpu_cli.guest.symbols import SymbolTable


def test_an_address_inside_a_symbol_has_its_name_and_an_offset() -> None:
    table = SymbolTable([Symbol("main", 0x1000, 0x20)])
    assert table.resolve(0x1000) == ("main", 0)
    assert table.resolve(0x101F) == ("main", 0x1F)
    assert (table.format(0x1000), table.format(0x1010)) == ("main", "main+0x10")


def test_an_address_outside_every_symbol_has_no_name() -> None:
    table = SymbolTable([Symbol("main", 0x1000, 0x20)])
    for address in (0, 0xFFF, 0x1020, 1 << 64):
        assert table.resolve(address) is None
        assert table.format(address) == ""


def test_an_empty_table_names_nothing() -> None:
    table = SymbolTable()
    assert (table.resolve(0), table.format(0), table.lookup("main"), len(table)) == (None, "", None, 0)


def test_a_symbol_without_a_size_reaches_to_the_next_one() -> None:
    table = SymbolTable([Symbol("a", 0x100), Symbol("b", 0x180, 0x10)])
    assert (table.format(0x17F), table.format(0x180)) == ("a+0x7f", "b")


def test_a_symbol_without_a_size_reaches_no_further_than_its_section() -> None:
    table = SymbolTable([Symbol("a", 0x100, limit=0x140), Symbol("b", 0x180, 0x10)])
    assert (table.format(0x13F), table.format(0x140)) == ("a+0x3f", "")


def test_a_label_at_the_end_of_its_section_names_that_address_only() -> None:
    table = SymbolTable([Symbol("__bss_end", 0x140, limit=0x140)])
    assert (table.format(0x140), table.format(0x141)) == ("__bss_end", "")


def test_a_size_beyond_the_section_is_cut() -> None:
    table = SymbolTable([Symbol("a", 0x100, 1 << 60, limit=0x140)])
    assert (table.format(0x13F), table.format(0x140)) == ("a+0x3f", "")


def test_behind_a_nested_symbol_the_outer_one_goes_on() -> None:
    table = SymbolTable([Symbol("outer", 0x100, 0x100), Symbol("inner", 0x120, 0x10), Symbol("in", 0x124, 4)])
    assert table.format(0x110) == "outer+0x10"
    assert table.format(0x121) == "inner+0x1"
    assert table.format(0x125) == "in+0x1"
    assert table.format(0x12C) == "inner+0xc"
    assert table.format(0x130) == "outer+0x30"
    assert table.format(0x200) == ""


def test_many_symbols_inside_another_do_not_hide_it() -> None:
    inside = [Symbol(f"local{index}", 0x1000 + index * 8, 4) for index in range(1, 500)]
    table = SymbolTable([Symbol("outer", 0x1000, 0x2000), *inside])
    assert table.format(0x2F00) == "outer+0x1f00"


def test_of_several_names_of_one_address_the_lowest_rank_is_shown_and_all_can_be_looked_up() -> None:
    table = SymbolTable([Symbol("alias", 0x100, 8, rank=2), Symbol("real", 0x100, 8, rank=0)])
    assert table.format(0x104) == "real+0x4"
    assert (table.lookup("alias"), table.lookup("real")) == (0x100, 0x100)


def test_of_several_addresses_of_one_name_the_lowest_rank_is_looked_up() -> None:
    table = SymbolTable([Symbol("init", 0x100, 8, rank=2), Symbol("init", 0x200, 8, rank=0)])
    assert table.lookup("init") == 0x200
    assert (table.format(0x100), table.format(0x200)) == ("init", "init")


def test_mapping_symbols_are_dropped_and_their_lookalikes_kept() -> None:
    names = ["$x", "$d", "$x.1", "$d.foo", "$xyz", "$a"]
    table = SymbolTable([Symbol(name, 0x100 * index, 0x10) for index, name in enumerate(names)])
    assert [name for name in names if table.lookup(name) is not None] == ["$xyz", "$a"]
    assert table.format(0) == ""


def test_an_absolute_value_is_no_place_and_is_not_moved() -> None:
    table = SymbolTable([Symbol("size", 0x100, is_place=False), Symbol("main", 0x80, 0x10)], bias=0x1000)
    assert (table.lookup("size"), table.format(0x100), table.format(0x1100)) == (0x100, "", "")
    assert table.lookup("main") == 0x1080


def test_addresses_move_by_the_bias() -> None:
    table = SymbolTable([Symbol("a", 0x100, 8), Symbol("b", 0x200, limit=0x210)], bias=0x4000_0000)
    assert table.format(0x4000_0104) == "a+0x4"
    assert table.format(0x4000_020F) == "b+0xf"
    assert (table.format(0x104), table.format(0x4000_0210)) == ("", "")


# Extents and names -------------------------------------------------------------------------------------------------


def test_the_extent_of_a_symbol_ends_behind_it() -> None:
    table = SymbolTable([Symbol("main", 0x1000, 0x20), Symbol("next", 0x1100)], bias=0x4000_0000)
    assert table.extent("main") == (0x4000_1000, 0x4000_1020)
    assert table.extent("missing") is None


def test_the_extent_of_a_symbol_without_a_size_reaches_to_the_next_one_or_its_section() -> None:
    table = SymbolTable([Symbol("a", 0x100), Symbol("b", 0x180, limit=0x1C0), Symbol("c", 0x200)])
    assert [table.extent(name) for name in "abc"] == [(0x100, 0x180), (0x180, 0x1C0), (0x200, 0x201)]


def test_the_extent_of_a_name_that_is_not_the_shown_one_of_its_address_is_the_same() -> None:
    table = SymbolTable([Symbol("alias", 0x100, 8, rank=2), Symbol("real", 0x100, 8, rank=0)])
    assert table.extent("alias") == table.extent("real") == (0x100, 0x108)


def test_the_extent_of_a_name_of_several_places_is_that_of_the_one_that_is_looked_up() -> None:
    table = SymbolTable([Symbol("init", 0x100, 8, rank=2), Symbol("init", 0x200, 0x10, rank=0)])
    assert table.extent("init") == (0x200, 0x210)


def test_an_absolute_value_has_the_extent_of_an_address() -> None:
    table = SymbolTable([Symbol("size", 0x104, is_place=False), Symbol("main", 0x100, 0x10)])
    assert table.extent("size") == (0x104, 0x105)


def test_all_names_are_known_and_mapping_symbols_are_none() -> None:
    table = SymbolTable([Symbol("a", 0x100), Symbol("b", 0x100), Symbol("$x", 0x100), Symbol("n", 1, is_place=False)])
    assert set(table.names()) == {"a", "b", "n"}


def test_names_that_are_close_to_one_are_few_and_the_closest_first() -> None:
    table = SymbolTable([Symbol(name, n) for n, name in enumerate(("uart_puts", "uart_putc", "uart_put", "main", "u"))])
    assert table.close_names("uart_putz")[0] in ("uart_puts", "uart_putc", "uart_put")
    assert len(table.close_names("uart_putz")) == 3
    assert table.close_names("mian") == ["main"]
    assert table.close_names("something else") == []


SPAN = 64


RANGES = st.dictionaries(st.integers(0, SPAN), st.integers(1, 12), max_size=12)


@given(RANGES)
def test_an_address_is_named_exactly_if_a_symbol_holds_it(ranges: dict[int, int]) -> None:
    """Compared with a search through all symbols; they may overlap in any way."""
    table = SymbolTable([Symbol(f"s{start}", start, size) for start, size in ranges.items()])
    for address in range(SPAN + 16):
        holders = [start for start, size in ranges.items() if start <= address < start + size]
        found = table.resolve(address)
        if not holders:
            assert found is None
        else:
            assert found == (f"s{max(holders)}", address - max(holders))


@given(RANGES)
def test_what_lies_in_the_extent_of_a_symbol_is_named_after_it_or_one_that_begins_later(ranges: dict[int, int]) -> None:
    table = SymbolTable([Symbol(f"s{start}", start, size) for start, size in ranges.items()])
    for start in ranges:
        extent = table.extent(f"s{start}")
        assert extent == (start, start + ranges[start])
        for address in range(*extent):
            found = table.resolve(address)
            assert found is not None
            assert int(found[0][1:]) >= start
