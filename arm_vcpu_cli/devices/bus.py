"""The device bus, which maps addresses to devices. Devices see offsets, never addresses."""

from __future__ import annotations

from bisect import bisect_right
from typing import Protocol

from arm_vcpu_cli.errors import MemoryMapError
from arm_vcpu_cli.record import Record


class MmioDevice(Protocol):
    """A device behind a window of the bus. Widths are 1, 2, 4 or 8 bytes, values unsigned."""

    def read(self, offset: int, width: int) -> int:
        """Return the ``width`` bytes at ``offset``, little-endian."""

    def write(self, offset: int, width: int, value: int) -> None:
        """Store ``width`` bytes at ``offset``."""


class Window(Record):
    """A device and its place: ``base`` and ``end`` (exclusive) are IPAs."""

    name: str
    base: int
    end: int
    device: MmioDevice


class Bus:
    """Non-overlapping windows in the guest's physical address space."""

    def __init__(self) -> None:
        self._bases: list[int] = []
        self._windows: list[Window] = []

    def add(self, name: str, base: int, size: int, device: MmioDevice) -> None:
        """Put a device at ``base``. Raises :class:`MemoryMapError` if another one is there that does not make way."""
        window = Window(name, base, base + size, device)
        if size <= 0:
            raise MemoryMapError(f"device {name} at {base:#x}: size {size}, expected more than 0")
        for other in self.windows():
            if base < other.end and other.base < window.end:
                if getattr(other.device, "gives_way", False):
                    self._remove(other)
                    continue
                raise MemoryMapError(
                    f"device {name} at {base:#x}-{window.end - 1:#x} overlaps {other.name} at "
                    f"{other.base:#x}-{other.end - 1:#x}"
                )
        at = bisect_right(self._bases, base)
        self._bases.insert(at, base)
        self._windows.insert(at, window)

    def _remove(self, window: Window) -> None:
        at = self._windows.index(window)
        del self._bases[at], self._windows[at]

    def find(self, ipa: int, width: int = 1) -> Window | None:
        """Return the window that holds all ``width`` bytes at ``ipa``, None if there is none."""
        at = bisect_right(self._bases, ipa)
        if not at:
            return None
        window = self._windows[at - 1]
        return window if ipa + width <= window.end else None

    def windows(self) -> tuple[Window, ...]:
        """All windows by address."""
        return tuple(self._windows)
