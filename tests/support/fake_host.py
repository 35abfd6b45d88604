"""A host without an engine: fake cores, frames, and memory for guests that is allocated on first use."""

from __future__ import annotations

from collections.abc import Callable

from arm_vcpu_cli.arch.translation.descriptor import PAGE_SIZE
from arm_vcpu_cli.engine.port import CpuCore, MmioWindow
from arm_vcpu_cli.errors import MemoryMapError
from tests.support.fake_core import FakeCore, FakeHal

_GUEST_BASE = 0x10_0000_0000
"""Memory for a guest is at a host-physical address unlike its IPA."""
_DEVICES_BASE = 0x8_0000_0000
_DEVICE_SIZE = 1 << 21


class FakePhysical:
    """Host-physical memory of guests: a bytearray for each region."""

    def __init__(self) -> None:
        self.blocks: dict[int, bytearray] = {}

    def alloc_guest_memory(self, size: int, ipa: int) -> int:
        paddr = _GUEST_BASE + ipa
        self.blocks[paddr] = bytearray(size)
        return paddr

    def memory(self, paddr: int, size: int) -> memoryview:
        for base, block in self.blocks.items():
            if base <= paddr and paddr + size <= base + len(block):
                return memoryview(block)[paddr - base : paddr - base + size]
        raise MemoryMapError(f"no memory at PA {paddr:#x} size {size:#x}")


class FakeHost(FakeHal):
    """Implements the machine's host over fake cores."""

    def __init__(self, *cores: FakeCore) -> None:
        super().__init__(*cores, frames=64)
        self.physical = FakePhysical()
        self.devices: list[tuple[int, int, MmioWindow]] = []
        self.timer_is_due: Callable[[], bool] = bool
        self.closed = False

    @property
    def cpus(self) -> int:
        return len(self._cores)

    @property
    def cores(self) -> tuple[CpuCore, ...]:
        return self._cores

    def alloc_frames(self, count: int) -> int | None:
        size = count * PAGE_SIZE
        for first in sorted(self.free):
            frames = set(range(first, first + size, PAGE_SIZE))
            if first % size == 0 and frames <= set(self.free):
                self.free = [frame for frame in self.free if frame not in frames]
                return first
        return None

    def forget_code(self, paddr: int, size: int) -> None:
        for core in self._cores:
            core.forget_code(paddr, size)

    def alloc_guest_memory(self, size: int, ipa: int) -> int:
        return self.physical.alloc_guest_memory(size, ipa)

    def clear(self, paddr: int, size: int) -> None:
        self.memory(paddr, size)[:] = bytes(size)

    def memory(self, paddr: int, size: int) -> memoryview:
        return self.physical.memory(paddr, size) if paddr >= _GUEST_BASE else super().memory(paddr, size)

    def add_device(self, size: int, device: MmioWindow) -> int:
        paddr = _DEVICES_BASE + _DEVICE_SIZE * len(self.devices)
        self.devices.append((paddr, size, device))
        return paddr

    def close(self) -> None:
        self.closed = True
        for core in self._cores:
            core.close()
