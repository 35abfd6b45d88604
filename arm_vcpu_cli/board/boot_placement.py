"""Places the device tree and the initial RAM disk of a guest.

Addresses that are fixed on QEMU's virt board are the same here: QEMU, hw/arm/boot.c. Linux's requirements: Linux,
Documentation/arch/arm64/booting.rst.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.translation.descriptor import PAGE_SIZE
from arm_vcpu_cli.board.description import MachineDescription, MemoryRegion
from arm_vcpu_cli.board.placement import Extent, GuestRam, align_up, taken_extents
from arm_vcpu_cli.guest.image import GuestImage
from arm_vcpu_cli.sizes import GIB, MIB

MAX_DTB_SIZE: Final = 2 * MIB
DTB_ROOM: Final = MIB
"""The memory for a device tree, so that firmware can edit it in place; as much as in QEMU."""
KERNEL_ROOM: Final = 128 * MIB
"""The memory reserved for a kernel from the base of RAM, if there is that much."""
INITRD_WINDOW: Final = 32 * GIB
_DTB_ALIGNMENT: Final = 2 * MIB
"""Kernels before 4.2 map a single block for the device tree."""
_MOST_OF_RAM: Final = 8
"""The device tree's room is at most this fraction of the RAM (1/8), unless the tree itself is larger."""

Fail = Callable[[str], Exception]


class BootPlaces(NamedTuple):
    """The address of the device tree, the size it may grow to in bytes, and the address of the initial RAM disk, if
    there is one."""

    dtb: int
    room: int
    initrd: int | None


def place_boot_files(
    ram: GuestRam,
    description: MachineDescription,
    image: GuestImage,
    sizes: tuple[int, int | None],
    fails: tuple[Fail, Fail],
) -> BootPlaces:
    """Return the places of a device tree and, unless its size is None, of an initial RAM disk, by their sizes in bytes.

    For a Linux kernel and a raw binary in RAM, the RAM disk is 128 MiB above the base of RAM, or in the middle of a
    smaller RAM, and the device tree behind it, or in its place. For any other guest, the device tree is at the base of
    RAM, where firmware for this memory map looks for it, or where a kernel has it if the guest itself is there. All of
    these move to avoid loaded files. The description may give an address for the device tree.

    Raises the errors that ``fails`` create, the first for the device tree, the second for the RAM disk.
    """
    size, _ = sizes
    fail, fail_initrd = fails
    if size > MAX_DTB_SIZE:
        raise fail(f"the device tree has {size:#x} bytes, more than the {MAX_DTB_SIZE:#x} that a kernel takes")
    finder = _Finder(ram, description, image, sizes)
    finder.check_wanted(fail)
    main = description.ram
    for room in _rooms(size, main.size):
        for way in (finder.as_in_qemu, finder.device_tree_first):
            found = way(room)
            if found is not None:
                return found
    if finder.place_device_tree(size) is None:
        raise fail(f"{main.name} has no room for {size:#x} bytes of device tree beside the guest")
    raise fail_initrd(f"{main.name} has no room for {sizes[1]:#x} bytes of initial RAM disk beside the guest")


