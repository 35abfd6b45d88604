"""Where a guest, preloaded files and the device tree go in the memory of a machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.errors import GuestFileError, MachineFileError, UsageError
from arm_vcpu_cli.guest.image import Segment
from arm_vcpu_cli.machine.description import MachineDescription, MemoryRegion, OnFault
from arm_vcpu_cli.machine.placement import GuestRam, load_segments, place_device_tree, preload_files

from .fake_machine import RAM, FakePhysical, description, image, segment

SIZE = 1 << 20
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
    return GuestRam(physical, [physical.back(each) for each in machine.memory]), physical


def place(machine: MachineDescription, *segments: Segment, size: int = DTB) -> int:
    return place_device_tree(ram_of(machine)[0], machine, image(*segments), size, UsageError)


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
