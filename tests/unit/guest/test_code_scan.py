"""Finding instructions by their encodings: the same result as examining each word."""

from __future__ import annotations

import random
import struct

from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arch.instructions.instruction_needs import ENCODINGS, Encoding
from arm_vcpu_cli.guest.code_scan import Scanner, code_ranges

SCANNER = Scanner(ENCODINGS)
RET, NOP, STP, BL, ADD, LDR = 0xD65F03C0, 0xD503201F, 0xA9BF7BFD, 0x94000010, 0x91000420, 0xF9400020
FUNCTION = (STP, ADD, LDR, ADD, BL, NOP, LDR, ADD, ADD, RET)


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def one_by_one(code: bytes) -> set[tuple[int, int, Encoding]]:
    found = set()
    for offset in range(0, len(code) // 4 * 4, 4):
        (word,) = struct.unpack_from("<I", code, offset)
        found |= {(offset, word, each) for each in ENCODINGS if each.matches(word)}
    return found


@st.composite
def instructions(draw: st.DrawFn) -> int:
    """A word that has an encoding, or nearly."""
    encoding = draw(st.sampled_from(ENCODINGS))
    word = encoding.value | draw(st.integers(0, 2**32 - 1)) & ~encoding.mask
    return word ^ draw(st.sampled_from([0, 0, 1 << draw(st.integers(0, 31))]))


@given(st.lists(instructions() | st.integers(0, 2**32 - 1), max_size=40), st.binary(max_size=3))
def test_a_scan_finds_what_looking_at_each_word_finds(values: list[int], rest: bytes) -> None:
    code = words(*values) + rest
    assert set(SCANNER.scan(code)) == one_by_one(code)


def test_more_than_is_looked_at_in_one_go_keeps_its_offsets() -> None:
    code = bytearray(words(NOP) * ((1 << 20) + 100))
    places = (0, 4 * ((1 << 20) - 1), 4 * (1 << 20), len(code) - 4)
    for offset in places:
        code[offset : offset + 4] = words(0xD4000002)
    assert sorted(match.offset for match in SCANNER.scan(bytes(code))) == list(places)


def test_code_is_told_from_strings_tables_and_zeros() -> None:
    code = words(*FUNCTION) * 205  # 8200 bytes
    strings = b"The quick brown fox jumps over the lazy dog; " * 200
    pointers = b"".join(struct.pack("<Q", 0xFFFF_8000_0800_0000 + 8 * n) for n in range(1024))
    noise = random.Random(1).randbytes(8192)
    for data in (strings[:8192], pointers, noise, bytes(8192)):
        assert code_ranges(data) == []
        found = code_ranges(data + code + data)
        assert len(found) == 1
        assert abs(found[0].start - len(data)) <= 1024
        assert abs(found[0].stop - len(data) - len(code)) <= 1024


def test_a_small_file_of_code_is_code() -> None:
    assert code_ranges(words(0x14000000)) == [range(4)]
    assert code_ranges(b"") == []


def test_unrolled_code_without_branches_is_code() -> None:
    loop = words(0x4E284820, 0x5E280820, 0xCE628820, 0x6E828420, 0x1E622820, 0xF9400020, 0x91000420, 0xAA0003E1)
    assert code_ranges(loop * 128) == [range(4096)]


def test_code_with_a_few_literals_is_code() -> None:
    assert code_ranges((words(*FUNCTION) + words(0x00000123)) * 100) == [range(4400)]
