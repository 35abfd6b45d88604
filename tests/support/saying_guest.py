"""Guests that print a text of the test's choice: says.elf (tests/integration/guests/says.S)."""

from __future__ import annotations

import struct
from enum import IntEnum
from pathlib import Path
from typing import Final

_SAYS: Final = Path(__file__).resolve().parents[1] / "integration" / "guests" / "says.elf"
_MARK: Final = b"here it says:   "
_ROOM: Final = 8191
_APPLICATION_EXIT: Final = 0x20026
READS_A_LINE: Final = "\x01"
SAYS_ITS_COMMAND_LINE: Final = "\x02"


class End(IntEnum):
    """What a guest does when it has said everything."""

    EXIT = 0
    WAIT = 1
    HANG = 2
    FLOOD = 3
    COMPUTE = 4


def saying(path: Path, text: str | bytes, *, status: int = 0, end: End = End.EXIT) -> Path:
    """Write a guest to ``path``, which prints ``text`` and ends with ``status``."""
    said = text.encode() if isinstance(text, str) else text
    assert len(said) <= _ROOM
    data = bytearray(_SAYS.read_bytes())
    at = data.index(_MARK) + len(_MARK)
    content = struct.pack("<3Q", _APPLICATION_EXIT, status, end) + said
    data[at : at + len(content)] = content
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
