"""What a loop waits for, derived from the instructions after its load."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.instructions.conditions import Condition, awaited_condition, branch_target

LOAD = 0x1000
NOP = 0xD503201F
RET = 0xD65F03C0
CALLER = 0x2000

# Each is the words behind `ldr w0, [x1]` at LOAD, and the condition.
LOOPS: dict[str, tuple[tuple[int, ...], Condition | None]] = {
    "tbnz w0, #5, back": ((0x372FFFE0,), Condition(1 << 5, 1 << 5, True)),
    "tbz x0, #33, back": ((0xB60FFFE0,), Condition(1 << 33, 0, True)),
    "tst w0, #0x30; b.eq back": ((0x721C041F, 0x54FFFFC0), Condition(0x30, 0, True)),
    "and w0, w0, #8; cbnz w0, back": ((0x121D0000, 0x35FFFFC0), Condition(8, 0)),
    "cbz w0, back": ((0x34FFFFE0,), Condition(2**64 - 1, 0, True)),
    "cmp w0, #27; b.ne back": ((0x71006C1F, 0x54FFFFC1), Condition(2**64 - 1, 27)),
    "lsr w0, w0, #3; and w0, w0, #1; cbnz w0, back": ((0x53037C00, 0x12000000, 0x35FFFFA0), Condition(8, 0)),
    "str w0, [sp, #12]; ldr w0, [sp, #12]; and w0, w0, #0x20; cmp w0, #0; b.ne back": (
        (0xB9000FE0, 0xB9400FE0, 0x121B0000, 0x7100001F, 0x54FFFF61),
        Condition(0x20, 0),
    ),
    "tbnz w0, #4, out; b back": ((0x37200040, 0x17FFFFFE), Condition(1 << 4, 1 << 4)),
    "ubfx w0, w0, #7, #1; cmp w0, #1; b.eq out; b back": (
        (0x53071C00, 0x7100041F, 0x54000040, 0x17FFFFFC),
        Condition(1 << 7, 1 << 7),
    ),
    "yield; mov w3, w0; cbz w3, back": ((0xD503203F, 0x2A0003E3, 0x34FFFFA3), Condition(2**64 - 1, 0, True)),
    "stxr w3, w2, [x1]; cbnz w3, back; cbnz w0, back": (
        (0x88037C22, 0x35FFFFC3, 0x35FFFFA0),
        Condition(2**64 - 1, 0),
    ),
    "stxr w3, w2, [x1]; cbz w3, +8; b back; cbz w0, back": (
        (0x88037C22, 0x34000043, 0x17FFFFFD, 0x34FFFF80),
        Condition(2**64 - 1, 0, True),
    ),
    "stxr w0, w2, [x1]; cbnz w0, back": ((0x88007C22, 0x35FFFFC0), None),
    "add w0, w0, #1; cbz w0, back": ((0x11000400, 0x34FFFFC0), None),
    "b back": ((0x17FFFFFF,), None),
    "cbz w3, back": ((0x34FFFFE3,), None),
    "what cannot be fetched": ((), None),
    "nothing but NOPs": ((NOP,) * 40, None),
}


@pytest.mark.parametrize("name", LOOPS)
def test_what_a_loop_waits_for(name: str) -> None:
    words, condition = LOOPS[name]
    code = {LOAD + 4 + 4 * number: word for number, word in enumerate(words)}
    assert awaited_condition(code.get, LOAD, 0, 64, 0) == condition


def test_only_the_bits_that_were_loaded_count() -> None:
    assert awaited_condition({LOAD + 4: 0x34FFFFE0}.get, LOAD, 0, 32, 0) == Condition(0xFFFF_FFFF, 0, True)
    assert awaited_condition({LOAD + 4: 0xB60FFFE0}.get, LOAD, 0, 32, 0) is None


def test_a_function_that_only_loads_is_followed_to_its_caller_once() -> None:
    code = {LOAD + 4: RET, CALLER: 0x36180000 | (0x3FFF << 5 & 0x7FFE0)}  # tbz w0, #3, CALLER - 4
    found = awaited_condition(code.get, LOAD, 0, 32, CALLER)
    assert found is not None
    assert found.mask == 8
    assert awaited_condition({LOAD + 4: RET, CALLER: RET}.get, LOAD, 0, 32, CALLER) is None
    assert awaited_condition(code.get, LOAD, 0, 32, 0) is None


@pytest.mark.parametrize(
    ("word", "target"),
    [(0x17FFFFFF, 0xFFC), (0x14000002, 0x1008), (0x54FFFFC0, 0xFF8), (0x372FFFE0, 0xFFC), (NOP, None), (RET, None)],
)
def test_where_branches_go(word: int, target: int | None) -> None:
    assert branch_target(word, 0x1000) == target
