"""Guest files: recognised by content, read, and refused with the file's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.guest import loader
from arm_vcpu_cli.guest.image import ImageKind
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.guest.raw import load_raw

from .elf_writer import CODE, ElfFile, Load

RAM = 0x4000_0000
ELF = ElfFile([Load(RAM + 0x1000)], entry=RAM + 0x1000).to_bytes()


def written(directory: Path, data: bytes) -> Path:
    path = directory / "guest.bin"
    path.write_bytes(data)
    return path


def test_an_elf_file_is_recognised_whatever_its_name(tmp_path: Path) -> None:
    image = load_guest(written(tmp_path, ELF), load_address=0x5000_0000, ram_base=RAM, kind=None)
    assert (image.kind, image.entry) == ("elf", RAM + 0x1000)


def test_anything_else_is_a_raw_binary_512_kib_into_ram(tmp_path: Path) -> None:
    path = written(tmp_path, CODE)
    image = load_guest(path, load_address=None, ram_base=RAM, kind=None)
    (segment,) = image.segments
    assert (image.kind, image.path, image.entry, image.load_bias) == ("raw", path, RAM + 0x8_0000, 0)
    assert (segment.address, segment.data, segment.memory_size) == (RAM + 0x8_0000, CODE, len(CODE))
    assert segment.readable and segment.writable and segment.executable
    assert len(image.symbols) == 0


def test_a_raw_binary_goes_where_it_is_asked_for(tmp_path: Path) -> None:
    image = load_guest(written(tmp_path, CODE), load_address=0x1234_0000, ram_base=RAM, kind=None)
    assert (image.entry, image.segments[0].address) == (0x1234_0000, 0x1234_0000)


def test_an_elf_file_can_be_loaded_as_the_bytes_that_it_is(tmp_path: Path) -> None:
    image = load_guest(written(tmp_path, ELF), load_address=RAM, ram_base=RAM, kind="raw")
    assert (image.kind, image.segments[0].data) == ("raw", ELF)


def test_a_raw_binary_is_refused_where_an_elf_file_is_demanded(tmp_path: Path) -> None:
    path = written(tmp_path, CODE)
    with pytest.raises(GuestFileError, match="not an ELF file") as caught:
        load_guest(path, load_address=None, ram_base=RAM, kind="elf")
    assert str(caught.value).startswith(f"{path}: offset 0x0: ")


@pytest.mark.parametrize(
    ("magic", "name"),
    [
        (b"\x1f\x8b\x08", "gzip"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"PK\x03\x04", "zip"),
        (b"!<arch>\n", "archive"),
        (b"\x27\x05\x19\x56", "U-Boot"),
        (b"\xd0\x0d\xfe\xed", "device tree"),
    ],
)
def test_a_file_that_must_be_unpacked_first_is_refused_unless_it_is_asked_for_as_raw(
    tmp_path: Path, magic: bytes, name: str
) -> None:
    path = written(tmp_path, magic + bytes(32))
    with pytest.raises(GuestFileError, match=name):
        load_guest(path, load_address=None, ram_base=RAM, kind=None)
    assert load_guest(path, load_address=None, ram_base=RAM, kind="raw").kind == "raw"


@pytest.mark.parametrize("kind", [None, "elf", "raw"])
def test_an_empty_file_is_refused(tmp_path: Path, kind: ImageKind | None) -> None:
    with pytest.raises(GuestFileError, match="empty"):
        load_guest(written(tmp_path, b""), load_address=None, ram_base=RAM, kind=kind)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "none.elf"
    with pytest.raises(GuestFileError) as caught:
        load_guest(path, load_address=None, ram_base=RAM, kind=None)
    assert str(caught.value) == f"{path}: cannot be read: No such file or directory"
    assert caught.value.exit_status == 2


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GuestFileError, match="cannot be read"):
        load_guest(tmp_path, load_address=None, ram_base=RAM, kind=None)


def test_a_name_with_a_nul_is_refused() -> None:
    with pytest.raises(GuestFileError, match="null"):
        load_guest(Path("a\0b"), load_address=None, ram_base=RAM, kind=None)


def test_a_file_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "MAX_FILE_SIZE", 1 << 20)
    with pytest.raises(GuestFileError, match="larger than"):
        load_guest(Path("/dev/zero"), load_address=None, ram_base=RAM, kind=None)


@pytest.mark.parametrize("address", [RAM + 2, (1 << 48) - 4])
def test_a_raw_binary_is_refused_where_it_cannot_be(address: int) -> None:
    with pytest.raises(GuestFileError):
        load_raw(Path("x"), CODE, address)
