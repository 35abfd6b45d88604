"""Writes the wire format of Protocol Buffers (protobuf.dev, "Encoding").

A message is a sequence of fields, each a tag (field number and wire type) and a value; so messages are built by joining
bytes, and a message inside another is a field of bytes.
"""

from __future__ import annotations

from typing import Final

_VARINT: Final = 0
_LENGTH_DELIMITED: Final = 2
_SMALL_END: Final = 1 << 14
_SMALL: Final = tuple(
    bytes((value,) if value < 0x80 else (value & 0x7F | 0x80, value >> 7)) for value in range(_SMALL_END)
)
"""The numbers of one and two bytes, which all tags here are."""
_U64: Final = (1 << 64) - 1


def varint(value: int) -> bytes:
    """Encode seven bits in each byte, the low ones first; a negative number as its 64-bit two's complement.

    Larger numbers are truncated to 64 bits.
    """
    if 0 <= value < _SMALL_END:
        return _SMALL[value]
    value &= _U64
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def integer(number: int, value: int) -> bytes:
    """Encode the field ``number`` of an integer, enumeration or boolean type (not of the zigzag or the fixed ones)."""
    return _SMALL[number << 3 | _VARINT] + varint(value)


def delimited(number: int, value: bytes) -> bytes:
    """Encode the field ``number`` of type bytes, or of a message that is already encoded."""
    return _SMALL[number << 3 | _LENGTH_DELIMITED] + varint(len(value)) + value


def string(number: int, value: str) -> bytes:
    """Encode the field ``number`` of type string; characters that UTF-8 cannot encode are escaped."""
    return delimited(number, value.encode("utf-8", "backslashreplace"))
