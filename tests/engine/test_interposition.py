"""The stubs for the arithmetic of doubles equal the engine's functions, bit for bit, flags included."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from arm_vcpu_cli.engine.interposition import FLOAT_STUBS, Interposition
from arm_vcpu_cli.engine.unicorn_api import library_function
from tests.support.tools import missing

Function = Callable[[int, int, int], int]
FUNCTION = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_void_p)
INEXACT, NEAREST = 32, 0
SMALLEST, LARGEST, ONE = 1 << 52, 0x7FEF_FFFF_FFFF_FFFF, 0x3FF << 52

edges = st.sampled_from(
    [
        *(0, 1, SMALLEST - 1, SMALLEST, SMALLEST + 1, 2 << 52, ONE, ONE + 1, LARGEST, LARGEST + 1),
        *(0x7FF8_0000_0000_0000, 0x7FF0_0000_0000_0001, 0x7FFF_FFFF_FFFF_FFFF),
    ]
)
near_edges = st.builds(lambda exponent, fraction: exponent << 52 | fraction, st.integers(0, 0x7FF), st.integers(0, 3))
magnitudes = edges | near_edges | st.integers(0, (1 << 63) - 1)
numbers = st.builds(lambda sign, magnitude: sign << 63 | magnitude, st.integers(0, 1), magnitudes)


class Arithmetic:
    """The original of a function, and a stub of it beside it."""

    def __init__(self, name: str) -> None:
        address = library_function(name)
        assert address is not None
        self.original: Function = FUNCTION(address)
        self._entry = ctypes.c_uint64(address)
        self._interposition = Interposition({ctypes.addressof(self._entry): (address, FLOAT_STUBS[name])})
        assert self._entry.value != address
        self.stub: Function = FUNCTION(self._entry.value)


@pytest.fixture(scope="module", params=FLOAT_STUBS)
def arithmetic(request: pytest.FixtureRequest) -> Arithmetic:
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        missing("the host that the stubs are for")
    return Arithmetic(request.param)


def outcome(function: Function, first: int, second: int, status: bytes) -> tuple[int, bytes]:
    memory = bytearray(status.ljust(64, b"\0"))
    return function(first, second, ctypes.addressof(ctypes.c_char.from_buffer(memory))), bytes(memory)


@settings(max_examples=3000, deadline=None)
@example(ONE, ONE, INEXACT, NEAREST, False, False, False)
@example(LARGEST, LARGEST, INEXACT, NEAREST, False, False, False)
@example(SMALLEST + 1, SMALLEST | 1 << 63, INEXACT, NEAREST, True, False, False)
@example(SMALLEST, ONE + 1, INEXACT, NEAREST, True, True, True)
@given(numbers, numbers, st.integers(0, 255), st.integers(0, 3), st.booleans(), st.booleans(), st.booleans())
def test_results_and_flags_are_those_of_the_engine(
    arithmetic: Arithmetic,
    first: int,
    second: int,
    flags: int,
    rounding: int,
    flush_results: bool,
    flush_operands: bool,
    default_nan: bool,
) -> None:
    status = bytes([0, rounding, flags, 0, flush_results, flush_operands, default_nan, 0])
    assert outcome(arithmetic.stub, first, second, status) == outcome(arithmetic.original, first, second, status)


def test_the_original_is_put_back() -> None:
    address = library_function(next(iter(FLOAT_STUBS)))
    assert address is not None
    entry = ctypes.c_uint64(address)
    interposition = Interposition({ctypes.addressof(entry): (address, b"\xc3")})
    assert entry.value != address
    interposition.undo()
    assert entry.value == address
