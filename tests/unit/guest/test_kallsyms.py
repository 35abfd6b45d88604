"""The symbols in a kernel's own memory: found without any help, and decoded one at a time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arm_vcpu_cli.guest.kallsyms import KernelSymbols, find_kallsyms
from tests.unit.guest.kallsyms_writer import BASE, Order, kernel_with, many_symbols

SYMBOLS = many_symbols()


def symbols_of(kernel: bytes) -> KernelSymbols:
    found = find_kallsyms(kernel)
    assert found is not None
    return KernelSymbols(kernel, found, int.from_bytes(kernel[found.base : found.base + 8], "little"))


@pytest.mark.parametrize("order", Order)
def test_each_symbol_is_found_by_its_address(order: Order) -> None:
    symbols = symbols_of(kernel_with(SYMBOLS, order))
    assert len(symbols) == len(SYMBOLS)
    for number in (0, 1, 255, 256, 257, 699, 701, 1000, len(SYMBOLS) - 2):
        offset, name = SYMBOLS[number]
        assert symbols.resolve(BASE + offset + 4) == (name[1:], 4)
        assert symbols.format(BASE + offset) == name[1:]


def test_outside_of_the_kernel_there_is_no_name() -> None:
    symbols = symbols_of(kernel_with(SYMBOLS))
    for address in (0, BASE, BASE + SYMBOLS[0][0] - 1, BASE + SYMBOLS[-1][0], BASE + SYMBOLS[-1][0] + 4, (1 << 64) - 1):
        assert symbols.resolve(address) is None


def test_of_several_names_the_first_is_shown_and_each_is_known() -> None:
    symbols = symbols_of(kernel_with(SYMBOLS))
    place = BASE + SYMBOLS[699][0]
    assert symbols.format(place) == "function_699"
    assert symbols.lookup("function_699") == symbols.lookup("alias") == place
    assert symbols.lookup("nothing") is None


def test_a_long_name_has_a_length_of_two_bytes() -> None:
    long = "t" + "x" * 300
    kernel = kernel_with([(0, long), *SYMBOLS])
    assert symbols_of(kernel).format(BASE) == long[1:]


def test_names_show_nothing_to_a_terminal() -> None:
    kernel = kernel_with([(0, "tab"), *SYMBOLS]).replace(b"<27>\0", b"\x1b[2J\0"[:5])
    found = find_kallsyms(kernel.replace(b"\3tab", b"\3t\x1bb"))
    assert found is None or "\x1b" not in KernelSymbols(kernel, found, BASE).format(BASE)


@pytest.mark.parametrize("part", [b"0\x001\x002", b"\xe8\x03"])
def test_what_is_no_kernel_has_none(part: bytes) -> None:
    assert find_kallsyms(part * 100) is None
    assert find_kallsyms(kernel_with(SYMBOLS[:20])) is None
    assert find_kallsyms(b"") is None


@settings(max_examples=60)
@given(st.data())
def test_damaged_tables_are_no_error(data: st.DataObject) -> None:
    kernel = bytearray(kernel_with(SYMBOLS, data.draw(st.sampled_from(Order)), before=64))
    for _ in range(data.draw(st.integers(0, 8))):
        kernel[data.draw(st.integers(0, len(kernel) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(kernel[: data.draw(st.integers(0, len(kernel)))])
    found = find_kallsyms(cut)
    if found is not None:
        symbols = KernelSymbols(cut, found, BASE)
        for offset, _ in SYMBOLS[::100]:
            assert symbols.format(BASE + offset).isprintable()


def test_a_guest_cannot_make_the_search_long() -> None:
    # Each word looks like the number of the symbols, and what follows it like names.
    number = (1_000_000).to_bytes(8, "little")
    hostile = kernel_with(SYMBOLS, before=0)[8:]
    names = (number + b"\7" + b"\1" * 7 + b"\7" + b"\1" * 7) * 20_000
    assert find_kallsyms(names + hostile) is None
