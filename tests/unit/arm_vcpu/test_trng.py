"""The TRNG firmware interface (DEN0098) as a guest calls it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arch.smccc import SmcccFunction, is_trng
from arm_vcpu_cli.arm_vcpu.psci import FirmwareCalls
from arm_vcpu_cli.arm_vcpu.trng import BACK_END

VERSION, FEATURES, GET_UUID, RND, RND_64 = (
    SmcccFunction.TRNG_VERSION,
    SmcccFunction.TRNG_FEATURES,
    SmcccFunction.TRNG_GET_UUID,
    SmcccFunction.TRNG_RND,
    SmcccFunction.TRNG_RND_64,
)
TRNG = (VERSION, FEATURES, GET_UUID, RND, RND_64)
GARBAGE = 0xDEAD_BEEF_0000_0000
NOT_SUPPORTED, INVALID_PARAMETERS, NO_ENTROPY = (2**64 - n for n in (1, 2, 3))


def ones(size: int) -> bytes:
    return b"\xff" * size


def call(function: int, x1: int = 0, *, entropy: Callable[[int], bytes] | None = ones) -> object:
    return FirmwareCalls(0, entropy=entropy).call(function, x1, 0x2222, 0x3333)


def test_version_1_0() -> None:
    assert call(VERSION) == 0x1_0000


def test_features_knows_exactly_the_functions_that_are_there() -> None:
    for function in (*range(0x8400_0050, 0x8400_0060), *range(0xC400_0050, 0xC400_0060)):
        assert call(FEATURES, function) == (0 if function in TRNG else NOT_SUPPORTED), hex(function)
    assert call(FEATURES, 0x8400_0000) == NOT_SUPPORTED
    assert call(FEATURES, GARBAGE | RND_64) == 0


@pytest.mark.parametrize("function", [0x8400_0054, 0x8400_005F, 0xC400_0050, 0xC400_0051, 0xC400_0052, 0xC400_005F])
def test_the_rest_of_the_range_is_not_supported(function: int) -> None:
    assert is_trng(function)
    assert call(function) == NOT_SUPPORTED


@pytest.mark.parametrize("function", [*TRNG, 0x8400_0054])
def test_without_entropy_the_interface_is_not_there(function: int) -> None:
    assert call(function, 8, entropy=None) is None


def test_the_uuid_is_in_four_words_as_it_lies_in_memory() -> None:
    words = cast(tuple[int, ...], call(GET_UUID))
    assert len(words) == 4
    assert all(0 <= word < 2**32 for word in words)
    assert words[0] != 0xFFFF_FFFF, "which would be NOT_SUPPORTED"
    assert uuid.UUID(bytes=b"".join(word.to_bytes(4, "little") for word in words)).bytes == BACK_END


@pytest.mark.parametrize(
    ("function", "bits", "expected"),
    [
        (RND, 1, (0, 0, 0, 1)),
        (RND, 32, (0, 0, 0, 0xFFFF_FFFF)),
        (RND, 33, (0, 0, 1, 0xFFFF_FFFF)),
        (RND, 96, (0, 0xFFFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFF)),
        (RND_64, 1, (0, 0, 0, 1)),
        (RND_64, 65, (0, 0, 1, 2**64 - 1)),
        (RND_64, 192, (0, 2**64 - 1, 2**64 - 1, 2**64 - 1)),
        (RND_64, GARBAGE | 8, (0, 0, 0, 0xFF)),
        (RND, GARBAGE | 8, (0, 0, 0, 0xFF)),
    ],
)
def test_entropy_is_right_aligned_in_three_registers_and_zero_above(
    function: int, bits: int, expected: tuple[int, ...]
) -> None:
    assert call(function, bits) == expected


@pytest.mark.parametrize("function", [RND, RND_64])
@pytest.mark.parametrize("bits", [0, -1, 2**31, GARBAGE])
def test_a_number_of_bits_that_does_not_fit_is_refused_with_zeros(function: int, bits: int) -> None:
    assert call(function, bits % 2**64) == (INVALID_PARAMETERS, 0, 0, 0)


@pytest.mark.parametrize(("function", "bits"), [(RND, 97), (RND_64, 193)])
def test_the_first_number_of_bits_too_many_is_refused(function: int, bits: int) -> None:
    assert call(function, bits) == (INVALID_PARAMETERS, 0, 0, 0)


@pytest.mark.parametrize("function", [RND, RND_64])
def test_a_source_that_has_run_dry_gives_no_entropy_at_all(function: int) -> None:
    assert call(function, 64, entropy=lambda size: bytes(size - 1)) == (NO_ENTROPY, 0, 0, 0)


@given(bits=st.integers(1, 192), data=st.binary(min_size=24, max_size=24))
def test_every_bit_asked_for_comes_from_the_source_once(bits: int, data: bytes) -> None:
    asked: list[int] = []

    def entropy(size: int) -> bytes:
        asked.append(size)
        return data[:size]

    status, *words = cast(tuple[int, ...], call(RND_64, bits, entropy=entropy))
    value = words[0] << 128 | words[1] << 64 | words[2]
    assert status == 0
    assert asked == [(bits + 7) // 8]
    assert value == int.from_bytes(data[: asked[0]], "little") % 2**bits
