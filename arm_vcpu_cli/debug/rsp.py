"""The framing of the GDB Remote Serial Protocol: decodes bytes into packets, and encodes packets.

Source: Debugging with GDB, appendix E, "Overview" and "Packets". This module does not interpret packets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import Final

from arm_vcpu_cli.record import Record

PACKET_SIZE: Final = 0x4000
"""The maximum size of a packet in bytes, from a client or in an answer."""
_MOST: Final = 2 * PACKET_SIZE
"""The maximum size of a packet in bytes before it is unescaped. lldb counts unescaped bytes."""
_START: Final = 0x24
_ESCAPE: Final = 0x7D
_FLIP: Final = 0x20
_INTERRUPT: Final = 0x03
_RESEND: Final = 0x2D
_CHECKSUM_DIGITS: Final = 2
_MARK: Final = re.compile(rb"[$#]")
_SPECIAL: Final = re.compile(rb"[#$}*]")
_ESCAPED: Final = re.compile(rb"\}(.?)", re.DOTALL)


class Packet(Record):
    """A packet with a correct checksum; ``data`` is unescaped."""

    data: bytes


class Signal(Enum):
    """What a client sends besides packets, and damaged packets."""

    INTERRUPT = "interrupt"
    """0x03: stop the guest."""
    RESEND = "resend"
    """``-``: the last packet arrived damaged."""
    DAMAGED = "damaged"
    """The checksum is wrong."""
    TOO_LONG = "too long"


Received = Packet | Signal


class Decoder:
    """Decodes bytes as they arrive, in pieces of any size. Anything but packets is skipped; an oversized packet takes
    no more memory than the longest valid one."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._inside = False
        self._too_long = False
        self._checksum: bytearray | None = None

    def feed(self, received: bytes) -> Iterator[Received]:
        """Yield what these bytes complete."""
        at = 0
        while at < len(received):
            if self._checksum is not None:
                at, found = self._end(received, at)
            elif self._inside:
                at, found = self._inner(received, at)
            else:
                at, found = self._outer(received, at)
            if found is not None:
                yield found

    def _outer(self, received: bytes, at: int) -> tuple[int, Received | None]:
        byte = received[at]
        if byte == _START:
            self._begin()
        elif byte == _INTERRUPT:
            return at + 1, Signal.INTERRUPT
        elif byte == _RESEND:
            return at + 1, Signal.RESEND
        return at + 1, None

    def _begin(self) -> None:
        self._data.clear()
        self._inside, self._too_long, self._checksum = True, False, None

    def _inner(self, received: bytes, at: int) -> tuple[int, None]:
        found = _MARK.search(received, at)
        end = len(received) if found is None else found.start()
        if not self._too_long:
            self._data += received[at : min(end, at + _MOST + 1)]
            if len(self._data) > _MOST:
                self._too_long = True
                self._data.clear()
        if end == len(received):
            return end, None
        if received[end] == _START:
            # A packet contains neither of these: the one before was cut short.
            self._begin()
        else:
            self._checksum = bytearray()
        return end + 1, None

    def _end(self, received: bytes, at: int) -> tuple[int, Received | None]:
        digits = self._checksum
        assert digits is not None
        digits.append(received[at])
        if len(digits) < _CHECKSUM_DIGITS:
            return at + 1, None
        self._inside, self._checksum = False, None
        if self._too_long:
            return at + 1, Signal.TOO_LONG
        if _hex_number(digits) != sum(self._data) & 0xFF:
            return at + 1, Signal.DAMAGED
        return at + 1, Packet(unescape(bytes(self._data)))


def encode(payload: bytes) -> bytes:
    """Frame ``payload``, whose binary data is already escaped."""
    return b"$%b#%02x" % (payload, sum(payload) & 0xFF)


def escape(data: bytes) -> bytes:
    """Escape binary data for a packet."""
    return _SPECIAL.sub(lambda found: bytes((_ESCAPE, found[0][0] ^ _FLIP)), data)


def unescape(data: bytes) -> bytes:
    """Unescape binary data of a packet; an escape at its end is dropped."""
    return _ESCAPED.sub(lambda found: bytes(byte ^ _FLIP for byte in found[1]), data)


def _hex_number(digits: bytes | bytearray) -> int | None:
    try:
        return int(digits, 16)
    except ValueError:
        return None
