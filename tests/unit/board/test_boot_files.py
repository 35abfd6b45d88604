"""Device tree and initial RAM disk as the guest finds them in its memory."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from arm_vcpu_cli.board.boot_files import load_boot_files
from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.board.placement import GuestRam
from arm_vcpu_cli.errors import GuestFileError, MachineFileError
from arm_vcpu_cli.guest.image import GuestImage
from tests.support.fake_host import FakePhysical
from tests.support.fake_machine import RAM, back, description, image, segment

from .fdt_reader import Tree, read_blob

KERNEL = replace(image(segment(RAM, b"", 0x4_0000)), kind="linux")


def seeds(size: int) -> bytes:
    return bytes(itertools.islice(itertools.cycle(b"seed"), size))


def with_initrd(path: Path | None, *, dtb: bool = True, kaslr: bool = False) -> MachineDescription:
    plain = description()
    return replace(plain, boot=replace(plain.boot, initrd=path, dtb=dtb, kaslr=kaslr))


def loaded(machine: MachineDescription, guest: GuestImage = KERNEL) -> tuple[GuestRam, int | None]:
    physical = FakePhysical()
    ram = GuestRam(physical, [back(physical, each) for each in machine.memory])
    return ram, load_boot_files(ram, machine, guest, seeds)


def chosen(ram: GuestRam, address: int | None) -> Tree:
    """/chosen of the device tree in memory."""
    assert address is not None
    header = ram.view(address, 8)
    assert header is not None
    blob = ram.view(address, int.from_bytes(header[4:8], "big"))
    assert blob is not None
    return read_blob(bytes(blob)).root.at("/chosen")


def test_the_device_tree_says_where_the_initrd_is(tmp_path: Path) -> None:
    path = tmp_path / "initrd.gz"
    path.write_bytes(b"initrd" * 1000)
    ram, address = loaded(with_initrd(path))
    node = chosen(ram, address)
    (high, start), (end_high, end) = node.cells("linux,initrd-start"), node.cells("linux,initrd-end")
    assert (high, end_high, end - start) == (0, 0, 6000)
    view = ram.view(start, 6000)
    assert view is not None
    assert bytes(view) == b"initrd" * 1000
    assert start % 0x1000 == 0
    assert start >= RAM + 0x4_0000


def test_without_an_initrd_the_device_tree_names_none() -> None:
    node = chosen(*loaded(with_initrd(None)))
    assert {"linux,initrd-start", "linux,initrd-end"}.isdisjoint(node.properties)


def test_the_device_tree_says_how_much_room_it_has() -> None:
    """A tree of 1.4 KiB has an eighth of this small RAM. Its blocks are those of the blob, with zeros behind them."""
    ram, address = loaded(with_initrd(None))
    assert address is not None
    assert ram.loaded[-1] == (address, address + 0x2_0000, "device tree")
    view = ram.view(address, 0x2_0000)
    assert view is not None
    blob = read_blob(bytes(view))
    assert blob.reserved == []
    assert blob.root.at("/psci").properties


def test_the_guest_gets_the_seeds_that_it_is_given() -> None:
    node = chosen(*loaded(with_initrd(None, kaslr=True)))
    assert node.properties["rng-seed"] == b"seed" * 16
    assert node.properties["kaslr-seed"] == b"seedseed"


def test_a_kernel_is_given_no_seed_for_its_addresses_unless_that_is_asked_for() -> None:
    assert "kaslr-seed" not in chosen(*loaded(with_initrd(None))).properties


def test_a_machine_without_a_device_tree_gets_none() -> None:
    ram, address = loaded(with_initrd(None, dtb=False))
    assert address is None
    view = ram.view(RAM, 1 << 20)
    assert view is not None
    assert not any(view)


def test_an_initrd_that_no_device_tree_would_tell_of_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "initrd.gz"
    path.write_bytes(b"x")
    with pytest.raises(MachineFileError, match=r"virt: boot\.dtb: false, but only a device tree"):
        loaded(with_initrd(path, dtb=False))


@pytest.mark.parametrize(
    ("data", "part"),
    [(b"", "the file is empty"), (bytes(1 << 20), "ram has no room for 0x100000 bytes of initial RAM")],
)
def test_an_initrd_that_cannot_be_used_is_refused_by_name(tmp_path: Path, data: bytes, part: str) -> None:
    path = tmp_path / "initrd.gz"
    path.write_bytes(data)
    with pytest.raises(GuestFileError) as caught:
        loaded(with_initrd(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert part in str(caught.value)
