"""Frames of registers, which map the offset and width of an access to a handler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

Reader = Callable[[int], int]
"""Returns the value at an offset."""
Writer = Callable[[int, int], None]
"""Takes an offset and the value."""

FRAME_SIZE: Final = 0x1_0000
_BLOCK_BITS: Final = 7
"""Every kind of register starts at a multiple of 128 bytes (IHI 0069H, 12.8 and 12.10; IHI 0048B, 4.1.2)."""
_BLOCK: Final = 1 << _BLOCK_BITS
_WIDTH_MASKS: Final = {width: (1 << 8 * width) - 1 for width in (1, 2, 4, 8)}


def ignore(offset: int, value: int) -> None:
    """Ignore a write to a read-only register."""


def zero(offset: int) -> int:  # noqa: ARG001
    """Return zero for a reserved or write-only register."""
    return 0


class RegisterFrame:
    """64 KiB of registers.

    Without a handler, or without one for the width, reads return zero and writes are ignored; the same applies to
    unaligned accesses. Reserved registers are RES0, and an access of a size that a register does not support is
    CONSTRAINED UNPREDICTABLE (12.1).
    """

    def __init__(self) -> None:
        self._readers: dict[tuple[int, int], Reader] = {}
        self._writers: dict[tuple[int, int], Writer] = {}

    def add(self, base: int, size: int, width: int, read: Reader = zero, write: Writer = ignore) -> None:
        """Add handlers for the accesses of ``width`` bytes to ``size`` bytes (multiples of 128) from ``base`` on."""
        for block in range(base >> _BLOCK_BITS, base + size + _BLOCK - 1 >> _BLOCK_BITS):
            self._readers[block, width] = read
            self._writers[block, width] = write

    def read(self, offset: int, width: int) -> int:
        """Return ``width`` bytes (1, 2, 4 or 8) at ``offset``."""
        reader = self._readers.get((offset >> _BLOCK_BITS, width))
        return 0 if reader is None or offset & width - 1 else reader(offset)

    def write(self, offset: int, width: int, value: int) -> None:
        """Write ``width`` bytes at ``offset``."""
        writer = self._writers.get((offset >> _BLOCK_BITS, width))
        if writer is not None and not offset & width - 1:
            writer(offset, value & _WIDTH_MASKS[width])
