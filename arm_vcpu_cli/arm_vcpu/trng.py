"""The TRNG firmware interface, version 1.0: entropy for a guest's random number generator (DEN0098)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final

from arm_vcpu_cli.arch.smccc import TRNG_VERSION_1_0, SmcccFunction, TrngStatus

EntropySource = Callable[[int], bytes]
"""Returns this many random bytes; fewer mean that the source is exhausted."""
TrngResult = int | tuple[int, ...]
TrngHandler = Callable[[int, int, int, int], TrngResult]

BACK_END: Final = bytes.fromhex("6a9d1f04 52c7 4e0b 9b1a c83d70e5f2a6")
"""The UUID that names this source of entropy to the guest (TRNG_GET_UUID, 2.4)."""
_REGISTERS: Final = 3
"""Entropy is returned in x1 to x3, 32 or 64 bits each."""
_MASK32: Final = 0xFFFF_FFFF


def trng_handlers(entropy: EntropySource) -> Mapping[int, TrngHandler]:
    """Return the functions by identifier; results are for x0, or for as many registers from x0 on as the tuple has."""
    handlers: dict[int, TrngHandler] = {
        SmcccFunction.TRNG_VERSION: lambda _x0, _x1, _x2, _x3: TRNG_VERSION_1_0,
        SmcccFunction.TRNG_FEATURES: lambda _x0, function, _x2, _x3: (
            TrngStatus.SUCCESS if function in handlers else TrngStatus.NOT_SUPPORTED
        ),
        # The UUID is split into four words in the order of its bytes in memory (DEN0028, 2.8).
        SmcccFunction.TRNG_GET_UUID: lambda _x0, _x1, _x2, _x3: struct.unpack("<4I", BACK_END),
        SmcccFunction.TRNG_RND: lambda _x0, bits, _x2, _x3: _random(entropy, bits, 32),
        SmcccFunction.TRNG_RND_64: lambda _x0, bits, _x2, _x3: _random(entropy, bits, 64),
    }
    return handlers


def _random(entropy: EntropySource, bits: int, width: int) -> tuple[int, ...]:
    """Return ``bits`` of entropy, right-aligned in three registers of ``width``, the most significant first (2.5).

    All three are zero for an invalid number of bits, and without entropy.
    """
    bits &= _MASK32
    if not 1 <= bits <= _REGISTERS * width:
        return (TrngStatus.INVALID_PARAMETERS, 0, 0, 0)
    size = (bits + 7) // 8
    data = entropy(size)
    if len(data) < size:
        return (TrngStatus.NO_ENTROPY, 0, 0, 0)
    value = int.from_bytes(data, "little") & (1 << bits) - 1
    mask = (1 << width) - 1
    return (TrngStatus.SUCCESS, *(value >> width * register & mask for register in (2, 1, 0)))
