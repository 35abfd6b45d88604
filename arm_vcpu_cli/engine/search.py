"""Finds a number in a block of memory."""

from __future__ import annotations


def places_of(value: int, block: bytes, size: int) -> list[int]:
    """Return the offsets in ``block``, multiples of ``size``, at which ``value`` is stored as ``size`` bytes,
    little-endian."""
    pattern = value.to_bytes(size, "little")
    found = []
    at = block.find(pattern)
    while at >= 0:
        if at % size == 0:
            found.append(at)
        at = block.find(pattern, at + 1)
    return found
