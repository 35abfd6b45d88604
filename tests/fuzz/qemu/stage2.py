"""Stage 2 of QEMU's side: what a case may use is where it is, everything else is where the board has nothing."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

PA_BITS: Final = {"cortex-a53": 40, "cortex-a57": 44, "cortex-a72": 44, "max": 44}
TABLES: Final = 0x6002_0000
_NOTHING: Final = 0x10_0000_0000
"""Nothing is there, up to 0x4000000000, on the board with its usual memory."""
_BLOCK: Final = 0x7FD
"""Normal memory, write-back, inner shareable, read and write, accessed."""
_TABLE: Final = 3
_GIB, _MIB2 = 1 << 30, 1 << 21
_ENTRIES: Final = 512
_PS: Final = {40: 2, 44: 4}


def build(
    model: str, regions: Iterable[tuple[int, int]], elsewhere: Mapping[int, int] = MappingProxyType({})
) -> tuple[int, int, bytes]:
    """VTCR_EL2, VTTBR_EL2, and the tables at :data:`TABLES` with (base, size) mapped in blocks of 2 MiB.

    ``elsewhere`` has the addresses of blocks that are mapped to others.
    """
    bits = PA_BITS[model]
    first, nothing, low, ram = (TABLES + n * 0x1000 for n in (2, 3, 4, 5))
    wanted = {base + at: base + at for base, size in regions for at in range(0, size, _MIB2)} | dict(elsewhere)

    def blocks(base: int) -> list[int]:
        return [wanted.get(place, _NOTHING) | _BLOCK for place in range(base, base + _GIB, _MIB2)]

    gib = [low | _TABLE, ram | _TABLE, *[_NOTHING | _BLOCK] * (_ENTRIES - 2)]
    all_gone = [_NOTHING | _BLOCK] * _ENTRIES
    if bits == 40:
        # Two level-1 tables side by side.
        root, start, size = gib + all_gone, 1, 0
        tables = [root, [], []]
    else:
        root = [first | _TABLE, *[nothing | _TABLE] * ((1 << bits - 39) - 1)]
        start, size = 2, 0
        tables = [root, gib, all_gone]
    data = bytearray(6 * 0x1000)
    places = (0, 2, 3)
    for place, table in [*zip(places, tables, strict=True), (4, blocks(0)), (5, blocks(_GIB))]:
        struct.pack_into(f"<{len(table)}Q", data, place * 0x1000, *table)
    vtcr = 1 << 31 | _PS[bits] << 16 | 3 << 12 | 1 << 10 | 1 << 8 | start << 6 | 64 - bits | size
    return vtcr, TABLES, bytes(data)
