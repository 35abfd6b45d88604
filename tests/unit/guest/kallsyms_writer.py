"""Writes the symbol tables that a Linux kernel has for itself, in the orders of its versions."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import Enum

BASE = 0xFFFF_8000_0800_0000


class Order(Enum):
    """Where the tables are."""

    BEFORE = "5.10"
    """Offsets and base in front of the names."""
    WITH_SEQUENCES = "6.2"
    """The same, and more between markers and tokens."""
    BEHIND = "6.5"
    """Offsets and base behind the index of the tokens."""


def many_symbols(count: int = 1500) -> list[tuple[int, str]]:
    """So many symbols as (offset, type and name), in ascending order; two of them at one address."""
    symbols = [(0x1_0000 + 16 * number, f"tfunction_{number}") for number in range(count)]
    symbols[700] = (symbols[699][0], "talias")
    return symbols


def kernel_with(
    symbols: Sequence[tuple[int, str]], order: Order = Order.BEFORE, *, base: int = BASE, before: int = 0x1000
) -> bytes:
    """The memory of a kernel with these symbols, ``before`` bytes of anything in front of them."""
    tokens = [bytes((byte,)) if 0x20 < byte < 0x7F else f"<{byte}>".encode() for byte in range(256)]
    tokens[0x80] = b"function_"
    names, markers = bytearray(), []
    for number, (_, name) in enumerate(symbols):
        if not number % 256:
            markers.append(len(names))
        packed = name.encode().replace(b"function_", b"\x80")
        size = len(packed)
        names += bytes((size,) if size < 0x80 else (size & 0x7F | 0x80, size >> 7)) + packed
    offsets = _aligned(struct.pack(f"<{len(symbols)}I", *(offset for offset, _ in symbols))) + struct.pack("<Q", base)
    table = b"".join(token + b"\0" for token in tokens)
    starts = [len(b"\0".join(tokens[:number])) + 1 if number else 0 for number in range(256)]
    parts = [
        bytes(range(1, 256)) * (before // 255) + b"\1" * (before % 255),
        struct.pack("<Q", len(symbols)),
        _aligned(bytes(names)),
        _aligned(struct.pack(f"<{len(markers)}I", *markers)),
        _aligned(table),
        struct.pack("<256H", *starts),
    ]
    if order is Order.BEHIND:
        parts.append(offsets)
    else:
        parts.insert(1, offsets)
    if order is Order.WITH_SEQUENCES:
        parts.insert(5, _aligned(bytes(3) + b"\7" * (3 * len(symbols) - 3)))
    return b"".join(parts) + bytes(64)


def _aligned(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)
