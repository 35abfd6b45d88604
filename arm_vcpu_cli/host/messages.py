"""Messages through a pipe between two of our processes: each is its length followed by its bytes."""

from __future__ import annotations

import os
import struct
from typing import Final

_LENGTH: Final = struct.Struct("<Q")
_STEP: Final = 1 << 20


def put(fd: int, message: bytes) -> None:
    """Send a message. Raises BrokenPipeError if the other side is gone."""
    view = memoryview(_LENGTH.pack(len(message)) + message)
    while view:
        view = view[os.writev(fd, [view[:_STEP]]) :]


def get(fd: int) -> bytes | None:
    """Return the next message; None once the other side is gone."""
    head = _read(fd, _LENGTH.size)
    if head is None:
        return None
    return _read(fd, _LENGTH.unpack(head)[0])


def _read(fd: int, size: int) -> bytes | None:
    found = bytearray()
    while len(found) < size:
        data = os.read(fd, min(size - len(found), _STEP))
        if not data:
            return None
        found += data
    return bytes(found)
