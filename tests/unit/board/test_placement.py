"""The places of a guest, preloaded files and the device tree in the memory of a machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from arm_vcpu_cli.board.description import MachineDescription, MemoryRegion, OnFault
from arm_vcpu_cli.board.placement import (
    GuestRam,
    load_bytes,
    load_segments,
    preload_files,
)
from arm_vcpu_cli.errors import GuestFileError, MachineFileError
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
