"""Decompresses hostile data: the size of the result is bounded, and so is the memory required."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Mapping
from enum import Enum
from importlib import import_module
from types import MappingProxyType
from typing import Final

GZIP_MAGIC: Final = b"\x1f\x8b"
MAX_UNPACKED: Final = 256 << 20
"""The size of the largest kernel accepted, in bytes; those of distributions have 20 to 70 million."""

_ZSTD: Final = "arm_vcpu_cli.guest.zstd"
"""Few kernels need it."""
_MAX_DICTIONARY: Final = 128 << 20  # bytes; the kernel's own build uses up to 128 MiB with xz
_GZIP_WINDOW: Final = 31  # zlib's largest window (15), and 16 for a gzip header and trailer
_MOST_MEMBERS: Final = 1 << 14
"""The most members of a gzip file; a kernel packed in blocks of 64 KiB (bgzip) has some thousand."""
_FIRST_PIECE: Final = 1 << 10
_LARGEST_PIECE: Final = 1 << 20
"""Bytes inflated at once."""


class Method(Enum):
    """A format that can be decompressed, the last one with a package that may be missing."""

    GZIP = "gzip"
    XZ = "xz"
    LZMA = "lzma"
    ZSTD = "zstd"


ZBOOT_METHODS: Final[Mapping[str, Method]] = MappingProxyType(
    {
        "gzip": Method.GZIP,
        "xz": Method.XZ,
        "xzkern": Method.XZ,
        "lzma": Method.LZMA,
        "zstd": Method.ZSTD,
        "zstd22": Method.ZSTD,
    }
)
"""By the names in the kernel's build (Makefile.zboot)."""


class CompressionError(ValueError):
    """The data is damaged, or larger than requested; the message is one line."""


def can_unpack(method: Method) -> bool:
    """Whether what a format needs is installed."""
    return method is not Method.ZSTD or bool(import_module(_ZSTD).is_installed())


def unpack(data: bytes, method: Method, limit: int, *, partial: bool = False) -> bytes:
    """Return the content of the compressed ``data``, at most ``limit`` bytes. Raises CompressionError.

    With ``partial`` the first ``limit`` bytes suffice; otherwise more than that is an error, and so is truncated data.
    Bytes behind the end of the compressed data are ignored.
    """
    wanted = limit if partial else limit + 1
    try:
        if method is Method.GZIP:
            unpacked, ended = _inflated(data, wanted)
        elif method is Method.ZSTD:
            unpacked, ended = import_module(_ZSTD).unpack_zstd(data, wanted)
        else:
            container = lzma.FORMAT_XZ if method is Method.XZ else lzma.FORMAT_ALONE
            decompressor = lzma.LZMADecompressor(container, memlimit=_MAX_DICTIONARY + (1 << 20))
            unpacked, ended = decompressor.decompress(data, wanted), decompressor.eof
    except (zlib.error, lzma.LZMAError, ValueError) as error:
        raise CompressionError(" ".join(str(error).split())) from None
    if partial:
        return unpacked[:limit]
    if len(unpacked) > limit:
        raise CompressionError(f"more than {limit >> 20} MiB when unpacked")
    if not ended:
        raise CompressionError("it ends early")
    return unpacked


def _inflated(data: bytes, wanted: int) -> tuple[bytes, bool]:
    """Return the concatenated content of the members of a gzip file (RFC 1952, 2.2), and whether the last has ended."""
    unpacked = bytearray()
    packed = memoryview(data)
    start = 0
    for _ in range(_MOST_MEMBERS):
        inflater = zlib.decompressobj(_GZIP_WINDOW)
        # The inflater copies everything behind a member: small pieces first, because members may be small and many.
        piece = _FIRST_PIECE
        while not inflater.eof and start < len(packed) and len(unpacked) < wanted:
            end = start + piece
            rest = packed[start:end]
            # A bound of 0 would mean no bound.
            unpacked += inflater.decompress(rest, wanted - len(unpacked))
            start += len(rest) - len(inflater.unused_data) - len(inflater.unconsumed_tail)
            piece = min(2 * piece, _LARGEST_PIECE)
        if not inflater.eof or len(unpacked) >= wanted or bytes(packed[start : start + 2]) != GZIP_MAGIC:
            return bytes(unpacked), inflater.eof
    raise CompressionError(f"more than {_MOST_MEMBERS} members")
