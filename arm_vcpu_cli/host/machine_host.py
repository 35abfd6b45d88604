"""The host of a virtual machine: physical memory, frames and physical CPUs. Implements the vCPU's HAL.

Host-physical memory as the modelled CPU sees it:

    0x0000_1000_0000   frames of the hypervisor: stage-2 tables, the EL2 vector table
    0x0008_0000_0000   devices that are passed through
    0x0010_0000_0000   memory given to guests, each region at an address congruent to its IPA modulo 1 GiB
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from typing import Any, Final

from arm_vcpu_cli.arch.translation.descriptor import PAGE_SIZE
from arm_vcpu_cli.engine.layout import StateLayout
from arm_vcpu_cli.engine.levers import Levers, known_levers, named
from arm_vcpu_cli.engine.port import CpuCore, MmioWindow
from arm_vcpu_cli.engine.unicorn_api import version
from arm_vcpu_cli.engine.unicorn_core import UnicornCore
from arm_vcpu_cli.errors import MemoryMapError, VCpuError
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.saved import Saved
from arm_vcpu_cli.sizes import format_size

_VERSION: Final = 1
"""The version of the saved state."""
_GIB: Final = 1 << 30
_FRAMES_BASE: Final = 0x1000_0000
_FRAMES_END: Final = _FRAMES_BASE + 16384 * PAGE_SIZE
_DEVICES_BASE: Final = 0x8_0000_0000
_DEVICE_ALIGNMENT: Final = 1 << 21
_GUEST_BASE: Final = 0x10_0000_0000
HYPERVISOR_TIMER: Final = 26
"""The private interrupt of EL2's own timer, CNTHP (DEN0029)."""
# Memory that the guest never touches stays untouched on the host too.
_MAP_NORESERVE: Final = getattr(mmap, "MAP_NORESERVE", 0x4000)


def engine_version() -> str:
    """Return the version of the CPU engine, such as ``2.1.4``."""
    return version()


def engine_levers() -> dict[str, bool]:
    """Return the engine's accelerations by name, and whether this process uses each."""
    return named(known_levers())


class _Region(Record):
    """A range of host-physical memory, and the host memory that backs it."""

    base: int
    size: int
    block: mmap.mmap
    address: int


def _frames(first: int, count: int) -> range:
    return range(first, first + count * PAGE_SIZE, PAGE_SIZE)


