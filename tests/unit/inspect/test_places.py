"""Addresses as people name them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.guest.symbol import Symbol
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.inspect.tables.places import check, code_address, resolve
from arm_vcpu_cli.vm.runner import run_machine
from tests.support.fake_core import Trap
from tests.support.fake_machine import ENTRY, machine

SYMBOLS = SymbolTable([Symbol("main", 0x1000, 0x40), Symbol("main+1", 0x2000, 4), Symbol("operator-", 0x3000)])


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0x40080000", 0x4008_0000),
        ("0x4008_0000", 0x4008_0000),
        ("4096", 4096),
        ("0x10+8", 0x18),
        ("40080000", 0x4008_0000),
        ("ffff800008010000", 0xFFFF_8000_0801_0000),
        ("0000000040080000", 0x4008_0000),
        ("[<ffff800008010000>]", 0xFFFF_8000_0801_0000),
        ("main", ENTRY),
        ("main+0x10", ENTRY + 0x10),
        ("<main+0x10>", ENTRY + 0x10),
        ("main+0x10/0x40", ENTRY + 0x10),
        ("leaf-4", ENTRY + 0xFC),
        ("pc", ENTRY),
        ("PC+4", ENTRY + 4),
        ("x5", 0x1234),
        ("x29", 0x4000_1000),
        ("fp", 0x4000_1000),
        ("lr-4", ENTRY + 0x104),
        ("x5-0x2000", 2**64 - 0xDCC),
        ("TTBR0_EL1", 0x4008_7000),
        ("far_el1", 0xDEAD),
    ],
)
def test_what_an_address_is_called(text: str, address: int) -> None:
    registers = {5: 0x1234, 29: 0x4000_1000, 30: ENTRY + 0x108}
    with machine([Trap(0x3F << 26, regs=registers)]) as (made, core, _):
        run_machine(made, Watchdog(core.stop))
        made.current.arch.guest_system_regs["TTBR0_EL1"] = 0x0012_0000_4008_7001
        made.current.arch.guest_system_regs["FAR_EL1"] = 0xDEAD
        assert resolve(text, made) == address


def test_a_symbol_that_looks_like_a_number_is_meant_by_its_name() -> None:
    symbols = SymbolTable([Symbol("deadbeef", 0x1000, 4)])
    assert code_address("deadbeef", symbols) == 0x1000
    assert code_address("deadbee0", symbols) == 0xDEAD_BEE0


def test_a_symbol_may_have_signs_in_its_name() -> None:
    for name in ("main+1", "operator-"):
        check(name, SYMBOLS)
    assert code_address("main+1", SYMBOLS) == 0x2000
    assert code_address("operator--4", SYMBOLS) == 0x2FFC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing",
        "main+",
        "0x",
        "x31",
        "-1",
        "0x1_0000_0000_0000_0000",
        "main+main",
        "SCTLR_EL1",
        "99999999999999999999",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected an address"):
        check(text, SYMBOLS)


def test_an_instruction_is_named_by_function_offset_or_address() -> None:
    assert code_address("main", SYMBOLS) == 0x1000
    assert code_address("main+4", SYMBOLS) == 0x1004
    assert code_address("0x1000", SYMBOLS) == 0x1000
    assert code_address("main-0x1004", SYMBOLS) == 2**64 - 4
    with pytest.raises(UsageError, match=r"pc: expected an address such as 0x40080000, a function"):
        code_address("pc", SYMBOLS)
    with pytest.raises(UsageError, match=r"main\+2: 0x1002 is not the address of an instruction, a multiple of 4"):
        code_address("main+2", SYMBOLS)


def test_a_name_that_is_nearly_right_is_answered_with_the_right_one() -> None:
    symbols = SymbolTable([Symbol("uart_putc", 0x1000, 4)])
    for refuse in (check, code_address):
        with pytest.raises(UsageError, match=r"\(did you mean uart_putc\?\)$"):
            refuse("uart_puc", symbols)
        with pytest.raises(UsageError, match=r"\(the guest has no symbols; add some with --symbols FILE\)$"):
            refuse("main", SymbolTable())


@given(st.text(max_size=30))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        check(text, SYMBOLS)
        code_address(text, SYMBOLS)
    except UsageError as error:
        assert "expected an address" in str(error) or "a multiple of 4" in str(error)
