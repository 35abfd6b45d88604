"""The places of the device tree and the initial RAM disk of a guest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.board.boot_placement import BootPlaces, place_boot_files
from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.board.placement import BackedRegion, GuestRam
from arm_vcpu_cli.errors import MemoryMapError, UsageError
from arm_vcpu_cli.guest.image import GuestImage, ImageKind, Segment
from tests.support.fake_machine import RAM, image, segment

from .test_placement import DTB, GIB, MIB, ROM, SIZE, described, region


class Unbacked:
    """Memory of any size, of which nobody may touch a byte."""

    def memory(self, paddr: int, size: int) -> memoryview:
        raise AssertionError("touched")


def places(machine: MachineDescription, guest: GuestImage, *, dtb: int = DTB, initrd: int | None = None) -> BootPlaces:
    """Where device tree and initial RAM disk of these sizes go. MemoryMapError: no room for the latter."""
    ram = GuestRam(Unbacked(), [BackedRegion(each, each.base) for each in machine.memory])
    return place_boot_files(ram, machine, guest, (dtb, initrd), (UsageError, MemoryMapError))


def layout(machine: MachineDescription, guest: GuestImage, *, dtb: int, initrd: int) -> tuple[int, int | None]:
    found = places(machine, guest, dtb=dtb, initrd=initrd)
    return found.dtb, found.initrd


def place(machine: MachineDescription, *segments: Segment, size: int = DTB) -> int:
    return places(machine, image(*segments), dtb=size).dtb


def flat(address: int, size: int, kind: ImageKind = "raw") -> GuestImage:
    return replace(image(segment(address, b"", size, name="raw binary"), entry=address), kind=kind)


def kernel(address: int, size: int) -> GuestImage:
    """A Linux kernel that asks for ``size`` bytes."""
    return replace(image(segment(address, b"", size, name="Linux kernel"), entry=address), kind="linux")


def ram(size: int) -> MachineDescription:
    return described(region("ram", RAM, size))


# Flat images ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["raw", "linux"])
@pytest.mark.parametrize("offset", [0, 0x8_0000, 0x20_0000])
@pytest.mark.parametrize(("size", "expected"), [(512, 128), (256, 128), (128, 64), (64, 32), (8, 4)])
def test_a_flat_image_in_ram_has_it_where_qemu_puts_it(kind: ImageKind, offset: int, size: int, expected: int) -> None:
    """QEMU 7.2, hw/arm/boot.c, and seen in its monitor (xp)."""
    found = places(ram(size * MIB), flat(RAM + offset, 0x1000, kind))
    assert found == (RAM + expected * MIB, MIB, None)


@pytest.mark.parametrize("kind", ["raw", "linux"])
@pytest.mark.parametrize(("initrd", "behind"), [(20, 2), (2 * MIB, 2), (2 * MIB + 1, 4)])
def test_the_initrd_of_a_flat_image_comes_first(kind: ImageKind, initrd: int, behind: int) -> None:
    """As in QEMU, which aligns what comes behind it to 2 MiB."""
    found = places(ram(512 * MIB), flat(RAM + 0x8_0000, 0x1000, kind), initrd=initrd)
    assert found == (RAM + (128 + behind) * MIB, MIB, RAM + 128 * MIB)


@pytest.mark.parametrize("size", [0xA_0000, 0x10_0000, 0x18_0000])
def test_a_flat_image_in_a_small_ram_has_it_above_itself_if_that_is_possible(size: int) -> None:
    found = places(ram(size), flat(RAM + 0x8_0000, 0x100))
    assert found.dtb > RAM + 0x8_0000 or size == 0xA_0000
    assert found.room == size // 8


def test_a_flat_image_outside_of_ram_is_firmware() -> None:
    machine = described(region("rom", ROM, 0x1000), region("ram", RAM, 512 * MIB))
    assert places(machine, flat(ROM, 0x1000)) == (RAM, MIB, None)


# The room of a device tree -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "room"), [(DTB, MIB), (MIB // 2 + 8, MIB + 16), (MIB, 2 * MIB), (2 * MIB, 2 * MIB)])
def test_firmware_can_edit_a_device_tree_in_place(size: int, room: int) -> None:
    assert places(ram(512 * MIB), image(segment(RAM + 8 * MIB, b"x", 0x1000)), dtb=size) == (RAM, room, None)


def test_its_room_ends_where_the_guest_begins() -> None:
    assert places(ram(512 * MIB), image(segment(RAM + 0x8_0000, b"x", 0x1000))) == (RAM, 0x8_0000, None)


def test_its_room_ends_with_the_ram() -> None:
    machine = described(region("ram", RAM, 64 * MIB), dtb_address=RAM + 64 * MIB - 0x1_0000)
    assert places(machine, image()).room == 0x1_0000


def test_it_takes_no_room_from_an_initrd() -> None:
    machine = ram(64 * MIB)
    assert places(machine, kernel(RAM, 32 * MIB), dtb=0x1000, initrd=31 * MIB) == (
        RAM + 63 * MIB, MIB, RAM + 32 * MIB
    )  # fmt: skip
    assert places(machine, kernel(RAM, 32 * MIB), dtb=0x1000, initrd=32 * MIB - 0x1000) == (
        RAM + 64 * MIB - 0x1000, 0x1000, RAM + 32 * MIB
    )  # fmt: skip


# The device tree -----------------------------------------------------------------------------------------------


def test_the_base_of_ram_comes_first() -> None:
    assert place(described(), segment(RAM + 0x8_0000, b"x", 0x1000)) == RAM


def test_a_guest_outside_of_the_main_ram_leaves_its_base_free() -> None:
    machine = described(region("rom", ROM, 0x1000), region("ram", RAM, SIZE))
    assert place(machine, segment(ROM, b"x", 0x1000)) == RAM


@pytest.mark.parametrize(("size", "expected"), [(512, 128), (64, 32)])
def test_a_guest_at_the_base_has_it_where_a_kernel_has_it(size: int, expected: int) -> None:
    assert place(ram(size * MIB), segment(RAM, b"x", 0x1000)) == RAM + expected * MIB


def test_above_all_segments_and_not_only_the_first() -> None:
    assert place(described(), segment(RAM, b"x", 0x10), segment(RAM + 0x8_0000, b"x", 0x2_0010)) == RAM + 0xC_0000


def test_a_gap_at_the_base_that_is_too_small_is_not_used() -> None:
    assert place(described(), segment(RAM + 0x1000, b"x", 0x10)) == RAM + 0x8_0000
    assert place(described(), segment(RAM + 0x1000, b"x", 0x10), size=0x1000) == RAM


def test_no_room_is_refused() -> None:
    with pytest.raises(UsageError, match="ram has no room for 0x1234 bytes"):
        place(described(), segment(RAM, b"x", SIZE))
    with pytest.raises(UsageError, match="no room"):
        place(described(), segment(RAM, b"x", SIZE - 0x1000))


def test_a_preloaded_file_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "initrd"
    file.write_bytes(bytes(0x4800))
    assert place(described(region("ram", RAM, SIZE, file=file))) == RAM + 0x8_0000
    assert place(described(region("ram", RAM, SIZE, file=file, file_offset=0x8000))) == RAM


def test_the_description_may_say_where() -> None:
    assert place(described(dtb_address=RAM + 0x123_0)) == RAM + 0x1230


@pytest.mark.parametrize("address", [RAM - 8, RAM + SIZE - DTB + 8, 0, RAM + SIZE])
def test_an_address_without_room_is_refused(address: int) -> None:
    with pytest.raises(UsageError, match=f"{address:#x} has no room"):
        place(described(dtb_address=address))


@pytest.mark.parametrize("address", [RAM + 0x1000, RAM + 0x8_0000 - DTB + 8, RAM + 0x8_0FF8])
def test_an_address_over_the_guest_is_refused(address: int, tmp_path: Path) -> None:
    file = tmp_path / "fw.bin"
    file.write_bytes(bytes(0x1800))
    machine = described(region("ram", RAM, SIZE, file=file), dtb_address=address)
    with pytest.raises(UsageError, match=r"would overwrite (text|fw\.bin) at"):
        place(machine, segment(RAM + 0x8_0000, b"x", 0x1000, name="text"))


@given(parts=st.lists(st.tuples(st.integers(0, 255), st.integers(1, 64)), max_size=5), size=st.integers(1, SIZE))
def test_wherever_it_goes_it_is_in_memory_and_overwrites_nothing(parts: list[tuple[int, int]], size: int) -> None:
    segments = [segment(RAM + 0x1000 * page, b"", 0x1000 * pages) for page, pages in parts]
    try:
        address = place(described(), *segments, size=size)
    except UsageError:
        return
    assert address >= RAM
    assert address + size <= RAM + SIZE
    assert address % 0x1000 == 0
    assert all(address + size <= each.address or each.end <= address for each in segments)


def test_a_device_tree_that_no_kernel_takes_is_refused() -> None:
    machine = described(region("ram", RAM, 16 * MIB))
    assert place(machine, size=2 * MIB) == RAM
    with pytest.raises(UsageError, match="0x200001 bytes, more than the 0x200000"):
        place(machine, size=2 * MIB + 1)


# Linux ---------------------------------------------------------------------------------------------------------


def test_what_a_kernel_gets_is_128_mib_above_it() -> None:
    machine = described(region("ram", RAM, 512 * MIB))
    dtb, initrd = layout(machine, kernel(RAM, 27 * MIB), dtb=0x1234, initrd=50 * MIB)
    assert (dtb, initrd) == (RAM + 178 * MIB, RAM + 128 * MIB)


def test_a_kernel_at_the_base_of_ram_is_not_overwritten_by_its_device_tree() -> None:
    machine = described(region("ram", RAM, 32 * MIB))
    dtb, initrd = layout(machine, kernel(RAM, 27 * MIB), dtb=0x1234, initrd=4 * MIB)
    assert (dtb, initrd) == (RAM + 31 * MIB, RAM + 27 * MIB)


def test_no_boundary_of_2_mib_crosses_the_device_tree_of_a_kernel() -> None:
    """Kernels before 4.2 map a single block of 2 MiB for it. Half of this RAM ends within such a block."""
    machine = described(region("ram", RAM, 65 * MIB))
    assert places(machine, kernel(RAM, MIB), dtb=0x18_0000).dtb == RAM + 34 * MIB
    assert places(ram(3 * MIB), kernel(RAM, MIB), dtb=0x8_0000).dtb == RAM + 2 * MIB
    assert places(ram(3 * MIB), kernel(RAM, 2 * MIB), dtb=0x18_0000 // 2) == (RAM + 2 * MIB, 0x18_0000 // 2, None)


def test_an_initrd_goes_below_the_kernel_where_there_is_no_room_above() -> None:
    machine = described(region("ram", RAM, 64 * MIB))
    dtb, initrd = layout(machine, kernel(RAM + 40 * MIB, 20 * MIB), dtb=0x1000, initrd=30 * MIB)
    assert dtb == RAM + 60 * MIB
    assert initrd == RAM


def test_the_device_tree_of_a_kernel_may_be_given_a_place() -> None:
    machine = described(region("ram", RAM, 512 * MIB), dtb_address=RAM + 128 * MIB + 8)
    dtb, initrd = layout(machine, kernel(RAM, 27 * MIB), dtb=0x1000, initrd=MIB)
    assert (dtb, initrd) == (RAM + 128 * MIB + 8, RAM + 129 * MIB + 0x1000)


def test_firmware_gets_an_initrd_as_well_and_its_device_tree_stays_where_it_was() -> None:
    machine = described(region("rom", 0, MIB), region("ram", RAM, 512 * MIB))
    assert layout(machine, image(segment(0, b"", MIB)), dtb=0x1000, initrd=MIB) == (RAM, RAM + 128 * MIB)


def test_an_initrd_avoids_preloaded_files(tmp_path: Path) -> None:
    file = tmp_path / "disk.img"
    file.write_bytes(bytes(0x1001))
    machine = described(region("ram", RAM, 512 * MIB, file=file, file_offset=128 * MIB))
    assert layout(machine, kernel(RAM, MIB), dtb=0x1000, initrd=MIB) == (RAM + 130 * MIB, RAM + 128 * MIB + 0x2000)


def test_no_room_for_an_initrd_is_refused() -> None:
    machine = described(region("ram", RAM, 64 * MIB))
    with pytest.raises(
        MemoryMapError, match="ram has no room for 0x1fff001 bytes of initial RAM disk beside the guest"
    ):
        layout(machine, kernel(RAM, 32 * MIB), dtb=0x1000, initrd=32 * MIB - 0x1000 + 1)


def test_a_kernel_finds_its_initrd_within_32_gib() -> None:
    """booting.rst: one window of 32 GiB, on boundaries of 1 GiB, holds the kernel and all of the initrd."""
    machine = described(region("ram", RAM, 128 * GIB))
    top = RAM + 128 * GIB - 64 * MIB
    _, initrd = layout(machine, kernel(top, 64 * MIB), dtb=0x1000, initrd=MIB)
    assert initrd is not None
    assert (top + 64 * MIB - 1) // GIB - initrd // GIB < 32
    with pytest.raises(MemoryMapError, match="no room"):
        layout(machine, kernel(RAM, MIB), dtb=0x1000, initrd=32 * GIB)


@given(
    ram_size=st.integers(1, 4096),
    base=st.integers(0, 64),
    kernel_size=st.integers(1, 1 << 28),
    dtb=st.integers(1, 2 * MIB),
    initrd=st.integers(1, 1 << 28),
    kind=st.sampled_from(["linux", "elf", "raw"]),
)
def test_kernel_device_tree_and_initrd_never_overlap(
    ram_size: int, base: int, kernel_size: int, dtb: int, initrd: int, kind: ImageKind
) -> None:
    machine = described(region("ram", RAM, ram_size * MIB))
    start = RAM + base * 2 * MIB
    guest = replace(kernel(start, kernel_size), kind=kind)
    try:
        dtb_at, room, initrd_at = places(machine, guest, dtb=dtb, initrd=initrd)
    except (UsageError, MemoryMapError):
        # With so much to spare there is always room.
        assert base * 2 * MIB + 2 * kernel_size + 8 * MIB + 2 * initrd > ram_size * MIB
        return
    assert initrd_at is not None
    assert room >= dtb
    ranges = sorted([(start, start + kernel_size), (dtb_at, dtb_at + room), (initrd_at, initrd_at + initrd)])
    assert ranges[0][1] <= ranges[1][0] and ranges[1][1] <= ranges[2][0]
    for address, size in ((dtb_at, room), (initrd_at, initrd)):
        assert address >= RAM and address + size <= RAM + ram_size * MIB
    assert dtb_at % 8 == 0
    assert initrd_at % 0x1000 == 0
    if kind == "linux":
        assert dtb_at // (2 * MIB) == (dtb_at + room - 1) // (2 * MIB)
