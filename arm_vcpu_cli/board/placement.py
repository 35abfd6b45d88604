"""Copies a guest and its files into the memory of a machine, and tracks the memory taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, Protocol

from arm_vcpu_cli.arch.translation.descriptor import PAGE_SIZE
from arm_vcpu_cli.board.description import MachineDescription, MemoryRegion
from arm_vcpu_cli.errors import GuestFileError, MachineFileError
from arm_vcpu_cli.guest.files import read_file
from arm_vcpu_cli.guest.image import GuestImage, Segment
from arm_vcpu_cli.record import Record
from arm_vcpu_cli.sizes import address_as_written

_OF_PROGRAMS: Final = (0x40_0000, 0x1_0000)
"""The default start addresses of static programs: GNU ld's and LLVM's, and Go's."""


class Extent(NamedTuple):
    """The IPAs from ``start`` to ``end``, exclusive, and their contents."""

    start: int
    end: int
    name: str


class PhysicalMemory(Protocol):
    """Access to host-physical memory."""

    def memory(self, paddr: int, size: int) -> memoryview:
        """Return a writable view of a range."""


class BackedRegion(Record):
    """A memory region of the machine and the host-physical address of the memory behind it."""

    region: MemoryRegion
    paddr: int

    @property
    def end(self) -> int:
        """The first IPA after the region."""
        return self.region.base + self.region.size


