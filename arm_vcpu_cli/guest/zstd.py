"""Decompresses Zstandard frames (RFC 8878) of guest files, with the ``zstandard`` package where it is installed."""

from __future__ import annotations

from typing import Final

try:
    import zstandard
except ImportError:
    zstandard = None  # type: ignore[assignment,unused-ignore]

_LARGEST_WINDOW: Final = 128 << 20
"""Bytes; the kernel's build uses it all (zstd --ultra -22)."""
_PIECE: Final = 1 << 10
"""Bytes that are decompressed at once: a block of 4 bytes may hold 128 KiB."""


class ZstdError(ValueError):
    """The data is damaged, or the package is missing; the message is one line."""


def is_installed() -> bool:
    """Whether the package is there."""
    return zstandard is not None


def unpack_zstd(data: bytes | memoryview, wanted: int) -> tuple[bytes, bool]:
    """The first ``wanted`` bytes of a frame's content, and whether the frame has ended."""
    if zstandard is None:
        raise ZstdError("it needs the zstandard package (pip install 'arm-vcpu-cli[zstd]')")
    unpacked = bytearray()
    try:
        frame = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).decompressobj()
        for start in range(0, len(data), _PIECE):
            unpacked += frame.decompress(bytes(data[start : start + _PIECE]))
            if frame.eof or len(unpacked) >= wanted:
                break
    except zstandard.ZstdError as error:
        raise ZstdError(" ".join(str(error).split())) from None
    return bytes(unpacked[:wanted]), frame.eof