class Host:
    """Physical memory and CPUs of one virtual machine.

    ``model`` is the CPU model, ``layout`` and ``levers`` are those of the engine (detected by default). Close it when
    done, or use it as a context manager: it releases the engine first, then the memory that the engine points to.
    """

    def __init__(
        self,
        model: str = "cortex-a72",
        *,
        cpus: int = 1,
        layout: StateLayout | None = None,
        levers: Levers | None = None,
    ) -> None:
        self._cores: list[CpuCore] = []
        for _ in range(cpus):
            core = UnicornCore(model, layout, levers)
            layout = core.layout
            self._cores.append(core)
        self._regions: list[_Region] = []
        self._next_guest = _GUEST_BASE
        self._next_device = _DEVICES_BASE
        self.timer_is_due: Callable[[], bool] = bool
        """Returns whether the timer that ends a guest's budget belongs to the guest; set by the machine."""
        self._add_region(_FRAMES_BASE, _FRAMES_END - _FRAMES_BASE)
        self._never_used = _FRAMES_BASE
        """All frames from here on are unused so far."""
        # A dict for its order and its fast look-up: the frame freed last is reused first.
        self._free_again: dict[int, None] = {}

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the CPUs, then the memory."""
        for core in self._cores:
            core.close()
        self._cores = []
        self._regions = []

    def core(self, cpu_id: int) -> CpuCore:
        """Return the physical CPU of that number. Raises :class:`VCpuError` if there is none."""
        if not 0 <= cpu_id < len(self._cores):
            raise VCpuError(f"physical CPU {cpu_id}: there are {len(self._cores)}")
        return self._cores[cpu_id]

    @property
    def cpus(self) -> int:
        """The number of physical CPUs."""
        return len(self._cores)

    @property
    def cores(self) -> tuple[CpuCore, ...]:
        """The physical CPUs by number."""
        return tuple(self._cores)

    def forget_code(self, paddr: int, size: int) -> None:
        """Make every physical CPU discard the translated code of a range that was written from outside."""
        for core in self._cores:
            core.forget_code(paddr, size)

    def flush_tlbs(self) -> None:
        """Make every physical CPU discard its cached translations."""
        for core in self._cores:
            core.flush_tlb()

    def alloc_frame(self) -> int | None:
        """Allocate one zeroed 4 KiB frame; return its address, or None if none is left."""
        return self.alloc_frames(1)

    def alloc_frames(self, count: int) -> int | None:
        """Allocate contiguous zeroed frames, aligned to their total size rounded up to a power of two."""
        if count == 1 and self._free_again:
            paddr, _ = self._free_again.popitem()
        else:
            alignment = PAGE_SIZE << (count - 1).bit_length()
            lowest = self._never_used if count == 1 else _FRAMES_BASE
            places = range(lowest, _FRAMES_END - count * PAGE_SIZE + 1, alignment)
            first = next((place for place in places if all(map(self._is_free, _frames(place, count)))), None)
            if first is None:
                return None
            self._take(first, count)
            paddr = first
        self.memory(paddr, count * PAGE_SIZE)[:] = bytes(count * PAGE_SIZE)
        return paddr

    def dealloc_frame(self, paddr: int) -> None:
        """Free one frame. Raises :class:`MemoryMapError` for an address that is not an allocated frame."""
        if not _FRAMES_BASE <= paddr < _FRAMES_END or paddr % PAGE_SIZE:
            raise MemoryMapError(f"PA {paddr:#x} is not a frame")
        if self._is_free(paddr):
            raise MemoryMapError(f"PA {paddr:#x} is a frame that is free already")
        self._free_again[paddr] = None

    def alloc_guest_memory(self, size: int, ipa: int) -> int:
        """Allocate memory for a guest that will be mapped at ``ipa``; return its host-physical address.

        The address is congruent to the IPA modulo 1 GiB, so that stage 2 can use its largest blocks. Raises
        :class:`MemoryMapError` if the host refuses.
        """
        base = self._next_guest + ipa % _GIB
        try:
            self._add_region(base, size)
        except MemoryMapError as error:
            raise MemoryMapError(f"{error}; ask for less with --memory or memory.<name>.size") from error
        self._next_guest = -(-(base + size) // _GIB) * _GIB
        return base

    def memory(self, paddr: int, size: int) -> memoryview:
        """Return a writable view of a host-physical range. Raises :class:`MemoryMapError` where there is no memory."""
        region = self._region_of(paddr, size)
        offset = paddr - region.base
        return memoryview(region.block)[offset : offset + size]

    def clear(self, paddr: int, size: int) -> None:
        """Zero whole pages of guest memory, without touching those never used."""
        region = self._region_of(paddr, size)
        start = paddr - region.base
        if hasattr(region.block, "madvise") and hasattr(mmap, "MADV_DONTNEED"):
            region.block.madvise(mmap.MADV_DONTNEED, start, size)
        else:
            region.block[start : start + size] = bytes(size)

    def phys_to_virt(self, paddr: int) -> int:
        """Return the host-virtual address of a host-physical address."""
        region = self._region_of(paddr, 1)
        return region.address + paddr - region.base

    def virt_to_phys(self, vaddr: int) -> int:
        """Return the host-physical address of a host-virtual address."""
        for region in self._regions:
            if region.address <= vaddr < region.address + region.size:
                return region.base + vaddr - region.address
        raise MemoryMapError(f"host address {vaddr:#x} is not memory of this host")

    def add_device(self, size: int, device: MmioWindow) -> int:
        """Map a device into physical memory; return its host-physical address, a multiple of 2 MiB."""
        base = self._next_device
        self._next_device = base + -(-size // _DEVICE_ALIGNMENT) * _DEVICE_ALIGNMENT
        for core in self._cores:
            core.map_device(base, size, device)
        return base

    def irq_fetch(self) -> int:
        """Return the interrupt that stopped a guest: the hypervisor's timer, or 0 if the guest is not involved."""
        return HYPERVISOR_TIMER if self.timer_is_due() else 0

    def irq_handler(self) -> None:
        """Do nothing: interrupts of the host are only taken from a guest, never at EL2."""

    def save(self) -> dict[str, Any]:
        """Return the allocated frames and their contents as plain data, without guest memory."""
        frames = range(_FRAMES_BASE, self._never_used, PAGE_SIZE)
        taken = [frame for frame in frames if frame not in self._free_again]
        return {
            "version": _VERSION,
            "never_used": self._never_used,
            "free_again": list(self._free_again),
            "frames": [self.memory(frame, PAGE_SIZE).tobytes() for frame in taken],
        }

    def load(self, state: object) -> None:
        """Restore what :meth:`save` returned. Raises ValueError, without a change, for anything else."""
        saved = Saved(state, "host", version=_VERSION)
        never_used = saved.number("never_used", _FRAMES_END)
        used = range(_FRAMES_BASE, never_used, PAGE_SIZE)
        free = saved.numbers("free_again", None, _FRAMES_END)
        if any(frame not in used for frame in free) or never_used % PAGE_SIZE:
            raise ValueError("host.free_again has what is no frame")
        taken = [frame for frame in used if frame not in free]
        contents = saved.pieces("frames", len(taken), PAGE_SIZE)
        for frame, content in zip(taken, contents, strict=True):
            self.memory(frame, PAGE_SIZE)[:] = content
        self._never_used, self._free_again = never_used, dict.fromkeys(free)

    def _is_free(self, frame: int) -> bool:
        return frame >= self._never_used or frame in self._free_again

    def _take(self, first: int, count: int) -> None:
        after = first + count * PAGE_SIZE
        for frame in _frames(first, count):
            self._free_again.pop(frame, None)
        if after > self._never_used:
            # Skipped frames are allocated last, the lowest first.
            passed_over = _frames(self._never_used, (first - self._never_used) // PAGE_SIZE)
            self._free_again = dict.fromkeys(reversed(passed_over)) | self._free_again
            self._never_used = after

    def _region_of(self, paddr: int, size: int) -> _Region:
        for region in self._regions:
            if region.base <= paddr and paddr + size <= region.base + region.size:
                return region
        raise MemoryMapError(f"PA {paddr:#x} size {size:#x} is not memory of this host")

    def _add_region(self, base: int, size: int) -> _Region:
        try:
            block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE)
        except (OSError, ValueError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise MemoryMapError(f"the host refuses {format_size(size)} of memory ({reason})") from error
        region = _Region(base, size, block, ctypes.addressof(ctypes.c_char.from_buffer(block)))
        for core in self._cores:
            core.map_memory(base, size, region.address)
        self._regions.append(region)
        return region