def align_up(value: int, alignment: int) -> int:
    """The lowest multiple of ``alignment`` at or above ``value``."""
    return -(-value // alignment) * alignment


class GuestRam:
    """All memory of a machine, by IPA."""

    def __init__(
        self,
        physical: PhysicalMemory,
        regions: Iterable[BackedRegion],
        forget_code: Callable[[int, int], None] = lambda _paddr, _size: None,
    ) -> None:
        """:meth:`write` calls ``forget_code`` with each host-physical address and size in bytes that it writes."""
        self._physical = physical
        self._forget_code = forget_code
        self.regions = tuple(regions)
        self.loaded: tuple[Extent, ...] = ()
        """The extents of the files that :func:`load_files` loaded."""

    def find(self, ipa: int, size: int) -> BackedRegion | None:
        """The region that holds all of a range."""
        for backed in self.regions:
            if backed.region.base <= ipa and ipa + size <= backed.end:
                return backed
        return None

    def view(self, ipa: int, size: int) -> memoryview | None:
        """The bytes of a range, None if it is not inside one region."""
        backed = self.find(ipa, size)
        return None if backed is None else self._physical.memory(backed.paddr + ipa - backed.region.base, size)

    def write(self, ipa: int, data: bytes) -> bool:
        """Write to the guest's memory while it is stopped; stale translated code is discarded.

        Returns False if the range is not inside one region.
        """
        backed = self.find(ipa, len(data))
        if backed is None:
            return False
        paddr = backed.paddr + ipa - backed.region.base
        self._physical.memory(paddr, len(data))[:] = data
        self._forget_code(paddr, len(data))
        return True

    def describe(self) -> str:
        """The regions as text, for errors."""
        return ", ".join(f"{each.region.name} {each.region.base:#x}-{each.end - 1:#x}" for each in self.regions)


def preload_files(ram: GuestRam, description: MachineDescription) -> None:
    """Copy the files that the description names into their regions. Raises :class:`MachineFileError`."""
    for backed in ram.regions:
        region = backed.region
        if region.file is None:
            continue
        try:
            data = region.file.read_bytes()
        except OSError as error:
            raise MachineFileError(
                description.path or region.file, f"{region.file}: {error.strerror}", key=f"memory.{region.name}.file"
            ) from error
        view = ram.view(region.base + region.file_offset, len(data))
        if view is None:
            raise MachineFileError(
                description.path or region.file,
                f"{region.file} has {len(data):#x} bytes, more than there is room for",
                key=f"memory.{region.name}.file",
            )
        view[:] = data


def load_segments(ram: GuestRam, image: GuestImage) -> None:
    """Copy the segments of a guest into memory. Raises :class:`GuestFileError` for one that has none."""
    for segment in image.segments:
        if not segment.memory_size:
            continue
        view = ram.view(segment.address, segment.memory_size)
        if view is None:
            raise GuestFileError(
                image.path,
                f"{segment.name} at {segment.address:#x}-{segment.end - 1:#x} is outside of memory: {ram.describe()}"
                f"{_as_a_program(segment.address)}",
            )
        view[: len(segment.data)] = segment.data
        _clear(view, segment, _files(ram))


def _as_a_program(address: int) -> str:
    """The hint for an address that is the linkers' default for Linux programs."""
    if address not in _OF_PROGRAMS:
        return ""
    return "; Linux programs are linked to that address, a guest needs its own (-Ttext or a linker script)"


def _clear(view: memoryview, segment: Segment, files: list[Extent]) -> None:
    """Clear the part of a segment without data where a preloaded file overlaps it; fresh memory is already zero, and
    writing it would make the host allocate it."""
    for file in files:
        start = max(file.start, segment.address + len(segment.data))
        end = min(file.end, segment.end)
        if start < end:
            view[start - segment.address : end - segment.address] = bytes(end - start)


def load_files(ram: GuestRam, description: MachineDescription, image: GuestImage) -> None:
    """Copy the further files of the description to their addresses, without overwriting anything loaded.

    Raises :class:`GuestFileError` for a file that cannot be read or does not fit.
    """
    ram.loaded = ()
    for path, address in ((load.path, load.address) for load in description.loads):
        data = read_file(path, "a file to load")
        shown = address_as_written(address)
        what = f"{len(data):#x} bytes at {shown}"
        if not data:
            raise GuestFileError(path, f"the file is empty, expected bytes to load at {shown}")
        view = ram.view(address, len(data))
        if view is None:
            raise GuestFileError(path, f"{what} are outside of memory: {ram.describe()}")
        for start, end, name in taken_extents(ram, image):
            if start < address + len(data) and address < end:
                raise GuestFileError(path, f"{what} would overwrite {name} at {start:#x}-{end - 1:#x}")
        view[:] = data
        ram.loaded += (Extent(address, address + len(data), path.name),)


def load_bytes(ram: GuestRam, address: int, data: bytes) -> None:
    """Copy placed data to its address. Raises ValueError if there is no memory."""
    if not ram.write(address, data):
        raise ValueError(f"{len(data):#x} bytes at {address:#x} are outside of memory")


def free_memory(ram: GuestRam, description: MachineDescription, image: GuestImage) -> tuple[int, int]:
    """Return the largest part of the main RAM, in whole pages, without loaded data, as (first address, exclusive
    end)."""
    main = description.ram
    taken = taken_extents(ram, image)
    starts = [main.base, *(align_up(each.end, PAGE_SIZE) for each in taken)]
    gaps = [(start, min((each.start for each in taken if each.end > start), default=main.end)) for start in starts]
    free = [
        (start, min(end, main.end) // PAGE_SIZE * PAGE_SIZE)
        for start, end in gaps
        if main.base <= start and end > start
    ]
    return max(free, key=lambda gap: gap[1] - gap[0], default=(main.end, main.end))


def loaded_files(ram: GuestRam) -> tuple[Extent, ...]:
    """Return the extents of everything loaded except the guest: files, initial RAM disk and device tree."""
    return (*_files(ram), *ram.loaded)


def taken_extents(ram: GuestRam, image: GuestImage) -> list[Extent]:
    """The extents of everything loaded."""
    segments = [segment for segment in image.segments if segment.memory_size]
    return [Extent(each.address, each.end, each.name) for each in segments] + [*loaded_files(ram)]


def _files(ram: GuestRam) -> list[Extent]:
    """The extents of the preloaded files."""
    found = []
    for region in (backed.region for backed in ram.regions):
        if region.file is not None:
            start = region.base + region.file_offset
            found.append(Extent(start, start + region.file.stat().st_size, region.file.name))
    return found
