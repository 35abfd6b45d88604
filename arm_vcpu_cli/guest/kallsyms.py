"""Finds the symbols that a Linux kernel keeps in its memory for its messages (Linux, scripts and kernel, kallsyms.c).

Every kernel built with CONFIG_KALLSYMS has them, and finding them needs no other symbols. Names are compressed: each
byte stands for one of 256 tokens. Addresses are offsets from a base that the kernel relocates itself, so they are
correct once it has done so, also with KASLR.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Final

from arm_vcpu_cli.guest.symbol import Symbol
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.printable import decoded
from arm_vcpu_cli.record import Record

_DIGITS: Final = b"".join(bytes((digit, 0)) for digit in b"0123456789")
"""Part of the token table: in every kernel, each digit is its own token."""
_TOKENS: Final = 256
_FIRST_DIGIT: Final = ord("0")
_MOST_TABLES: Final = 64
"""Maximum number of places with digits that are examined."""
_LONGEST_TABLE: Final = 1 << 15
_ALIGNMENT: Final = 8
_INDEX_BYTES: Final = 2 * _TOKENS
_HALF: Final = 2
_WORD: Final = 4
_STEP: Final = 256
"""Number of symbols from one marker to the next."""
_FAR: Final = 16 << 20
"""Maximum distance in bytes from the start of the names to the token table."""
_COUNTS: Final = range(1000, 1 << 21)
"""Valid numbers of symbols in a kernel."""
_HIGH_ZEROS: Final = bytes(5)
"""The highest bytes of the number of symbols: it has 32 bits, followed by 32 bits of padding."""
_LOW: Final = 3
_MOST_PLACES: Final = 1 << 13
_MOST_WALKS: Final = 8
"""Maximum number of places examined, and of those where all names are counted. Both limit the time, whatever a guest
writes."""
_FEW: Final = 64
_LONG: Final = 0x80
"""Marks a length of two bytes."""


class Kallsyms(Record):
    """The tables in a kernel's memory. ``tokens`` are the texts of the bytes, ``names`` the places of every 256th name,
    ``offsets`` the addresses in ascending order, relative to the base, and ``base`` is the place of that base."""

    tokens: tuple[bytes, ...]
    names: tuple[int, ...]
    offsets: array[int]
    base: int


def find_kallsyms(kernel: bytes) -> Kallsyms | None:
    """Return the tables in a kernel's memory; None if it has none, or their form is unknown."""
    place = kernel.find(_DIGITS)
    for _ in range(_MOST_TABLES):
        if place < 0:
            return None
        table = _token_table(kernel, place)
        found = None if table is None else _tables(kernel, *table)
        if found is not None:
            return found
        place = kernel.find(_DIGITS, place + 1)
    return None


