"""Decompresses Zstandard frames (RFC 8878) of guest files, with the ``zstandard`` package if it is installed."""

from __future__ import annotations

from typing import Final

try:
    import zstandard
except ImportError:
    zstandard = None  # type: ignore[assignment,unused-ignore]

_LARGEST_WINDOW: Final = 128 << 20
"""Bytes; kernel builds use the maximum (zstd --ultra -22)."""
_PIECE: Final = 1 << 10
"""Bytes of input per step: a block of 4 bytes may expand to 128 KiB."""


class ZstdError(ValueError):
    """The data is damaged, or the package is missing; the message is one line."""


def is_installed() -> bool:
    """Whether the package is installed."""
    return zstandard is not None


def unpack_zstd(data: bytes | memoryview, wanted: int) -> tuple[bytes, bool]:
    """Return the first ``wanted`` bytes of a frame's content, and whether the frame has ended."""
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
    # Without a copy: there may be 256 MiB.
    del unpacked[wanted:]
    return bytes(unpacked), frame.eof
