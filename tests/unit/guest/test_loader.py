"""Guest files: recognised by content, read, and refused with the file's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.guest import files
from arm_vcpu_cli.guest.files import read_initrd
from arm_vcpu_cli.guest.image import ImageKind
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.guest.raw import load_raw
from arm_vcpu_cli.sizes import Written

from .elf_writer import CODE, ElfFile, Load
from .linux_writer import image as kernel

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
        (b"7z\xbc\xaf\x27\x1c", "7z archive"),
        (b"070701", "a cpio archive"),
        (b"VNDRBOOT", "an Android vendor boot image"),
        (b"BC\xc0\xde", "LLVM bitcode"),
        (b"QFI\xfb", "qcow2"),
        (bytes(0x24) + b"\x18\x28\x6f\x01", "a 32-bit Arm Linux kernel"),
        (bytes(0x38) + b"RSC\x05", "a RISC-V Linux kernel"),
        (b"MZ" + bytes(0x36) + b"\xcd\x23\x82\x81", "a LoongArch Linux kernel"),
        (b"MZ" + bytes(0x200) + b"HdrS", "an x86 Linux kernel"),
        (bytes(0x101) + b"ustar", "a tar archive"),
        (bytes(0x1FE) + b"\x55\xaa", "MBR"),
        (bytes(0x200) + b"EFI PART", "GPT"),
        (bytes(0x438) + b"\x53\xef", "ext4"),
        (bytes(0x8001) + b"CD001", "ISO 9660"),
        (b":020000040000FA\r\n:10010000214601360121470136007EFE09D2190140\r\n", "an Intel HEX file"),
        (b"S00600004844521B\nS1130000285F245F2212226A000424290008237C2A\n", "a Motorola S-record file"),
    ],
)
def test_a_file_that_must_be_unpacked_first_is_refused_unless_it_is_asked_for_as_raw(
    tmp_path: Path, magic: bytes, name: str
) -> None:
    path = written(tmp_path, magic + bytes(32))
    with pytest.raises(GuestFileError, match=name):
        load_guest(path, load_address=None, ram_base=RAM, kind=None)
    assert load_guest(path, load_address=None, ram_base=RAM, kind="raw").kind == "raw"


def test_a_kernel_can_be_loaded_as_the_bytes_that_it_is(tmp_path: Path) -> None:
    loaded = load_guest(written(tmp_path, kernel()), load_address=RAM + 4, ram_base=RAM, kind="raw")
    assert (loaded.kind, loaded.entry, loaded.segments[0].data) == ("raw", RAM + 4, kernel())


def test_a_raw_binary_is_refused_where_a_kernel_is_demanded(tmp_path: Path) -> None:
    with pytest.raises(GuestFileError, match="not an arm64 Linux kernel"):
        load_guest(written(tmp_path, CODE), ram_base=RAM, kind="linux")


def test_the_load_address_is_the_base_of_a_kernel(tmp_path: Path) -> None:
    path = written(tmp_path, kernel(text_offset=0x8_0000))
    assert load_guest(path, load_address=0x6000_0000, ram_base=RAM).entry == 0x6008_0000


def test_a_program_for_uefi_is_refused_unless_it_is_asked_for_as_raw(tmp_path: Path) -> None:
    path = written(tmp_path, b"MZ" + bytes(58) + b"\x80\0\0\0" + bytes(64) + b"PE\0\0" + bytes(64))
    with pytest.raises(GuestFileError, match=r"an EFI program \(PE\), but not an arm64 Linux kernel"):
        load_guest(path, ram_base=RAM)
    assert load_guest(path, ram_base=RAM, kind="raw").kind == "raw"
    path.write_bytes(b"MZ" + CODE)
    assert load_guest(path, ram_base=RAM).kind == "raw"


def test_an_initial_ram_disk_may_be_anything_but_empty(tmp_path: Path) -> None:
    assert read_initrd(written(tmp_path, b"x")) == b"x"
    with pytest.raises(GuestFileError, match="the file is empty, expected an initial RAM disk"):
        read_initrd(written(tmp_path, b""))
    with pytest.raises(GuestFileError, match="cannot be read: No such file"):
        read_initrd(tmp_path / "none")


@pytest.mark.parametrize("kind", [None, "elf", "raw", "linux"])
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
    monkeypatch.setattr(files, "MAX_FILE_SIZE", 1 << 20)
    with pytest.raises(GuestFileError, match="larger than"):
        load_guest(Path("/dev/zero"), load_address=None, ram_base=RAM, kind=None)


@pytest.mark.parametrize("address", [RAM + 2, (1 << 48) - 4])
def test_a_raw_binary_is_refused_where_it_cannot_be(address: int) -> None:
    with pytest.raises(GuestFileError):
        load_raw(Path("x"), CODE, address)


@pytest.mark.parametrize(
    "text",
    [
        b"#!/bin/sh\necho hello\n",
        "größer\n".encode() * 1000,
        b"\x1b[1mbold\x1b[0m",
        b"x",
        "a text\r\n".encode("utf-16"),
        "größer als das\n".encode("latin-1") * 5,
    ],
    ids=len,
)
def test_a_file_of_text_is_no_guest_unless_it_is_asked_for(text: bytes, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(GuestFileError, match=r"offset 0x0: a file of text; expected .* say --kernel-type raw"):
        load_guest(path)
    assert load_guest(path, kind="raw").segments[0].data == text


@pytest.mark.parametrize("data", [b"nop \x1f\x20\x03\xd5", b"text\0", b"\xc3", b"\xff\xfe\x03\0", b"fe\xfc\xdf"])
def test_what_is_not_all_text_is_a_raw_binary(data: bytes, tmp_path: Path) -> None:
    assert load_guest(written(tmp_path, data)).kind == "raw"


@pytest.mark.parametrize("kind", ["raw", "linux"])
@pytest.mark.parametrize("text", ["1073741826", "0x4000_0002", "0x0040000002"])
def test_a_bad_load_address_is_told_as_it_is_written(text: str, kind: ImageKind, tmp_path: Path) -> None:
    path = written(tmp_path, CODE if kind == "raw" else kernel())
    with pytest.raises(GuestFileError, match=f"the load address {text} is not a multiple of"):
        load_guest(path, load_address=Written.of(0x4000_0002, text))