def _token_table(kernel: bytes, digits: int) -> tuple[int, int, tuple[bytes, ...]] | None:
    """The start of the token table with these digits, the end of its index, and the tokens."""
    start = digits
    for _ in range(_FIRST_DIGIT):
        start = kernel.rfind(b"\0", max(0, digits - _LONGEST_TABLE), max(0, start - 1)) + 1
        if not start:
            return None
    # The token before the first one ends before any padding.
    start = -(-start // _ALIGNMENT) * _ALIGNMENT
    tokens = kernel[start : start + _LONGEST_TABLE].split(b"\0", _TOKENS)[:_TOKENS]
    sizes = [len(token) + 1 for token in tokens]
    index = -(-(start + sum(sizes)) // _ALIGNMENT) * _ALIGNMENT
    known = _numbers(kernel, index, _TOKENS, _HALF)
    if known is None or list(known) != [0, *accumulate(sizes)][:_TOKENS]:
        return None
    return start, index + _INDEX_BYTES, tuple(tokens)


def _tables(kernel: bytes, token_table: int, end: int, tokens: tuple[bytes, ...]) -> Kallsyms | None:
    """The tables around a token table: the number of names and the names precede it."""
    limit = max(0, token_table - _FAR)
    place = kernel.rfind(_HIGH_ZEROS, limit, token_table)
    walks = 0
    for _ in range(_MOST_PLACES):
        if place < 0 or walks == _MOST_WALKS:
            return None
        number = place - _LOW
        count = int.from_bytes(kernel[number : number + _WORD], "little") if number >= 0 else 0
        start = number + _ALIGNMENT
        if count in _COUNTS and not number % _ALIGNMENT and _are_names(kernel, start, _FEW, token_table):
            walks += 1
            names = _walk(kernel, start, count, token_table)
            found = None if names is None else _offsets(kernel, number, end, count)
            if names is not None and found is not None:
                return Kallsyms(tokens, names, *found)
        place = kernel.rfind(_HIGH_ZEROS, limit, place + len(_HIGH_ZEROS) - 1)
    return None


def _are_names(kernel: bytes, place: int, count: int, end: int) -> bool:
    """Whether ``count`` names may begin at ``place`` and end before ``end``."""
    for _ in range(count):
        length = kernel[place]
        if not length:
            return False
        place += 2 + (length & ~_LONG | kernel[place + 1] << 7) if length & _LONG else 1 + length
        if place >= end:
            return False
    return True


def _walk(kernel: bytes, start: int, count: int, end: int) -> tuple[int, ...] | None:
    """The places of every 256th of ``count`` names, if the markers after the names agree."""
    found: list[int] = []
    place = start
    for number in range(count):
        if not number % _STEP:
            found.append(place)
        length = kernel[place]
        place += 1
        if length & _LONG:
            length = length & ~_LONG | kernel[place] << 7
            place += 1
        place += length
        if not length or place > end:
            return None
    markers = _numbers(kernel, -(-place // _ALIGNMENT) * _ALIGNMENT, len(found), _WORD)
    return tuple(found) if markers is not None and list(markers) == [each - start for each in found] else None


def _offsets(kernel: bytes, number: int, end: int, count: int) -> tuple[array[int], int] | None:
    """The offsets of the symbols, and the place of their base: before their number, or since Linux 6.5 at the end."""
    size = -(-count * _WORD // _ALIGNMENT) * _ALIGNMENT
    for start, base in ((number - _ALIGNMENT - size, number - _ALIGNMENT), (end, end + size)):
        offsets = _numbers(kernel, start, count, _WORD) if start >= 0 else None
        if offsets is not None and offsets[-1] and all(first <= second for first, second in pairwise(offsets)):
            return offsets, base
    return None


def _numbers(kernel: bytes, start: int, count: int, size: int) -> array[int] | None:
    """Return ``count`` numbers of ``size`` bytes; None beyond the end."""
    data = kernel[start : start + count * size]
    if len(data) < count * size:
        return None
    numbers = array("H" if size == _HALF else "I", data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


class KernelSymbols(SymbolTable):
    """The symbols of a kernel in the memory ``kernel``, with the base address ``base``.

    Resolving an address decodes one name; finding a name decodes all of them.
    """

    def __init__(self, kernel: bytes, tables: Kallsyms, base: int) -> None:
        super().__init__(self._all())
        self._kernel = kernel
        self._tables = tables
        self._base = base

    def __len__(self) -> int:
        return len(self._tables.offsets)

    def resolve(self, address: int) -> tuple[str, int] | None:
        """Return the symbol that holds ``address``, and the offset in it; None if there is none.

        Of several symbols at one address it returns the first, as in the kernel's own messages.
        """
        offsets, offset = self._tables.offsets, address - self._base
        # The length of the last symbol is unknown.
        if not offsets[0] <= offset < offsets[-1]:
            return None
        start = offsets[bisect_right(offsets, offset) - 1]
        return self._name(bisect_left(offsets, start)), offset - start

    def _name(self, index: int) -> str:
        kernel, place = self._kernel, self._tables.names[index // _STEP]
        for _ in range(index % _STEP):
            start, length = self._at(place)
            place = start + length
        start, length = self._at(place)
        text = b"".join(self._tables.tokens[byte] for byte in kernel[start : start + length])
        # The first letter is the type, as in /proc/kallsyms.
        return decoded(text[1:])

    def _at(self, place: int) -> tuple[int, int]:
        """The start and length of the compressed name at ``place``."""
        length = self._kernel[place]
        if length & _LONG:
            return place + 2, length & ~_LONG | self._kernel[place + 1] << 7
        return place + 1, length

    def _all(self) -> Iterator[Symbol]:
        offsets = self._tables.offsets
        for index, offset in enumerate(offsets):
            yield Symbol(self._name(index), self._base + offset)
