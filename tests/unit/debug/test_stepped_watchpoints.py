"""The direction in which an instruction moves data."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.debug.stepped_watchpoints import directions

LOADS, STORES, BOTH, NEITHER = (True, False), (False, True), (True, True), (False, False)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (0xF9400020, LOADS),  # ldr x0, [x1]
        (0xF9000020, STORES),  # str x0, [x1]
        (0xA9400440, LOADS),  # ldp x0, x1, [x2]
        (0xA9BF7BFD, STORES),  # stp x29, x30, [sp, #-16]!
        (0x58000040, LOADS),  # ldr x0, .+8
        (0x3DC00020, LOADS),  # ldr q0, [x1]
        (0x3D800020, STORES),  # str q0, [x1]
        (0xC85F7C20, LOADS),  # ldxr x0, [x1]
        (0xC8027C20, STORES),  # stxr w2, x0, [x1]
        (0xC87F0440, LOADS),  # ldxp x0, x1, [x2]
        (0xC8230440, STORES),  # stxp w3, x0, x1, [x2]
        (0xC8DFFC20, LOADS),  # ldar x0, [x1]
        (0xC89FFC20, STORES),  # stlr x0, [x1]
        (0x38BFC020, LOADS),  # ldaprb w0, [x1]
        (0xF8220020, BOTH),  # ldadd x2, x0, [x1]
        (0xF8228020, BOTH),  # swp x2, x0, [x1]
        (0xC8A27C20, BOTH),  # cas x2, x0, [x1]
        (0x48227C20, BOTH),  # casp x2, x3, x0, x1, [x1]
        (0x4C407820, LOADS),  # ld1 {v0.4s}, [x1]
        (0x4C007820, STORES),  # st1 {v0.4s}, [x1]
        (0x0D400020, LOADS),  # ld1 {v0.b}[0], [x1]
        (0x0D000020, STORES),  # st1 {v0.b}[0], [x1]
        (0xD50B7420, STORES),  # dc zva, x0
        (0xF9800020, NEITHER),  # prfm pldl1keep, [x1]
        (0x8B020020, NEITHER),  # add x0, x1, x2
        (0xD503201F, NEITHER),  # nop
        (0xD4000002, NEITHER),  # hvc #0
    ],
)
def test_directions(word: int, expected: tuple[bool, bool]) -> None:
    assert directions(word) == expected
