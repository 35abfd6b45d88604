"""arm64 Linux kernels in the forms that bootloaders load: ``Image``, ``Image.gz`` and EFI zboot images.

The header of an Image and where it may be loaded: Linux, Documentation/arch/arm64/booting.rst. The header of a
zboot image: Linux, drivers/firmware/efi/libstub/zboot-header.S.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.bitfield import Field, Register
from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.guest.decompression import GZIP_MAGIC, MAX_UNPACKED, ZBOOT_METHODS, CompressionError, Method, unpack
from arm_vcpu_cli.guest.image import (
    ADDRESS_LIMIT,
    IMAGE_MAGIC,
    IMAGE_MAGIC_OFFSET,
    GuestImage,
    Segment,
    sorted_segments,
)
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.printable import undecoded
from arm_vcpu_cli.sizes import address_as_written

BASE_ALIGNMENT: Final = 0x20_0000
"""The alignment in bytes of the address that ``text_offset`` is relative to."""

_HEADER: Final = struct.Struct("<8x3Q24x4s4x")  # text_offset, image_size, flags; the magic number
_TEXT_OFFSET: Final = 8
_IMAGE_SIZE: Final = 16
_FLAGS: Final = 24

# Kernels before 3.17 leave image_size zero, and then this is their text_offset. Such a kernel does not state the size
# of its BSS and first page tables, which follow its file's end.
_OLD_TEXT_OFFSET: Final = 0x8_0000
_OLD_MARGIN: Final = 0x80_0000

_PL011_CONSOLES: Final = ("ttyAMA", "pl11,")
"""The names of a PL011 as a console, and as one that starts early."""
_PE_OFFSET: Final = 0x3C
_PE_MAGIC: Final = b"PE\0\0"
_PE: Final = struct.Struct("<4s2xH12xH2x")  # the magic number, the number of sections, the optional header's size
_SECTION: Final = struct.Struct("<16x2I16x")  # SizeOfRawData, PointerToRawData

_ZBOOT: Final = struct.Struct("<2s2x4s2I8x32s")  # "MZ", "zimg"; payload offset and size; compression
_ZBOOT_MAGIC: Final = (b"MZ", b"zimg")
_ZBOOT_PAYLOAD: Final = 8
_ZBOOT_COMPRESSION: Final = 24


class ImageFlags(Register):
    """The ``flags`` of an Image's header."""

    PHYS_BASE = Field(3, values={0: "close to the base of RAM", 1: "anywhere"})
    PAGE_SIZE = Field(2, 1, values={0: "unspecified", 1: "4 KiB", 2: "16 KiB", 3: "64 KiB"})
    BE = Field(0)


class _Header(NamedTuple):
    """The facts in an Image's header, with the defaults for an old one; sizes in bytes."""

    text_offset: int
    memory_size: int


def is_image(data: bytes) -> bool:
    """Return whether ``data`` is an arm64 Image, by its magic number."""
    return data[IMAGE_MAGIC_OFFSET : IMAGE_MAGIC_OFFSET + len(IMAGE_MAGIC)] == IMAGE_MAGIC


def image_flags(image: bytes) -> ImageFlags:
    """Return the flags in the header of an unpacked Image."""
    return ImageFlags(_HEADER.unpack_from(image)[2]) if len(image) >= _HEADER.size else ImageFlags(0)


def missing_consoles(arguments: str) -> list[str]:
    """The consoles that a command line names, if a PL011 is none of them."""
    names = [each.partition("=")[2] for each in arguments.split() if each.startswith("console=")]
    return [] if any(name.startswith(_PL011_CONSOLES) for name in names) else names


def is_zboot(data: bytes) -> bool:
    """Return whether ``data`` is an EFI zboot image."""
    return (data[:2], data[4:8]) == _ZBOOT_MAGIC


def is_linux(data: bytes) -> bool:
    """Return whether ``data`` is a kernel that ``load_linux`` loads, judging by its first bytes.

    A gzip file counts if its content begins like an Image.
    """
    if is_image(data) or is_zboot(data):
        return True
    if not data.startswith(GZIP_MAGIC):
        return False
    try:
        return is_image(unpack(data, Method.GZIP, _HEADER.size, partial=True))
    except CompressionError:
        return False


