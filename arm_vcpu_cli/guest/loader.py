"""Guest files of any kind: read, recognised by their content, and loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.guest.elf import ELF_MAGIC, load_elf
from arm_vcpu_cli.guest.image import RAW_LOAD_OFFSET, GuestImage, ImageKind
from arm_vcpu_cli.guest.raw import load_raw

MAX_FILE_SIZE: Final = 1 << 30  # bytes

# Files that nobody means to run as they are, although every file is a raw binary.
_FOREIGN: Final = (
    (b"\x1f\x8b", "a gzip file"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"BZh", "a bzip2 file"),
    (b"\x04\x22\x4d\x18", "an lz4 file"),
    (b"PK\x03\x04", "a zip file"),
    (b"!<arch>\n", "an archive of object files"),
    (b"\x27\x05\x19\x56", "a U-Boot image"),
    (b"\xd0\x0d\xfe\xed", "a flattened device tree"),
    (b"\xcf\xfa\xed\xfe", "a Mach-O file"),
)


def load_guest(
    path: Path, *, load_address: int | None = None, ram_base: int, kind: ImageKind | None = None
) -> GuestImage:
    """The image of the guest file at ``path``. Raises GuestFileError.

    ``kind`` says what the file must be, None leaves it to the file's content: an ELF file by its magic
    number, anything else is a raw binary, unless it is plainly something that must be unpacked first.
    ``load_address`` is where a raw binary goes, by default 512 KiB above ``ram_base``. An ELF file has its
    own addresses; a static PIE goes near ``ram_base``.
    """
    data = _read(path)
    if kind == "elf" or (kind is None and data.startswith(ELF_MAGIC)):
        return load_elf(path, data, ram_base=ram_base)
    if kind is None:
        for magic, name in _FOREIGN:
            if data.startswith(magic):
                expected = "expected an ELF file or a raw binary (ask for a raw one if it is meant as such)"
                raise GuestFileError(path, f"{name}; {expected}", offset=0)
    return load_raw(path, data, ram_base + RAW_LOAD_OFFSET if load_address is None else load_address)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_SIZE + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise GuestFileError(path, f"cannot be read: {reason}") from None
    if len(data) > MAX_FILE_SIZE:
        raise GuestFileError(path, f"larger than {MAX_FILE_SIZE >> 30} GiB, expected a guest image")
    return data
