"""Instructions whose results the engine gets wrong and armvcpu corrects, found by ``tests.fuzz.programs``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from arm_vcpu_cli.arch.fault import FSC_ALIGNMENT
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.syndrome.iss import DataAbortIss
from arm_vcpu_cli.engine.complex_multiplication import multiply_only_elements
from arm_vcpu_cli.engine.ordered_alignment import check_ordered
from arm_vcpu_cli.engine.signed_atomics import compare_signed
from tests.support.tools import missing

from .harness import CURRENT_SPX, DATA, RAM, Guest

PLACE = RAM + 0x18_0000
HVC = 0xD400_2002
OPERATIONS = {"smax": 0x4000, "smin": 0x5000, "umax": 0x6000, "umin": 0x7000}
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 63, 5 << 61)
INFINITY, ONE, SIGNALLING = 0x7C00, 0x3C00, 0x7D00


@pytest.fixture(scope="module")
def guest() -> Iterator[Guest]:
    if not (compare_signed() and multiply_only_elements() and check_ordered()):
        missing("the engine that the corrections are for")
    with Guest("accesses", model="max") as guest:
        yield guest


def execute(guest: Guest, place: int, word: int, x: dict[int, int]) -> None:
    guest.write_code(place, word, HVC)
    guest.start(place, x=x)
    assert guest.finished(place)


def signed(value: int, bits: int) -> int:
    return (value & (1 << bits) - 1 ^ 1 << bits - 1) - (1 << bits - 1)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("size", range(4))
def test_atomic_minimum_and_maximum(guest: Guest, name: str, size: int) -> None:
    """Also with the destination as operand, and into XZR, which is the store form."""
    bits, choose = 8 << size, max if name.endswith("max") else min
    mask = (1 << bits) - 1
    group = (list(OPERATIONS).index(name) * 4 + size) * 3
    for form, (rs, rt) in enumerate(((2, 3), (2, 2), (2, 31))):
        place = PLACE + (group + form) * 8
        word = 0x3820_0000 | size << 30 | OPERATIONS[name] | rs << 16 | 1 << 5 | rt
        guest.write_code(place, word, HVC)
        for old in NUMBERS:
            for operand in NUMBERS:
                guest.write_u64(DATA, old)
                guest.start(place, x={1: DATA, 2: operand})
                assert guest.finished(place)
                key = (lambda value: signed(value, bits)) if name[0] == "s" else (lambda value: value & mask)
                stored = choose(old & mask, operand & mask, key=key)
                assert int.from_bytes(guest.read(DATA, 8), "little") == old & ~mask | stored, (hex(old), hex(operand))
                assert rt == 31 or guest.x(rt) == old & mask


@pytest.mark.parametrize(("low", "high", "fpsr"), [(ONE, INFINITY, 0), (ONE, SIGNALLING, 0), (SIGNALLING, ONE, 1)])
def test_complex_multiplication_sets_flags_for_its_elements_alone(guest: Guest, low: int, high: int, fpsr: int) -> None:
    """FCMLA V0.4H, V1.4H, V2.H[0], #0 with ``low`` and ``high`` in the halves of V1; V0 has an upper half of zeros."""
    place = PLACE + 0x1000
    guest.write_code(place, 0x2F42_1020, HVC)
    guest.prepare(place)
    guest.core.restorer(guest.vcpu.state)()
    guest.core.write_sysreg(lookup("FPSR"), 0)
    guest.core.saver(guest.vcpu.state)()
    guest.set_v(0, 0)
    guest.set_v(1, sum((low if lane < 4 else high) << 16 * lane for lane in range(8)))
    guest.set_v(2, 0)
    guest.run()
    assert guest.finished(place)
    assert guest.v(0) >> 64 == 0
    assert guest.core.read_sysreg(lookup("FPSR")) & 0x9F == fpsr


ORDERED = {
    "ldar": (0x08DF_FC20, False),
    "stlr": (0x089F_FC20, True),
    "ldapr": (0x38BF_C020, False),
    "ldapur": (0x1940_0020, False),
    "stlur": (0x1900_0020, True),
}
"""For bytes, from or to X0, at X1."""
LDR_X2 = 0xF940_0022


@pytest.mark.parametrize("name", ORDERED)
@pytest.mark.parametrize("size", range(4))
def test_ordered_accesses_are_aligned_on_memory(guest: Guest, name: str, size: int) -> None:
    """And the plain load behind them need not be."""
    word, is_store = ORDERED[name]
    place = PLACE + 0x2000 + (list(ORDERED).index(name) * 4 + size) * 12
    guest.write_code(place, word | size << 30, LDR_X2, HVC)
    for by in range(8):
        guest.write_u64(DATA, 0x1111_1111_1111_1111, 0x1111_1111_1111_1111)
        guest.start(place, x={0: 0x2222_2222_2222_2222, 1: DATA + by})
        memory = guest.read(DATA, 16)
        if by % (1 << size):
            assert (guest.slot, guest["FAR_EL1"], guest["ELR_EL1"]) == (CURRENT_SPX, DATA + by, place)
            assert guest.iss == int(DataAbortIss.of(DFSC=FSC_ALIGNMENT, WnR=int(is_store)))
            assert (guest.x(0), memory) == (0x2222_2222_2222_2222, b"\x11" * 16)
            continue
        assert (guest.slot, guest.pc) == (None, place + 12)
        assert memory.count(b"\x22") == (1 << size if is_store else 0)
        assert guest.x(2) == int.from_bytes(memory[by : by + 8], "little")


def test_a_word_that_is_no_instruction_leaves_no_check_behind(guest: Guest) -> None:
    """STLUR of SIMD registers is undefined here."""
    place = PLACE + 0x3000
    guest.write_code(place, 0x1D00_0820, HVC)
    guest.start(place, x={1: DATA})
    guest.write_code(place + 8, LDR_X2, HVC)
    guest.start(place + 8, x={1: DATA + 1})
    assert guest.finished(place + 8)
