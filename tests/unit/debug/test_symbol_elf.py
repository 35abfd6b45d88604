"""Symbols written to an ELF file read back unchanged."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.debug.symbol_elf import symbol_elf
from arm_vcpu_cli.guest.elf import read_elf_symbols
from arm_vcpu_cli.guest.symbol import Symbol
from arm_vcpu_cli.guest.symbols import SymbolTable

ADDRESSES = st.integers(0, (1 << 64) - 0x1000)


@given(st.dictionaries(st.text("abc_$.0", min_size=1, max_size=6), ADDRESSES, max_size=20))
def test_symbols_come_back(places: dict[str, int]) -> None:
    given_ones = SymbolTable(Symbol(name, address, 8) for name, address in places.items())
    found = read_elf_symbols(Path("made.elf"), symbol_elf(given_ones))
    assert {name: found.lookup(name) for name in found.names()} == {
        name: given_ones.lookup(name) for name in given_ones.names()
    }


def test_far_apart_are_in_sections_of_their_own() -> None:
    near = SymbolTable([Symbol("a", 0x1000, 4), Symbol("b", 0x2000, 4)])
    far = SymbolTable([Symbol("a", 0x1000, 4), Symbol("b", 0xFFFF_8000_0000_0000, 4)])
    assert len(symbol_elf(far)) - len(symbol_elf(near)) == 64
