"""Guest files of any kind: read, recognised by their content, and loaded."""

from __future__ import annotations

from codecs import getincrementaldecoder
from importlib import import_module
from pathlib import Path
from typing import Final

from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.guest.elf import ELF_MAGIC, load_elf
from arm_vcpu_cli.guest.files import read_file
from arm_vcpu_cli.guest.image import RAW_LOAD_OFFSET, GuestImage, ImageKind
from arm_vcpu_cli.guest.raw import load_raw

# Most guests are ELF files, which do not need it.
RAM_BASE: Final = 0x4000_0000
"""Where the RAM of QEMU's virt board begins, and so that of the preset."""
_LINUX: Final = "arm_vcpu_cli.guest.linux"
_TEXT_HEAD: Final = 4096
"""Bytes of a file that say whether it is text."""
_NOT_IN_TEXT: Final = bytes({*range(0x20), 0x7F} - {*b"\t\n\f\r\x1b"})
_BEYOND_ASCII: Final = bytes(range(0x80, 0x100))
_LEAST_TEXT: Final = 64
"""Bytes, so that no code without control characters is so long."""
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_PE_OFFSET: Final = 0x3C  # e_lfanew of the MS-DOS header

# Files that are certainly not meant to run as they are, although any file could be a raw binary.
_FOREIGN: Final = (
    (b"\x1f\x8b", "a gzip file", "unpack it first (gunzip)"),
    (b"\xfd7zXZ\x00", "an xz file", "unpack it first (unxz)"),
    (b"\x28\xb5\x2f\xfd", "a zstd file", "unpack it first (unzstd)"),
    (b"BZh", "a bzip2 file", "unpack it first (bunzip2)"),
    (b"\x5d\x00\x00", "an lzma file", "unpack it first (unlzma)"),
    (b"\x89LZO", "an lzo file", "unpack it first (lzop -d)"),
    (b"\x04\x22\x4d\x18", "an lz4 file", "unpack it first (unlz4)"),
    (b"\x02\x21\x4c\x18", "an lz4 file of the old format", "unpack it first (unlz4)"),
    (b"PK\x03\x04", "a zip file", "unpack it first (unzip)"),
    (b"!<arch>\n", "an archive of object files", "link them first"),
    (b"\x27\x05\x19\x56", "a U-Boot image", "take the kernel out of it (dumpimage)"),
    (b"ANDROID!", "an Android boot image", "take the kernel out of it (unpack_bootimg)"),
    (b"\xd0\x0d\xfe\xed", "a device tree or a FIT image", "take the kernel out of it (dumpimage -T flat_dt)"),
    (b"\xcf\xfa\xed\xfe", "a Mach-O file", "build it as an ELF file"),
)


def load_guest(
    path: Path | str,
    *,
    load_address: int | None = None,
    ram_base: int = RAM_BASE,
    kind: ImageKind | None = None,
    data: bytes | None = None,
) -> GuestImage:
    """The image of the guest file at ``path``, or of ``data`` if that was read already. Raises GuestFileError.

    ``kind`` says what the file must be, None leaves it to the file's content: an ELF file and an arm64 Linux
    kernel by their magic numbers; anything else is a raw binary, unless it is plainly something that must be
    unpacked first. ``load_address`` is where a raw binary goes, by default 512 KiB above ``ram_base``, or the
    base that a Linux kernel is placed from, by default the first multiple of 2 MiB from ``ram_base`` on. An
    ELF file has its own addresses; a static PIE goes near ``ram_base``, which is that of the virt board by default.
    """
    path = Path(path)
    data = read_file(path, "a guest image") if data is None else data
    for_sure = kind is not None
    if kind is None:
        kind = _recognise(path, data)
    if kind == "elf":
        return load_elf(path, data, ram_base=ram_base, for_sure=for_sure)
    if kind == "linux":
        image: GuestImage = import_module(_LINUX).load_linux(path, data, ram_base=ram_base, base=load_address)
        return image
    return load_raw(path, data, ram_base + RAW_LOAD_OFFSET if load_address is None else load_address)


def _recognise(path: Path, data: bytes) -> ImageKind:
    """What the file is, to judge by its content."""
    if data.startswith(ELF_MAGIC):
        return "elf"
    if import_module(_LINUX).is_linux(data):
        return "linux"
    for magic, name, step in _FOREIGN:
        if data.startswith(magic):
            expected = "expected an ELF file, a Linux kernel or a raw binary"
            message = f"{name}; {expected}: {step}, or use --kernel-type raw to run it as it is"
            raise GuestFileError(path, message, offset=0)
    if _is_text(data):
        message = (
            "a file of text; expected an ELF file, a Linux kernel or a raw binary: say --kernel-type raw if it is to "
            "run as it is"
        )
        raise GuestFileError(path, message, offset=0)
    if _is_pe(data):
        message = "an EFI program (PE), but not an arm64 Linux kernel; expected one, an ELF file or a raw binary"
        raise GuestFileError(path, message, offset=0)
    return "raw"


def _is_text(data: bytes) -> bool:
    """Whether a file begins as text does, in UTF-8, UTF-16, or, if it is mostly ASCII, in any other character set."""
    head = data[:_TEXT_HEAD]
    if head.startswith(_UTF_16):
        # The upper bytes of most characters are zero.
        rest = head[len(_UTF_16[0]) :]
        return rest.translate(None, _NOT_IN_TEXT.replace(b"\0", b"")) == rest and 3 * rest.count(0) >= len(rest)
    if not head or head.translate(None, _NOT_IN_TEXT) != head:
        return False
    try:
        getincrementaldecoder("utf-8")().decode(head, final=len(data) <= _TEXT_HEAD)
    except UnicodeDecodeError:
        return len(head) >= _LEAST_TEXT and len(head.translate(None, _BEYOND_ASCII)) * 4 >= len(head) * 3
    return True


def _is_pe(data: bytes) -> bool:
    """Whether ``data`` is a PE executable: a kernel of another architecture, or another program for UEFI."""
    start = int.from_bytes(data[_PE_OFFSET : _PE_OFFSET + 4], "little")
    return data.startswith(b"MZ") and data[start : start + 4] == b"PE\0\0"
