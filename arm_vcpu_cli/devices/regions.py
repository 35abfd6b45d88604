"""Stand-ins for hardware that a guest accesses without needing it to work."""

from __future__ import annotations

from typing import Any, Final

from arm_vcpu_cli.saved import Saved

_VERSION: Final = 1
"""Of a saved state."""


class ReadAsZero:
    """Reads as zero and ignores writes."""

    def read(self, offset: int, width: int) -> int:  # noqa: ARG002
        """Zero."""
        return 0

    def write(self, offset: int, width: int, value: int) -> None:
        """Nothing."""


class Scratch:
    """Registers that read as what was written last; ``size`` bytes, zero at reset. They have no other effect."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._bytes: dict[int, int] = {}

    def read(self, offset: int, width: int) -> int:
        """The bytes at ``offset``, zero where nothing was written."""
        stored = self._bytes
        return sum(stored.get(offset + n, 0) << 8 * n for n in range(width))

    def write(self, offset: int, width: int, value: int) -> None:
        """Keep the bytes that lie inside."""
        for n in range(min(width, self._size - offset)):
            self._bytes[offset + n] = value >> 8 * n & 0xFF

    def save(self) -> dict[str, Any]:
        """The bytes that were written."""
        offsets = sorted(self._bytes)
        return {"version": _VERSION, "offsets": offsets, "bytes": bytes(self._bytes[offset] for offset in offsets)}

    def load(self, state: object) -> None:
        """Take what :meth:`save` gave. ValueError, and nothing changes, if it is something else."""
        saved = Saved(state, "registers", version=_VERSION)
        offsets = saved.numbers("offsets", None, self._size - 1)
        self._bytes = dict(zip(offsets, saved.data("bytes", len(offsets)), strict=True))
