"""Sizes with binary units, as in machine descriptions and on the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30
TIB: Final = 1 << 40

UNITS: Final[Mapping[str, int]] = MappingProxyType(
    {"": 1, "K": KIB, "KIB": KIB, "M": MIB, "MIB": MIB, "G": GIB, "GIB": GIB, "T": TIB, "TIB": TIB}
)


class Written(int):
    """A number together with the user's ``text`` for it, which messages show."""

    text: str

    @classmethod
    def of(cls, value: int, text: str) -> Written:
        """Return ``value`` with its text."""
        written = cls(value)
        written.text = text
        return written


def address_as_written(address: int) -> str:
    """Return an address for a message: as the user wrote it if that is known, else in hexadecimal."""
    return address.text if isinstance(address, Written) else f"{address:#x}"


# At most 20 digits: 2**64 has 20, and the length of a number from a file must not determine how long parsing takes.
_SIZE: Final = r"\s*(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})\s*([A-Za-z]*)\s*"


def parse_size(text: str) -> int:
    """Return the number of bytes that ``text`` denotes: ``4096``, ``0x1000``, ``64K``, ``512MiB``, ``4 GiB``.

    The units are powers of two and their case does not matter. Raises ValueError with a one-line message.
    """
    match = re.fullmatch(_SIZE, text.replace("_", ""), re.ASCII)
    if match is None or match[2].upper() not in UNITS:
        shown = text if len(text) <= 40 else text[:37] + "..."
        raise ValueError(f"expected a size such as 4096, 64KiB, 512MiB or 4G, found {shown!r}")
    digits, unit = match.groups()
    count = int(digits, 16 if digits[:2] in ("0x", "0X") else 10)
    return count * UNITS[unit.upper()]


def format_size(size: int) -> str:
    """Return ``size`` bytes in the largest unit that divides it: ``512 MiB``, ``4 KiB``, ``100 bytes``."""
    for name, unit in (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if size and size % unit == 0:
            return f"{size // unit} {name}"
    return "1 byte" if size == 1 else f"{size} bytes"
