"""Creates arm64 Linux kernels as small as their headers allow."""

from __future__ import annotations

import struct

CODE = b"\x5f\x20\x03\xd5" * 16  # wfe
LE_4K_ANYWHERE = 0b1010


def image(
    text_offset: int = 0,
    image_size: int = 0x10_0000,
    flags: int = LE_4K_ANYWHERE,
    *,
    magic: bytes = b"ARM\x64",
    code: bytes = b"MZ\x40\xfa\x0e\x00\x00\x14",
    body: bytes = CODE,
) -> bytes:
    """An Image: the 64-byte header of booting.rst, and ``body``."""
    return struct.pack("<8s3Q24x4sI", code, text_offset, image_size, flags, magic, 0) + body


def zboot(payload: bytes, compression: bytes, *, offset: int = 0x200, size: int | None = None) -> bytes:
    """An EFI zboot image around ``payload``."""
    length = len(payload) if size is None else size
    header = struct.pack("<2s2x4sII8x32s4sI", b"MZ", b"zimg", offset, length, compression, b"\xcd\x23\x82\x81", 0x40)
    return header.ljust(offset, b"\0") + payload
