"""Writes the log buffer of a Linux kernel as struct printk_ringbuffer has it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

BASE = 0xFFFF_8000_0800_0000
"""Where the kernel's memory is mapped."""
_MASK = (1 << 64) - 1


@dataclass
class LogWriter:
    """A kernel's memory with a log. ``first`` is the sequence number of the first message that was ever written."""

    count_bits: int = 5
    text_bits: int = 10
    info_size: int = 88
    last_finalised: bool = True
    at: int = 0x100
    memory: bytearray = field(default_factory=lambda: bytearray(0x8000))

    def __post_init__(self) -> None:
        self.count, self.size = 1 << self.count_bits, 1 << self.text_bits
        self.descriptors = self.at + 0x100
        self.infos = self.descriptors + 24 * self.count
        self.text = self.infos + self.info_size * self.count
        self.head_number = (1 << 32) - self.count - 1
        self.tail_number = self.head_number
        self.head = self.tail = -self.size & _MASK
        self.sequence = 0
        self._place: list[tuple[int, int]] = []

    def write(self, text: bytes, time: int = 0, level: int = 6, state: int = 2, *, without_text: bool = False) -> None:
        """Add a message; the oldest ones go when there is no room."""
        number = self.head_number + 1
        index = number % self.count
        length = -(-(8 + len(text)) // 8) * 8
        begin, end = self.head, self.head + length & _MASK
        if without_text:
            begin = end = begin | 1
        else:
            start = begin % self.size
            if start + length > self.size:
                # The text goes to the start; what is left behind the others stays unused.
                struct.pack_into("<Q", self.memory, self.text + start, number)
                end = (begin - start + self.size + length) & _MASK
                start = 0
            struct.pack_into("<Q", self.memory, self.text + start, number)
            self.memory[self.text + start + 8 : self.text + start + length] = text.ljust(length - 8, b"\0")
            self.head = end
        struct.pack_into("<3Q", self.memory, self.descriptors + 24 * index, state << 62 | number, begin, end)
        struct.pack_into(
            "<2QH2BI",
            self.memory,
            self.infos + self.info_size * index,
            self.sequence,
            time,
            len(text),
            0,
            level << 5,
            0,
        )
        self._place.append((number, begin & ~1))
        self.head_number = number
        self.sequence += 1
        while len(self._place) > self.count - 1 or self.head - self._place[0][1] & _MASK > self.size:
            self._place.pop(0)
        self.tail_number, self.tail = self._place[0]
        self._write_ring()

    def write_all(self, texts: Sequence[bytes]) -> None:
        """Add several messages, a microsecond apart."""
        for time, text in enumerate(texts):
            self.write(text, time * 1000)

    def _write_ring(self) -> None:
        numbers = [self.head_number, self.tail_number] + [self.head_number] * self.last_finalised
        words = [
            self.count_bits, BASE + self.descriptors, BASE + self.infos, *numbers,
            self.text_bits, BASE + self.text, self.head, self.tail, 0,
        ]  # fmt: skip
        struct.pack_into(f"<{len(words)}Q", self.memory, self.at, *words)

    def read(self, address: int, size: int) -> bytes | None:
        """Read the kernel's memory at a virtual address."""
        offset = address - BASE
        return bytes(self.memory[offset : offset + size]) if 0 <= offset <= len(self.memory) - size else None
