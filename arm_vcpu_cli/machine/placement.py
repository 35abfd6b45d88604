"""Copying a guest into the memory of a machine, and finding room for the device tree."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from arm_vcpu_cli.errors import GuestFileError, MachineFileError
from arm_vcpu_cli.guest.image import GuestImage, Segment
from arm_vcpu_cli.machine.description import MachineDescription, MemoryRegion

DTB_ALIGNMENT: Final = 0x1000


class PhysicalMemory(Protocol):
    """Access to host-physical memory."""

    def memory(self, paddr: int, size: int) -> memoryview:
        """Writable bytes of a range."""


@dataclass(frozen=True)
class BackedRegion:
    """A memory region of the machine and the host-physical address of the memory behind it."""

    region: MemoryRegion
    paddr: int

    @property
    def end(self) -> int:
        """The first IPA behind the region."""
        return self.region.base + self.region.size


class GuestRam:
    """All memory of a machine, by IPA."""

    def __init__(self, physical: PhysicalMemory, regions: Iterable[BackedRegion]) -> None:
        self._physical = physical
        self.regions = tuple(regions)

    def find(self, ipa: int, size: int) -> BackedRegion | None:
        """The region that holds all of a range."""
        for backed in self.regions:
            if backed.region.base <= ipa and ipa + size <= backed.end:
                return backed
        return None

    def view(self, ipa: int, size: int) -> memoryview | None:
        """The bytes of a range, None where it is not inside one region."""
        backed = self.find(ipa, size)
        return None if backed is None else self._physical.memory(backed.paddr + ipa - backed.region.base, size)

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
                f"{segment.name} at {segment.address:#x}-{segment.end - 1:#x} is outside of memory: {ram.describe()}",
            )
        view[: len(segment.data)] = segment.data
        # Fresh memory is zero; only what a preloaded file may have left needs clearing.
        if ram.find(segment.address, 1) is not None and _has_file(ram, segment):
            view[len(segment.data) :] = bytes(segment.memory_size - len(segment.data))


def _has_file(ram: GuestRam, segment: Segment) -> bool:
    backed = ram.find(segment.address, 1)
    return backed is not None and backed.region.file is not None


def place_device_tree(
    ram: GuestRam, description: MachineDescription, image: GuestImage, size: int, fail: Callable[[str], Exception]
) -> int:
    """Where the device tree goes: as the description says; else the base of RAM, where firmware for this memory
    map looks for it; else above the guest, or below the end of RAM. Never over anything that was loaded."""
    taken = _taken(ram, image)
    wanted = description.boot.dtb_address
    if wanted is not None:
        if ram.find(wanted, size) is None:
            raise fail(f"{wanted:#x} has no room for {size:#x} bytes of device tree: {ram.describe()}")
        for start, end, name in taken:
            if start < wanted + size and wanted < end:
                raise fail(f"{size:#x} bytes of device tree at {wanted:#x} would overwrite {name} at {start:#x}")
        return wanted
    main = description.ram
    above = max((end for start, end, _ in taken if main.holds(start)), default=main.base)
    candidates = (
        main.base,
        -(-above // DTB_ALIGNMENT) * DTB_ALIGNMENT,
        (main.base + main.size - size) // DTB_ALIGNMENT * DTB_ALIGNMENT,
    )
    for address in candidates:
        free = all(address + size <= start or end <= address for start, end, _ in taken)
        if free and ram.find(address, size) is not None:
            return address
    raise fail(f"{main.name} has no room for {size:#x} bytes of device tree beside the guest")


def _taken(ram: GuestRam, image: GuestImage) -> list[tuple[int, int, str]]:
    """What was loaded, as (first IPA, first IPA behind it, what it is)."""
    found = [(segment.address, segment.end, segment.name) for segment in image.segments]
    for region in (backed.region for backed in ram.regions):
        if region.file is not None:
            start = region.base + region.file_offset
            found.append((start, start + region.file.stat().st_size, region.file.name))
    return found
