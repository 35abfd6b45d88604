"""A guest image: the contents of the guest's memory."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, Literal

from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.file_paths import FilePath
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.record import Record

ImageKind = Literal["elf", "raw", "linux"]

IMAGE_MAGIC: Final = b"ARM\x64"
"""Of an arm64 Linux kernel (booting.rst), at this offset."""
IMAGE_MAGIC_OFFSET: Final = 56
ADDRESS_LIMIT: Final = 1 << 48  # no physical address of a supported CPU reaches it
RAW_LOAD_OFFSET: Final = 0x8_0000  # from the base of RAM; where kernels expected to be before they could move


class Segment(Record):
    """Bytes for the guest's memory at the IPA ``address``.

    ``data`` comes first, and zeros after it up to ``memory_size`` bytes; the zeros may be many and are never stored.
    """

    address: int
    data: bytes
    memory_size: int
    readable: bool
    writable: bool
    executable: bool
    name: str

    @property
    def end(self) -> int:
        """The first address after the segment."""
        return self.address + self.memory_size


class GuestImage(Record):
    """A guest file ready to be copied into memory.

    ``entry`` is an IPA inside the data of a segment. ``segments`` are sorted by address and do not overlap.
    ``load_bias`` is the offset from the addresses that the file was linked for, 0 unless it is a static PIE; it is
    negative if the image moved down. ``digest`` identifies an image whose segments are without their data; it is empty
    otherwise. ``warnings`` describe oddities of the file.
    """

    path: FilePath
    kind: ImageKind
    entry: int
    segments: tuple[Segment, ...]
    symbols: SymbolTable
    load_bias: int = 0
    digest: str = ""
    warnings: tuple[str, ...] = ()

    def source(self, address: int) -> str:
        """Return the source line of a virtual address, such as ``main.c:42``; empty if unknown."""
        return self.symbols.source(address)


def sorted_segments(path: FilePath, segments: list[Segment]) -> tuple[Segment, ...]:
    """Return ``segments`` sorted by address. Raises GuestFileError if two overlap or one exceeds the address space."""
    ordered = tuple(sorted(segments, key=lambda segment: segment.address))
    for segment in ordered:
        if segment.address < 0 or segment.end > ADDRESS_LIMIT:
            place = f"{segment.memory_size:#x} bytes at {segment.address:#x}"
            raise GuestFileError(path, f"{segment.name}: {place} leave the 48-bit address space")
    for lower, upper in pairwise(ordered):
        if upper.address < lower.end:
            place = f"{upper.address:#x} to {upper.end - 1:#x}"
            other = f"{lower.name} ({lower.address:#x} to {lower.end - 1:#x})"
            raise GuestFileError(path, f"{upper.name} ({place}) overlaps {other}")
    return ordered
