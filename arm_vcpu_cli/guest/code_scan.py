"""Finds instructions in a guest's code by their encodings, fast enough for a whole kernel.

A word matches an encoding if each of its four bytes does. So for each of the four byte positions, the bytes of all
words are looked up in a table that has, for eight encodings at once, a bit for each encoding that the byte matches; the
four results, taken as large integers, are combined with AND. That takes a handful of calls for a million words.
"""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.instructions.instruction_needs import Encoding

WORD: Final = 4
_CHUNK: Final = 1 << 20
"""Words examined at once."""
_GROUP: Final = 8
_ANY: Final = re.compile(rb"[^\0]")
_PIECE: Final = 1024
_NO_INSTRUCTION: Final = bytes(byte >> 1 & 0xF in (0b0000, 0b0001, 0b0011) for byte in range(256))
"""By the top byte: the main groups of C4.1 in which only UDF and SME are allocated."""
_BRANCH: Final = bytes(
    byte & 0xFC in (0x14, 0x94) or byte & 0x7C == 0x34 or byte in (0x54, 0xD6) for byte in range(256)
)
_GAPS: Final = 10
"""In code, at most one word in this many is not an instruction, but a literal or padding."""
_BRANCHES: Final = 33
"""And at least one in this many is a branch."""
_VARIED: Final = 8
"""Otherwise there must be this many different top bytes: unrolled loops have no branches, and tables have few different
top bytes."""
_SHARE: Final = 2048
"""A run smaller than this fraction of the file is not code: large programs have their code in one place."""


class Match(NamedTuple):
    """An instruction: its offset in bytes, the word, and its encoding."""

    offset: int
    word: int
    encoding: Encoding


class Scanner:
    """Searches for instructions that have one of the encodings."""

    def __init__(self, encodings: Sequence[Encoding]) -> None:
        self._groups = [_Group(encodings[start : start + _GROUP]) for start in range(0, len(encodings), _GROUP)]
        self._top_bytes = bytes(any(_agrees(each, WORD - 1, byte) for each in encodings) for byte in range(256))

    def scan(self, code: bytes) -> Iterator[Match]:
        """Yield all of them in ``code``, little-endian words, in no particular order.

        Bytes after the last whole word are ignored.
        """
        words = len(code) // WORD
        for start in range(0, words, _CHUNK):
            end = min(start + _CHUNK, words)
            yield from self._scan_chunk(code[start * WORD : end * WORD], start * WORD)

    def _scan_chunk(self, code: bytes, base: int) -> Iterator[Match]:
        # The top byte alone rules out most words.
        chosen = code[WORD - 1 :: WORD].translate(self._top_bytes)
        kept = array("I", compress(_little_endian(array("I", code)), chosen))
        offsets = list(compress(range(base, base + len(code), WORD), chosen))
        data = _little_endian(kept).tobytes()
        planes = [data[place::WORD] for place in range(WORD)]
        for group in self._groups:
            hits = group.hits(planes)
            for found in _ANY.finditer(hits):
                index = found.start()
                word = kept[index]
                for bit, encoding in enumerate(group.encodings):
                    if hits[index] >> bit & 1 and encoding.matches(word):
                        yield Match(offsets[index], word, encoding)


class _Group:
    """Up to eight encodings, and their four tables."""

    def __init__(self, encodings: Sequence[Encoding]) -> None:
        self.encodings = encodings
        self.tables = [
            bytes(
                sum(1 << bit for bit, each in enumerate(encodings) if _agrees(each, place, byte)) for byte in range(256)
            )
            for place in range(WORD)
        ]

    def hits(self, planes: Sequence[bytes]) -> bytes:
        """Return for each word the encodings that match all four bytes, one bit each."""
        found = -1
        for plane, table in zip(planes, self.tables, strict=True):
            found &= int.from_bytes(plane.translate(table), "little")
            if not found:
                return b""
        return found.to_bytes(len(planes[0]), "little")


def _agrees(encoding: Encoding, place: int, byte: int) -> bool:
    mask, value = encoding.mask >> 8 * place & 0xFF, encoding.value >> 8 * place & 0xFF
    return byte & mask == value


def _little_endian(words: array[int]) -> array[int]:
    """Return the words in little-endian order, swapped on a big-endian host."""
    if sys.byteorder == "big":
        words = words[:]
        words.byteswap()
    return words


def code_ranges(data: bytes) -> list[range]:
    """Return the parts of a file without sections that look like code, in pieces of 1 KiB, as offsets in bytes.

    In code nearly every word is an instruction, and some are branches; strings, tables and zeros are different.
    """
    top = data[WORD - 1 :: WORD]
    no_instruction, branch = top.translate(_NO_INSTRUCTION), top.translate(_BRANCH)
    found: list[range] = []
    per_piece = _PIECE // WORD
    for start in range(0, len(top), per_piece):
        end = min(start + per_piece, len(top))
        size = end - start
        if no_instruction.count(1, start, end) > size // _GAPS:
            continue
        if branch.count(1, start, end) < size / _BRANCHES and len(set(top[start:end])) < _VARIED:
            continue
        if found and found[-1].stop == start * WORD:
            found[-1] = range(found[-1].start, end * WORD)
        else:
            found.append(range(start * WORD, end * WORD))
    return [each for each in found if len(each) * _SHARE >= len(data)]
