"""The messages in a Linux kernel's log buffer, including those it has not printed to any console.

The buffer of Linux 5.10 and later is a ring of descriptors and a ring of text (Linux,
kernel/printk/printk_ringbuffer.h). Finding it needs no symbols: ``struct printk_ringbuffer`` is in the kernel's own
data, and no other data has pointers and numbers that match it. A kernel for many CPUs has a second buffer, which
replaces the first.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.printable import decoded
from arm_vcpu_cli.record import Record, replace

Read = Callable[[int, int], bytes | None]
"""A function that reads memory at a virtual address, and returns None where none is mapped."""

_WORD: Final = 8
_TOP: Final = 7
"""Index of the most significant byte of a word."""
_SHAPES: Final[Mapping[int, bytes]] = MappingProxyType(
    {
        6: b"\x00\xff\xff\x00\x00\x00\x00\xff",
        5: b"\x00\xff\xff\x00\x00\x00\xff",
    }
)
"""The most significant bytes of a ring's words, by the index of the word with the size of the text: the number of
descriptors, two pointers, two or three numbers of descriptors (5.19 added one), the size of the text and the pointer to
it."""
_WORDS: Final = struct.Struct("<10Q")
_MOST_RINGS: Final = 16
_COUNT_BITS: Final = range(5, 25)
_TEXT_BITS: Final = range(10, 31)

_DESCRIPTOR: Final = struct.Struct("<3Q")
"""State and number, start of the text, and start of the next text."""
_STATE: Final = 62
_NUMBER: Final = (1 << _STATE) - 1
_READABLE: Final = (1, 2)
"""States of a descriptor: committed, finalised."""
_NO_TEXT: Final = 1

_INFO: Final = struct.Struct("<2QH2BI")
"""Sequence number, time in nanoseconds, length of the text, facility, flags and level, and caller."""
_INFO_SIZES: Final = range(88, 145, _WORD)
_LEVEL: Final = 5

_NANOSECONDS: Final = 1_000_000_000
_MICROSECOND: Final = 1000
_LONGEST: Final = 1024
"""Maximum length of a message in bytes; the kernel's own limit."""


class Message(NamedTuple):
    """A message of the kernel. ``time`` is in nanoseconds since its start, ``level`` is 0 (emergency) to 7 (debug)."""

    time: int
    level: int
    text: str

    def lines(self) -> Iterator[str]:
        """The lines of the message as the kernel prints them."""
        seconds, rest = divmod(self.time, _NANOSECONDS)
        for line in self.text.splitlines() or ("",):
            yield f"[{seconds:5}.{rest // _MICROSECOND:06}] {line}"


class _Ring(Record):
    count: int
    descriptors: int
    infos: int
    head: int
    tail: int
    text_size: int
    text: int
    info_size: int = 0


def last_messages(kernel: bytes, read: Read, most: int) -> list[Message]:
    """The last messages, at most ``most``, oldest first, of a kernel; ``kernel`` is the memory with all of its data."""
    best: list[tuple[int, Message]] = []
    for ring in _rings(kernel, read):
        found = _last(ring, read, most)
        # After a change of buffers the kernel no longer writes to the old one.
        if found and (not best or found[-1][0] > best[-1][0]):
            best = found
    return [message for _, message in best]


def _rings(kernel: bytes, read: Read) -> Iterator[_Ring]:
    tops = kernel[_TOP::_WORD]
    left = _MOST_RINGS
    for sizes, shape in _SHAPES.items():
        index = tops.find(shape)
        while index >= 0 and left:
            offset = index * _WORD
            if offset + _WORDS.size <= len(kernel):
                ring = _ring(_WORDS.unpack_from(kernel, offset), sizes)
                size = None if ring is None else _info_size(ring, read)
                if ring is not None and size is not None:
                    left -= 1
                    yield replace(ring, info_size=size)
            index = tops.find(shape, index + 1)


def _ring(words: tuple[int, ...], sizes: int) -> _Ring | None:
    """Return the ring with these words; None if they do not describe one."""
    count_bits, descriptors, infos, head, tail = words[:5]
    text_bits, text, head_position, tail_position = words[sizes : sizes + 4]
    if count_bits not in _COUNT_BITS or text_bits not in _TEXT_BITS or (descriptors | infos | text) % _WORD:
        return None
    count, text_size = 1 << count_bits, 1 << text_bits
    if head - tail & _NUMBER >= count or head_position - tail_position & MASK64 > text_size or head_position % _WORD:
        return None
    return _Ring(count, descriptors, infos, head, tail, text_size, text)


def _info_size(ring: _Ring, read: Read) -> int | None:
    """Bytes from one message's information to the next one's; newer kernels have more fields."""
    last = ring.head % ring.count
    if not last:
        return _INFO_SIZES[0]
    for size in _INFO_SIZES:
        # The first descriptor has a special initial number.
        here, before = (_words(read, ring.infos + size * index, _INFO) for index in (last, last - 1))
        if here is not None and before is not None and (here[0] == before[0] + 1 or last == 1) and here[0] < ring.head:
            return size
    return None


def _last(ring: _Ring, read: Read, most: int) -> list[tuple[int, Message]]:
    """The last messages of a ring, with their sequence numbers."""
    found: list[tuple[int, Message]] = []
    for back in range(min(most, (ring.head - ring.tail & _NUMBER) + 1)):
        message = _message(ring, read, ring.head - back & _NUMBER)
        if message is not None:
            found.append(message)
    return found[::-1]


def _message(ring: _Ring, read: Read, number: int) -> tuple[int, Message] | None:
    index = number % ring.count
    descriptor = _words(read, ring.descriptors + _DESCRIPTOR.size * index, _DESCRIPTOR)
    info = _words(read, ring.infos + ring.info_size * index, _INFO)
    if descriptor is None or info is None:
        return None
    state, begin, end = descriptor
    if state & _NUMBER != number or state >> _STATE not in _READABLE:
        return None
    sequence, time, length, _, flags, _ = info
    text: bytes | None = b""
    if not begin & _NO_TEXT:
        # A text that does not fit at the end of the ring is at its start.
        start = begin % ring.text_size if begin // ring.text_size == (end - 1 & MASK64) // ring.text_size else 0
        text = read(ring.text + start + _WORD, min(length, _LONGEST))
    if text is None:
        return None
    return sequence, Message(time, flags >> _LEVEL, "\n".join(decoded(line, _LONGEST) for line in text.splitlines()))


def _words(read: Read, address: int, of: struct.Struct) -> tuple[int, ...] | None:
    data = read(address & MASK64, of.size)
    return None if data is None else of.unpack(data)
