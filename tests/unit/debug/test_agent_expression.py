"""Agent expressions have the value that C would give them."""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.debug.agent_expression import ExpressionError, condition_codes, evaluate

MASK = (1 << 64) - 1
SIGNED = st.integers(-(1 << 63), (1 << 63) - 1)


def no_register(number: int) -> int:
    raise KeyError(number)


def no_memory(_address: int, _size: int) -> bytes:
    return b""


def value(text: str) -> int:
    return evaluate(bytes.fromhex(text), no_register, no_memory)


def constant(number: int) -> bytes:
    return b"\x25" + struct.pack(">Q", number & MASK)


def signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


@pytest.mark.parametrize(
    ("code", "function"),
    [(0x02, operator.add), (0x03, operator.sub), (0x04, operator.mul), (0x11, operator.xor), (0x13, operator.eq)],
)
@given(SIGNED, SIGNED)
def test_arithmetic(code: int, function: Callable[[int, int], int], first: int, second: int) -> None:
    found = evaluate(constant(first) + constant(second) + bytes((code, 0x27)), no_register, no_memory)
    assert found == function(first, second) & MASK


@given(SIGNED, SIGNED.filter(bool))
def test_division_goes_towards_zero(first: int, second: int) -> None:
    both = constant(first) + constant(second)
    quotient = signed(evaluate(both + b"\x05\x27", no_register, no_memory))
    rest = signed(evaluate(both + b"\x07\x27", no_register, no_memory))
    assert (quotient * second + rest) & MASK == first & MASK
    assert abs(rest) < abs(second)
    assert rest == 0 or (rest < 0) == (first < 0)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("22 05 27", 5),
        ("23 01 00 27", 256),
        ("22 ff 16 08 27", MASK),
        ("22 ff 2a 04 27", 15),
        ("22 00 0e 27", 1),
        ("22 05 0e 27", 0),
        ("22 00 12 27", MASK),
        ("22 01 22 3f 09 22 3f 0a 27", MASK),
        ("22 01 22 3f 09 22 3f 0b 27", 1),
        ("22 01 22 40 09 27", 0),
        ("22 01 22 40 0b 27", 0),
        ("22 00 12 22 01 14 27", 1),
        ("22 00 12 22 01 15 27", 0),
        ("22 01 20 00 09 22 07 00 00 22 08 27", 8),
        ("22 01 22 02 2b 03 27", 1),
        ("22 01 28 02 27", 2),
        ("22 01 22 02 29 27", 1),
        ("22 01 22 02 22 03 33 29 27", 1),
        ("22 01 22 02 32 01 27", 1),
        ("21 00 05 ff ff 22 09 27", 9),
    ],
)
def test_operations(code: str, expected: int) -> None:
    assert value(code) == expected


def test_registers_and_memory() -> None:
    code = bytes.fromhex("260003 22 08 02 19 27")
    assert evaluate(code, {3: 0x1000}.__getitem__, lambda address, size: bytes((address & 0xFF, 2, 3, 4))[:size]) == (
        0x04030208
    )


@pytest.mark.parametrize("code", ["", "27", "22", "22 01", "02 27", "ff", "21 00 00", "26 00 01 27", "22 01 17 27"])
def test_what_cannot_be_evaluated(code: str) -> None:
    with pytest.raises(ExpressionError):
        value(code)


@given(st.binary(max_size=40))
def test_no_code_breaks_anything(code: bytes) -> None:
    try:
        found = evaluate(code, lambda _number: MASK, lambda _address, size: bytes(size))
    except ExpressionError:
        return
    assert 0 <= found <= MASK


def test_conditions_in_a_packet() -> None:
    assert condition_codes(b"") == ()
    assert condition_codes(b"X2,2227X1,27;cmds:1,X1,27") == (b"\x22\x27", b"\x27")
    with pytest.raises(ValueError, match="cut short"):
        condition_codes(b"X9,27")