def _rooms(size: int, ram_size: int) -> Iterator[int]:
    """Yield the sizes to try for the room of a device tree of ``size`` bytes, which is the last of them."""
    room = min(max(DTB_ROOM, 2 * size), MAX_DTB_SIZE, ram_size // _MOST_OF_RAM)
    while room > size:
        yield room
        room //= 2
    yield size


class _Finder:
    """Finds free memory where a guest expects its files."""

    def __init__(
        self, ram: GuestRam, description: MachineDescription, image: GuestImage, sizes: tuple[int, int | None]
    ) -> None:
        self._ram = ram
        self._image = image
        self._taken = taken_extents(ram, image)
        self._size, self._initrd_size = sizes
        self._wanted = description.boot.dtb_address
        self._main = main = description.ram
        low, high = _window(image) if image.kind == "linux" else (main.base, main.end)
        self._window = max(low, main.base), min(high, main.end)
        lowest = min((each.address for each in image.segments if main.holds(each.address)), default=None)
        self._is_flat = image.kind != "elf" and lowest is not None
        self._start = _start(main, main.base if lowest is None else lowest)

    def check_wanted(self, fail: Fail) -> None:
        """Raise the error that ``fail`` creates if the device tree cannot be where the description requires."""
        wanted, size = self._wanted, self._size
        if wanted is None:
            return
        if self._ram.find(wanted, size) is None:
            raise fail(f"{wanted:#x} has no room for {size:#x} bytes of device tree: {self._ram.describe()}")
        for start, end, name in self._taken:
            if start < wanted + size and wanted < end:
                raise fail(f"{size:#x} bytes of device tree at {wanted:#x} would overwrite {name} at {start:#x}")

    def as_in_qemu(self, room: int) -> BootPlaces | None:
        """Place the RAM disk first, if there is one and the guest is a flat image."""
        if not self._is_flat or self._initrd_size is None or self._wanted is not None:
            return None
        start = self._place_initrd(self._initrd_size)
        if start is None:
            return None
        end = start + self._initrd_size
        found = self._place_flat(room, max(end, self._start), Extent(start, end, "initial RAM disk"))
        return None if found is None else BootPlaces(found, room, start)

    def device_tree_first(self, room: int) -> BootPlaces | None:
        """Place the RAM disk behind the device tree, or wherever there is room."""
        found = self.place_device_tree(room)
        if found is None or self._initrd_size is None:
            return None if found is None else BootPlaces(*found, None)
        dtb, room = found
        start = self._place_initrd(self._initrd_size, Extent(dtb, dtb + room, "device tree"))
        return None if start is None else BootPlaces(dtb, room, start)

    def place_device_tree(self, room: int) -> tuple[int, int] | None:
        """Return the address of the device tree, and how much of ``room`` it has there."""
        fixed = self._wanted
        if fixed is None and not self._is_flat and self._free(self._main.base) >= self._size:
            fixed = self._main.base
        if fixed is not None:
            return fixed, max(self._size, min(room, self._free(fixed)))
        found = self._place_flat(room, self._start)
        return None if found is None else (found, room)

    def _place_flat(self, room: int, start: int, *others: Extent) -> int | None:
        """Return an address as close behind ``start`` as alignment allows, else anywhere."""
        taken = [*self._taken, *others]
        least = max(room if self._image.kind == "linux" else 0, PAGE_SIZE)
        for lowest in (start, self._main.base):
            alignment = _DTB_ALIGNMENT
            while alignment >= least:
                address = _gap(lowest, self._main.end, taken, room, alignment)
                if address is not None:
                    return address
                alignment //= 2
        return None

    def _place_initrd(self, size: int, *others: Extent) -> int | None:
        """Return an address for whole pages, above the guest if possible."""
        low, high = self._window
        for lowest in (max(self._start, low), low):
            address = _gap(lowest, high, [*self._taken, *others], size, PAGE_SIZE)
            if address is not None:
                return address
        return None

    def _free(self, address: int) -> int:
        """Return how many bytes from an address on are free, in the region that holds it."""
        backed = self._ram.find(address, 1)
        end = address if backed is None else backed.end
        for each in self._taken:
            if each.end > address and each.end > each.start:
                end = min(end, max(address, each.start))
        return end - address


def _start(main: MemoryRegion, lowest: int) -> int:
    """Return the address to search from, beyond the memory that a kernel whose lowest address is this one uses
    first."""
    start = main.base + min(main.size // 2, KERNEL_ROOM)
    return start if lowest < start else lowest + min((main.end - lowest) // 2, KERNEL_ROOM)


def _window(image: GuestImage) -> tuple[int, int]:
    """Return the range of addresses at which a Linux kernel accepts an initrd: 32 GiB, on 1 GiB boundaries, containing
    the whole kernel (booting.rst, "Call the kernel image"), as (start, exclusive end)."""
    start, end = image.segments[0].address, image.segments[-1].end
    return align_up(end, GIB) - INITRD_WINDOW, start // GIB * GIB + INITRD_WINDOW


def _gap(start: int, end: int, taken: list[Extent], size: int, alignment: int) -> int | None:
    """Return the lowest multiple of ``alignment`` from ``start`` on with ``size`` free bytes before ``end``."""
    address = align_up(start, alignment)
    for each in sorted(taken):
        if address + size > each.start and each.end > address:
            address = align_up(each.end, alignment)
    return address if address + size <= end else None
