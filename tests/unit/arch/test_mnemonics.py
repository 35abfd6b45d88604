"""The text of instructions that are decoded here, against a disassembler's."""

from __future__ import annotations

import importlib
import re
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.instructions.mnemonics import spell
from arm_vcpu_cli.guest.loader import load_guest
from tests.support.tools import missing

ADDRESS = 0x4008_0000
ROOT = Path(__file__).resolve().parents[3]
GUESTS = ("samples/crash/crash.elf", "samples/smp/smp.elf", "samples/paging/paging.elf", "tests/bench/guests/float.elf")
_GENERIC = re.compile(r"\bs[0-3]_[0-7]_c\d+_c\d+_[0-7]\b")
_LANE = re.compile(r"\[(0x[0-9a-f]+)\]")
_NUMBER = re.compile(r"#(-?)(0x[0-9a-f]+|\d+)")


@cache
def disassembler() -> Any:
    try:
        capstone = importlib.import_module("capstone")
    except ImportError:
        missing("capstone")
    return capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)


def theirs(word: int) -> str | None:
    found = next(iter(disassembler().disasm(word.to_bytes(4, "little"), ADDRESS)), None)
    return None if found is None else same_numbers(f"{found.mnemonic:<7} {found.op_str}".rstrip())


def ours(word: int) -> str | None:
    found = spell(word, ADDRESS)
    return None if found is None or found.text.startswith("(") else same_numbers(found.text)


def same_numbers(text: str) -> str:
    """With numbers in one notation: the other one prints some negative ones as 64-bit numbers, and the reverse."""
    mask = MASK64 >> 32 if text.startswith("mov     w") else MASK64
    text = _LANE.sub(lambda match: f"[{int(match[1], 0)}]", text)
    return _NUMBER.sub(lambda match: f"#{int(match[1] + match[2], 0) & mask:#x}", text)


def words_of(guest: str) -> list[int]:
    image = load_guest(ROOT / guest, ram_base=0x4000_0000)
    data = b"".join(segment.data for segment in image.segments)
    return [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data) - 3, 4)]


@pytest.mark.parametrize("guest", GUESTS)
def test_guests_read_as_in_a_disassembler(guest: str) -> None:
    different = {
        hex(word): (ours(word), theirs(word)) for word in words_of(guest) if ours(word) not in (None, theirs(word))
    }
    assert {word: pair for word, pair in different.items() if pair[1] is not None} == {}


def test_most_of_a_guest_has_a_text() -> None:
    words = [word for word in words_of(GUESTS[0]) if theirs(word) is not None and not theirs(word).startswith("udf")]  # type: ignore[union-attr]
    assert sum(ours(word) is not None for word in words) > 0.8 * len(words)


def test_any_word_reads_as_in_a_disassembler() -> None:
    """Or not at all: what is reserved there may be an instruction here."""
    random = Random(1)
    for _ in range(20_000):
        word = random.getrandbits(32)
        text, expected = ours(word), theirs(word)
        if text is not None and _GENERIC.search(text):
            # It knows the names of more registers.
            continue
        assert text is None or expected in (text, None), hex(word)


@pytest.mark.parametrize(
    ("word", "text", "reads", "target"),
    [
        (0xF9000001, "str     x1, [x0]", ("x0", "x1"), None),
        (0xA9BF7BFD, "stp     x29, x30, [sp, #-0x10]!", ("x29", "x30", "sp"), None),
        (0xA8C17BFD, "ldp     x29, x30, [sp], #0x10", ("sp",), None),
        (0xB8617843, "ldr     w3, [x2, x1, lsl #2]", ("x1", "x2"), None),
        (0xF81F0041, "stur    x1, [x2, #-0x10]", ("x1", "x2"), None),
        (0x58000041, "ldr     x1, #0x40080008", (), None),
        (0xD518C000, "msr     vbar_el1, x0", ("x0",), None),
        (0xD5384100, "mrs     x0, sp_el0", (), None),
        (0xD503207F, "wfi", (), None),
        (0xD5033F9F, "dsb     sy", (), None),
        (0xD50342FF, "msr     daifclr, #2", (), None),
        (0xD4000002, "hvc     #0", (), None),
        (0x94000040, "bl      #0x40080100", (), 0x4008_0100),
        (0x54FFFFE1, "b.ne    #0x4007fffc", (), 0x4007_FFFC),
        (0xB4000040, "cbz     x0, #0x40080008", ("x0",), 0x4008_0008),
        (0x37080041, "tbnz    w1, #1, #0x40080008", ("x1",), 0x4008_0008),
        (0xD65F03C0, "ret", ("x30",), None),
        (0x910003FD, "mov     x29, sp", ("sp",), None),
        (0xF10008BF, "cmp     x5, #2", ("x5",), None),
        (0xAA0103E0, "mov     x0, x1", ("x1",), None),
        (0x92800000, "mov     x0, #-1", (), None),
        (0xF2BBD5A0, "movk    x0, #0xdead, lsl #16", ("x0",), None),
        (0x90000001, "adrp    x1, #0x40080000", (), None),
        (0xC85F7C01, "(exclusive)", (), None),
        (0xFFFFFFFF, None, (), None),
    ],
)
def test_text_registers_and_target(word: int, text: str | None, reads: tuple[str, ...], target: int | None) -> None:
    found = spell(word, ADDRESS)
    if text is None:
        assert found is None
    else:
        assert found is not None
        assert (found.text, found.reads, found.target) == (text, reads, target)


def test_no_word_raises() -> None:
    random = Random(2)
    for _ in range(50_000):
        spell(random.getrandbits(32), random.getrandbits(64) & ~3)


@pytest.mark.parametrize(("bits", "mask"), [(0x0C00_0000, 0xBE00_0000), (0xF820_0400, 0xFF20_0400)])
def test_structures_and_authenticated_loads_are_those_of_a_disassembler(bits: int, mask: int) -> None:
    """It takes the same words for unallocated, apart from a base that is loaded and written back."""
    random = Random(1)
    for _ in range(5_000):
        word = bits | random.getrandbits(32) & ~mask
        if random.getrandbits(1) and mask == 0xBE00_0000:
            word &= ~0x3F_0000
        if bits >> 31 and word & 31 == word >> 5 & 31:
            continue
        assert ours(word) == theirs(word), hex(word)
