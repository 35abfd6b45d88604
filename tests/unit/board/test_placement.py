"""Where a guest, preloaded files and the device tree go in the memory of a machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.board.description import MachineDescription, MemoryRegion, OnFault
from arm_vcpu_cli.board.placement import (
    BackedRegion,
    GuestRam,
    load_bytes,
    load_segments,
    place_device_tree,
    place_initrd,
    preload_files,
)
from arm_vcpu_cli.errors import GuestFileError, MachineFileError, UsageError
from arm_vcpu_cli.guest.image import GuestImage, ImageKind, Segment
from tests.support.fake_host import FakePhysical
from tests.support.fake_machine import RAM, back, description, image, segment

MIB = 1 << 20
GIB = 1 << 30
SIZE = MIB
DTB = 0x1234
ROM = 0x1000


def region(name: str, base: int, size: int, *, file: Path | None = None, file_offset: int = 0) -> MemoryRegion:
    return MemoryRegion(name, base, size, True, name == "ram", True, OnFault.ABORT, file, file_offset)


def described(*regions: MemoryRegion, dtb_address: int | None = None) -> MachineDescription:
    plain = description()
    memory = regions or (region("ram", RAM, SIZE),)
    return replace(plain, memory=memory, boot=replace(plain.boot, dtb_address=dtb_address), path=Path("board.toml"))


def ram_of(machine: MachineDescription) -> tuple[GuestRam, FakePhysical]:
    physical = FakePhysical()
    return GuestRam(physical, [back(physical, each) for each in machine.memory]), physical


def place(machine: MachineDescription, *segments: Segment, size: int = DTB) -> int:
    return place_device_tree(ram_of(machine)[0], machine, image(*segments), size, UsageError)


def kernel(address: int, size: int) -> GuestImage:
    """A Linux kernel that asks for ``size`` bytes."""
    return replace(image(segment(address, b"", size, name="Linux kernel"), entry=address), kind="linux")


class Unbacked:
    """Memory of any size, of which nobody may touch a byte."""

    def memory(self, paddr: int, size: int) -> memoryview:
        raise AssertionError("touched")


def layout(machine: MachineDescription, guest: GuestImage, *, dtb: int, initrd: int) -> tuple[int, int]:
    """Where device tree and initial RAM disk of these sizes go."""
    ram = GuestRam(Unbacked(), [BackedRegion(each, 0) for each in machine.memory])
    address = place_device_tree(ram, machine, guest, dtb, UsageError)
    return address, place_initrd(ram, machine, guest, initrd, (address, dtb), UsageError)


# Memory --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ipa", "size", "name"),
    [
        (RAM, 1, "ram"),
        (RAM + SIZE - 1, 1, "ram"),
        (RAM, SIZE, "ram"),
        (RAM - 1, 1, None),
        (RAM + SIZE, 1, None),
        (RAM + SIZE - 1, 2, None),
        (ROM, 8, "rom"),
        (ROM - 1, 2, None),
    ],
)
def test_a_range_is_in_the_region_that_holds_all_of_it(ipa: int, size: int, name: str | None) -> None:
    ram, _ = ram_of(described(region("rom", ROM, 0x1000), region("ram", RAM, SIZE)))
    found = ram.find(ipa, size)
    assert (found.region.name if found is not None else None) == name
    assert (ram.view(ipa, size) is not None) is (name is not None)


def test_regions_do_not_run_into_each_other() -> None:
    ram, _ = ram_of(described(region("rom", RAM - 0x1000, 0x1000), region("ram", RAM, SIZE)))
    assert ram.find(RAM - 1, 2) is None


# The guest -----------------------------------------------------------------------------------------------------


def test_segments_are_copied_to_their_addresses() -> None:
    ram, _ = ram_of(described())
    load_segments(ram, image(segment(RAM + 0x100, b"code"), segment(RAM + 0x2000, b"data", 0x1000)))
    view = ram.view(RAM, 0x3000)
    assert view is not None
    assert bytes(view[0x100:0x104]) == b"code"
    assert bytes(view[0x2000:0x2005]) == b"data\0"


def test_an_empty_segment_may_be_anywhere() -> None:
    load_segments(ram_of(described())[0], image(segment(0xDEAD_0000)))


@pytest.mark.parametrize(
    ("address", "size"), [(RAM - 1, 4), (RAM + SIZE - 3, 4), (0, 4), (RAM + SIZE, 4), (RAM, SIZE + 1)]
)
def test_a_segment_outside_of_memory_is_refused_saying_where_memory_is(address: int, size: int) -> None:
    ram, _ = ram_of(described())
    with pytest.raises(GuestFileError, match=r"text at .* outside of memory: ram 0x40000000-0x400fffff") as caught:
        load_segments(ram, image(segment(address, b"x", size, name="text")))
    assert f"{address:#x}-{address + size - 1:#x}" in str(caught.value)


def test_bss_over_a_preloaded_file_is_cleared(tmp_path: Path) -> None:
    file = tmp_path / "disk.img"
    file.write_bytes(b"\xff" * 0x2000)
    machine = described(region("ram", RAM, SIZE, file=file))
    ram, _ = ram_of(machine)
    preload_files(ram, machine)
    load_segments(ram, image(segment(RAM + 0x1000, b"ab", 0x800)))
    view = ram.view(RAM, 0x2000)
    assert view is not None
    assert bytes(view[0xFFF:0x1003]) == b"\xffab\0"
    assert bytes(view[0x1002:0x1800]) == bytes(0x7FE)
    assert view[0x1800] == 0xFF


def test_bss_is_cleared_only_where_a_file_was(tmp_path: Path) -> None:
    """The rest is fresh, and to write zeros to it would cost the host the memory."""
    file = tmp_path / "disk.img"
    file.write_bytes(b"\xff" * 0x100)
    machine = described(region("ram", RAM, SIZE, file=file, file_offset=0x800))
    ram, _ = ram_of(machine)
    preload_files(ram, machine)
    view = ram.view(RAM, SIZE)
    assert view is not None
    view[0x8000] = view[0x7FF] = 0x55
    load_segments(ram, image(segment(RAM + 0x100, b"ab", SIZE - 0x100)))
    assert bytes(view[0x800:0x900]) == bytes(0x100)
    assert (view[0x8000], view[0x7FF]) == (0x55, 0x55)


def test_data_over_a_preloaded_file_wins_over_it(tmp_path: Path) -> None:
    file = tmp_path / "disk.img"
    file.write_bytes(b"\xff" * 0x10)
    machine = described(region("ram", RAM, SIZE, file=file))
    ram, _ = ram_of(machine)
    preload_files(ram, machine)
    load_segments(ram, image(segment(RAM + 4, b"code", 8)))
    view = ram.view(RAM, 0x10)
    assert view is not None
    assert bytes(view) == b"\xff" * 4 + b"code" + bytes(4) + b"\xff" * 4


def test_bytes_go_to_memory_or_are_refused() -> None:
    ram, _ = ram_of(described())
    load_bytes(ram, RAM + SIZE - 4, b"last")
    view = ram.view(RAM + SIZE - 4, 4)
    assert view is not None
    assert bytes(view) == b"last"
    with pytest.raises(ValueError, match="outside of memory"):
        load_bytes(ram, RAM + SIZE - 3, b"last")


# Files ---------------------------------------------------------------------------------------------------------


def test_a_file_goes_to_its_offset_in_its_region(tmp_path: Path) -> None:
    file = tmp_path / "fw.bin"
    file.write_bytes(b"firmware")
    machine = described(region("rom", ROM, 0x1000, file=file, file_offset=0x10), region("ram", RAM, SIZE))
    ram, _ = ram_of(machine)
    preload_files(ram, machine)
    view = ram.view(ROM, 0x20)
    assert view is not None
    assert bytes(view[0xF:0x19]) == b"\0firmware\0"


def test_a_file_that_grew_since_it_was_checked_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "fw.bin"
    file.write_bytes(bytes(0x1001))
    machine = described(region("rom", ROM, 0x1000, file=file), region("ram", RAM, SIZE))
    with pytest.raises(MachineFileError, match=r"memory\.rom\.file: .*0x1001 bytes"):
        preload_files(ram_of(machine)[0], machine)


def test_a_file_that_went_away_since_it_was_checked_is_refused(tmp_path: Path) -> None:
    machine = described(region("rom", ROM, 0x1000, file=tmp_path / "gone"), region("ram", RAM, SIZE))
    with pytest.raises(MachineFileError, match=r"board\.toml: memory\.rom\.file: .*gone: No such file"):
        preload_files(ram_of(machine)[0], machine)


# The device tree -----------------------------------------------------------------------------------------------


def test_the_base_of_ram_comes_first() -> None:
    assert place(described(), segment(RAM + 0x8_0000, b"x", 0x1000)) == RAM


@pytest.mark.parametrize(
    ("address", "size", "expected"),
    [
        (RAM + 0x8_0000, 512 * MIB, RAM + 128 * MIB),
        (RAM + 0x8_0000, 64 * MIB, RAM),  # there is no room so far up
        (RAM + 0x10_0000, 512 * MIB, RAM),  # no kernel is there by default
    ],
)
def test_a_flat_image_where_a_kernel_would_be_has_it_where_qemu_puts_it(address: int, size: int, expected: int) -> None:
    machine = described(region("ram", RAM, size))
    guest = replace(image(segment(address, b"", 0x1000), entry=address), kind="raw")
    ram = GuestRam(Unbacked(), [BackedRegion(each, each.base) for each in machine.memory])
    assert place_device_tree(ram, machine, guest, DTB, UsageError) == expected


def test_a_guest_outside_of_the_main_ram_leaves_its_base_free() -> None:
    machine = described(region("rom", ROM, 0x1000), region("ram", RAM, SIZE))
    assert place(machine, segment(ROM, b"x", 0x1000)) == RAM


@pytest.mark.parametrize("end", [0x1001, 0x2000])
def test_above_a_guest_that_is_at_the_base(end: int) -> None:
    assert place(described(), segment(RAM, b"x", end)) == RAM + 0x2000


def test_above_all_segments_and_not_only_the_first() -> None:
    assert place(described(), segment(RAM, b"x", 0x10), segment(RAM + 0x5000, b"x", 0x10)) == RAM + 0x6000


def test_a_gap_at_the_base_that_is_too_small_is_not_used() -> None:
    assert place(described(), segment(RAM + 0x1000, b"x", 0x10)) == RAM + 0x2000
    assert place(described(), segment(RAM + 0x1000, b"x", 0x10), size=0x1000) == RAM


def test_no_room_is_refused() -> None:
    with pytest.raises(UsageError, match="ram has no room for 0x1234 bytes"):
        place(described(), segment(RAM, b"x", SIZE))
    with pytest.raises(UsageError, match="no room"):
        place(described(), segment(RAM, b"x", SIZE - 0x1000))


def test_a_preloaded_file_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "initrd"
    file.write_bytes(bytes(0x4800))
    assert place(described(region("ram", RAM, SIZE, file=file))) == RAM + 0x5000
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
    assert (dtb, initrd) == (RAM + 128 * MIB, RAM + 128 * MIB + 0x2000)


def test_a_kernel_at_the_base_of_ram_is_not_overwritten_by_its_device_tree() -> None:
    machine = described(region("ram", RAM, 32 * MIB))
    dtb, initrd = layout(machine, kernel(RAM, 27 * MIB), dtb=0x1234, initrd=4 * MIB)
    assert (dtb, initrd) == (RAM + 27 * MIB, RAM + 27 * MIB + 0x2000)


def test_no_boundary_of_2_mib_crosses_the_device_tree_of_a_kernel() -> None:
    """Kernels before 4.2 map a single block of 2 MiB for it. Half of this RAM ends within such a block."""
    machine = described(region("ram", RAM, 65 * MIB))
    assert layout(machine, kernel(RAM, MIB), dtb=0x18_0000, initrd=MIB)[0] == RAM + 34 * MIB
    assert layout(machine, kernel(RAM, MIB), dtb=0x1_0000, initrd=MIB)[0] == RAM + 32 * MIB + 0x8_0000


def test_an_initrd_goes_below_the_kernel_where_there_is_no_room_above() -> None:
    machine = described(region("ram", RAM, 64 * MIB))
    dtb, initrd = layout(machine, kernel(RAM + 40 * MIB, 20 * MIB), dtb=0x1000, initrd=30 * MIB)
    assert dtb == RAM + 60 * MIB
    assert initrd == RAM


def test_the_device_tree_of_a_kernel_may_be_given_a_place() -> None:
    machine = described(region("ram", RAM, 512 * MIB), dtb_address=RAM + 128 * MIB + 8)
    dtb, initrd = layout(machine, kernel(RAM, 27 * MIB), dtb=0x1000, initrd=MIB)
    assert (dtb, initrd) == (RAM + 128 * MIB + 8, RAM + 128 * MIB + 0x2000)


def test_firmware_gets_an_initrd_as_well_and_its_device_tree_stays_where_it_was() -> None:
    machine = described(region("rom", 0, MIB), region("ram", RAM, 512 * MIB))
    assert layout(machine, image(segment(0, b"", MIB)), dtb=0x1000, initrd=MIB) == (RAM, RAM + 128 * MIB)


def test_an_initrd_avoids_preloaded_files(tmp_path: Path) -> None:
    file = tmp_path / "disk.img"
    file.write_bytes(bytes(0x1001))
    machine = described(region("ram", RAM, 512 * MIB, file=file, file_offset=128 * MIB))
    assert layout(machine, kernel(RAM, MIB), dtb=0x1000, initrd=MIB) == (
        RAM + 128 * MIB + 0x2000,
        RAM + 128 * MIB + 0x3000,
    )


def test_no_room_for_an_initrd_is_refused() -> None:
    machine = described(region("ram", RAM, 64 * MIB))
    assert layout(machine, kernel(RAM, 32 * MIB), dtb=0x1000, initrd=32 * MIB - 0x1000)[1] == RAM + 32 * MIB + 0x1000
    with pytest.raises(UsageError, match="ram has no room for 0x1fff001 bytes of initial RAM disk beside the guest"):
        layout(machine, kernel(RAM, 32 * MIB), dtb=0x1000, initrd=32 * MIB - 0x1000 + 1)


def test_a_kernel_finds_its_initrd_within_32_gib() -> None:
    """booting.rst: one window of 32 GiB, on boundaries of 1 GiB, holds the kernel and all of the initrd."""
    machine = described(region("ram", RAM, 128 * GIB))
    top = RAM + 128 * GIB - 64 * MIB
    _, initrd = layout(machine, kernel(top, 64 * MIB), dtb=0x1000, initrd=MIB)
    assert (top + 64 * MIB - 1) // GIB - initrd // GIB < 32
    with pytest.raises(UsageError, match="no room"):
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
        dtb_at, initrd_at = layout(machine, guest, dtb=dtb, initrd=initrd)
    except UsageError:
        # With so much to spare there is always room.
        assert base * 2 * MIB + 2 * kernel_size + 8 * MIB + 2 * initrd > ram_size * MIB
        return
    ranges = sorted([(start, start + kernel_size), (dtb_at, dtb_at + dtb), (initrd_at, initrd_at + initrd)])
    assert ranges[0][1] <= ranges[1][0] and ranges[1][1] <= ranges[2][0]
    for address, size in ((dtb_at, dtb), (initrd_at, initrd)):
        assert address >= RAM and address + size <= RAM + ram_size * MIB
    assert dtb_at % 8 == 0
    assert initrd_at % 0x1000 == 0
    if kind == "linux":
        assert dtb_at // (2 * MIB) == (dtb_at + dtb - 1) // (2 * MIB)
