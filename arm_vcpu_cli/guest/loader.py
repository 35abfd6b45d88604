"""Reads guest files of any kind, recognises them by their content, and loads them."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.file_paths import FilePath
from arm_vcpu_cli.guest.elf import ELF_MAGIC, load_elf
from arm_vcpu_cli.guest.files import read_file
from arm_vcpu_cli.guest.image import RAW_LOAD_OFFSET, GuestImage, ImageKind
from arm_vcpu_cli.guest.raw import load_raw

RAM_BASE: Final = 0x4000_0000
"""The start of RAM on QEMU's virt board, and so in the preset."""
# ELF files, the most common guests, need neither.
_LINUX: Final = "arm_vcpu_cli.guest.linux"
_FOREIGN_FILES: Final = "arm_vcpu_cli.guest.foreign_files"


def load_guest(
    path: FilePath,
    *,
    load_address: int | None = None,
    ram_base: int = RAM_BASE,
    kind: ImageKind | None = None,
    data: bytes | None = None,
) -> GuestImage:
    """Return the image of the guest file at ``path``, or of ``data`` if that was read already. Raises GuestFileError.

    ``kind`` is the required kind of file, None leaves it to the file's content: an ELF file and an arm64 Linux kernel
    by their magic numbers; anything else is a raw binary, unless it clearly must be unpacked first. ``load_address`` is
    the address of a raw binary, by default 512 KiB above ``ram_base``, or the base from which a Linux kernel is placed,
    by default the first multiple of 2 MiB from ``ram_base`` on. An ELF file has its own addresses; a static PIE is
    loaded near ``ram_base``, which is that of the virt board by default.
    """
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


def _recognise(path: FilePath, data: bytes) -> ImageKind:
    """Return the kind of the file, judging by its content."""
    if data.startswith(ELF_MAGIC):
        return "elf"
    if import_module(_LINUX).is_linux(data):
        return "linux"
    foreign = import_module(_FOREIGN_FILES)
    found = foreign.foreign_kind(data)
    if found is not None:
        name, step = found
        expected = "expected an ELF file, a Linux kernel or a raw binary"
        what = f"{step}, or use --kernel-type raw to run it as it is" if step else "--kernel-type raw runs it as it is"
        raise GuestFileError(path, f"{name}; {expected}: {what}", offset=0)
    if foreign.is_text(data):
        message = (
            "a file of text; expected an ELF file, a Linux kernel or a raw binary: say --kernel-type raw if it is to "
            "run as it is"
        )
        raise GuestFileError(path, message, offset=0)
    if foreign.is_pe(data):
        message = "an EFI program (PE), but not an arm64 Linux kernel; expected one, an ELF file or a raw binary"
        raise GuestFileError(path, message, offset=0)
    return "raw"