def load_linux(path: Path, data: bytes, *, ram_base: int, base: int | None = None) -> GuestImage:
    """Return the image of an arm64 Linux kernel. Raises GuestFileError.

    It is loaded ``text_offset`` bytes above ``base``, an IPA that must be a multiple of 2 MiB; by default the first
    such address in RAM. The segment takes all the memory that the kernel's header requests.
    """
    if base is None:
        base = -(-ram_base // BASE_ALIGNMENT) * BASE_ALIGNMENT
    elif base % BASE_ALIGNMENT:
        shown = address_as_written(base)
        message = f"the load address {shown} is not a multiple of 2 MiB, as an arm64 Linux kernel needs it"
        raise GuestFileError(path, message)
    image = _unpacked(path, data)
    header = _header(path, image)
    segment = Segment(
        address=base + header.text_offset,
        data=image,
        memory_size=header.memory_size,
        readable=True,
        writable=True,
        executable=True,
        name="Linux kernel",
    )
    return GuestImage(
        path=path,
        kind="linux",
        entry=segment.address,
        segments=sorted_segments(path, [segment]),
        symbols=SymbolTable(),
        warnings=_cut_short(image),
    )


def _cut_short(image: bytes) -> tuple[str, ...]:
    """A warning about a file that ends before the last section of its PE header, which EFI loads kernels by."""
    place = int.from_bytes(image[_PE_OFFSET : _PE_OFFSET + 4], "little")
    header = image[place : place + _PE.size]
    if len(header) < _PE.size or not header.startswith(_PE_MAGIC):
        return ()
    count, size_of_optional = _PE.unpack(header)[1:]
    table = place + _PE.size + size_of_optional
    sections = image[table : table + count * _SECTION.size]
    whole = len(sections) // _SECTION.size * _SECTION.size
    end = max((start + size for size, start in _SECTION.iter_unpack(sections[:whole])), default=0)
    return (f"cut short: its sections end at {end:#x}, the file at {len(image):#x}",) if end > len(image) else ()


def _unpacked(path: Path, data: bytes) -> bytes:
    """Return the Image in the file ``data``."""
    if is_image(data):
        return data
    if is_zboot(data):
        start, packed, method = _zboot_payload(path, data)
    elif data.startswith(GZIP_MAGIC):
        start, packed, method = 0, data, Method.GZIP
    elif data:
        found = data[IMAGE_MAGIC_OFFSET : IMAGE_MAGIC_OFFSET + len(IMAGE_MAGIC)].hex(" ") or f"{len(data)} bytes in all"
        message = f"not an arm64 Linux kernel: expected the bytes {IMAGE_MAGIC.hex(' ')}, found {found}"
        raise GuestFileError(path, message, offset=IMAGE_MAGIC_OFFSET)
    else:
        raise GuestFileError(path, "the file is empty, expected an arm64 Linux kernel")
    try:
        image = unpack(packed, method, MAX_UNPACKED)
    except CompressionError as error:
        raise GuestFileError(path, f"the {method.value} data of the kernel: {error}", offset=start) from None
    if not is_image(image):
        raise GuestFileError(path, f"what the {method.value} data holds is not an arm64 Linux kernel", offset=start)
    return image


def _zboot_payload(path: Path, data: bytes) -> tuple[int, bytes, Method]:
    """Return the offset of the compressed kernel in an EFI zboot image, its bytes, and its compression."""
    if len(data) < _ZBOOT.size:
        message = f"truncated EFI zboot header: expected {_ZBOOT.size} bytes, the file has {len(data)}"
        raise GuestFileError(path, message, offset=0)
    _, _, start, size, compression = _ZBOOT.unpack_from(data)
    if start < _ZBOOT.size or start + size > len(data):
        place = f"{size:#x} bytes at offset {start:#x}"
        message = f"truncated: the compressed kernel is {place}, the file has {len(data):#x}"
        raise GuestFileError(path, message, offset=_ZBOOT_PAYLOAD)
    name = undecoded(compression.partition(b"\0")[0])
    method = ZBOOT_METHODS.get(name)
    if method is None:
        known = ", ".join(ZBOOT_METHODS)
        message = f"the kernel in it is compressed with {name[:16]!r}, expected one of {known}: unpack it first"
        raise GuestFileError(path, message, offset=_ZBOOT_COMPRESSION)
    return start, data[start : start + size], method


def _header(path: Path, image: bytes) -> _Header:
    """Return the checked header of an Image. Offsets in messages are those in the Image, packed or not."""
    if len(image) < _HEADER.size:
        message = f"truncated header of an arm64 Image: expected {_HEADER.size} bytes, found {len(image)}"
        raise GuestFileError(path, message, offset=0)
    text_offset, image_size, raw_flags, _ = _HEADER.unpack_from(image)
    flags = ImageFlags(raw_flags)
    if image_size == 0:
        return _Header(_OLD_TEXT_OFFSET, len(image) + _OLD_MARGIN)
    if flags.BE:
        raise GuestFileError(path, "a big-endian kernel, expected a little-endian one", offset=_FLAGS)
    if text_offset % 4:
        raise GuestFileError(path, f"text_offset {text_offset:#x} is not a multiple of 4", offset=_TEXT_OFFSET)
    for name, value, offset in (("text_offset", text_offset, _TEXT_OFFSET), ("image_size", image_size, _IMAGE_SIZE)):
        if value > ADDRESS_LIMIT:
            raise GuestFileError(path, f"{name} {value:#x} leaves the 48-bit address space", offset=offset)
    # A signature for secure boot may make the file longer than the kernel itself.
    return _Header(text_offset, max(image_size, len(image)))
