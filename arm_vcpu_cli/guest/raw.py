"""Raw binaries: bytes that are copied to an address, whose first byte is the entry point."""

from __future__ import annotations

from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.file_paths import FilePath
from arm_vcpu_cli.guest.image import GuestImage, Segment, sorted_segments
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.sizes import address_as_written


def load_raw(path: FilePath, data: bytes, address: int) -> GuestImage:
    """Return the image of a raw binary at the IPA ``address``. Raises GuestFileError."""
    if not data:
        raise GuestFileError(path, "the file is empty, expected a guest image")
    if address % 4:
        raise GuestFileError(path, f"the load address {address_as_written(address)} is not a multiple of 4")
    segment = Segment(
        address=address,
        data=data,
        memory_size=len(data),
        readable=True,
        writable=True,
        executable=True,
        name="raw binary",
    )
    return GuestImage(
        path=path, kind="raw", entry=address, segments=sorted_segments(path, [segment]), symbols=SymbolTable()
    )
