"""Which instructions only compute, against words from the GNU assembler."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arch.instructions.inert import is_branch, is_inert
from arm_vcpu_cli.arch.instructions.loadstore import decode_load_store
from arm_vcpu_cli.arch.instructions.transfers import LoadStore
from arm_vcpu_cli.arch.registers.sysreg import decode_system_move

COMPUTING = [
    (0x91000420, "add x0, x1, #1"),
    (0x90000000, "adrp x0, ."),
    (0xF2A000E3, "movk x3, #7, lsl #16"),
    (0xD3431820, "ubfx x0, x1, #3, #4"),
    (0x93C21420, "extr x0, x1, x2, #5"),
    (0x8B020C20, "add x0, x1, x2, lsl #3"),
    (0x9B020C20, "madd x0, x1, x2, x3"),
    (0x9A820020, "csel x0, x1, x2, eq"),
    (0x9AC24C20, "crc32x w0, w1, x2"),
    (0xDAC00C20, "rev x0, x1"),
    (0xBA020020, "adcs x0, x1, x2"),
    (0xFA411800, "ccmp x0, #1, #0, ne"),
    (0x14000000, "b ."),
    (0x94000000, "bl ."),
    (0x54000001, "b.ne ."),
    (0xB4000000, "cbz x0, ."),
    (0x35000000, "cbnz w0, ."),
    (0xB6F80000, "tbz x0, #63, ."),
    (0x37180000, "tbnz w0, #3, ."),
    (0xD61F0220, "br x17"),
    (0xD63F0020, "blr x1"),
    (0xD65F03C0, "ret"),
    (0xD503201F, "nop"),
    (0xD503203F, "yield"),
    (0xD503205F, "wfe"),
    (0xD503207F, "wfi"),
    (0xD50320BF, "sevl"),
    (0xD503245F, "bti c"),
    (0xD503233F, "paciasp"),
    (0xD5033F9F, "dsb sy"),
    (0xD5033BBF, "dmb ish"),
    (0xD5033FDF, "isb"),
    (0xD5384240, "mrs x0, currentel"),
    (0xD5384100, "mrs x0, sp_el0"),
    (0xD538D080, "mrs x0, tpidr_el1"),
    (0xD53B4220, "mrs x0, daif"),
    (0xF9400020, "ldr x0, [x1]"),
    (0xB8627820, "ldr w0, [x1, x2, lsl #2]"),
    (0x38401420, "ldrb w0, [x1], #1"),
    (0xA94107E0, "ldp x0, x1, [sp, #16]"),
    (0x88DFFC20, "ldar w0, [x1]"),
    (0xF8BFC020, "ldapr x0, [x1]"),
    (0xC85F7C20, "ldxr x0, [x1]"),
    (0x085FFC20, "ldaxrb w0, [x1]"),
    (0xC87F8440, "ldaxp x0, x1, [x2]"),
    (0xF9800000, "prfm pldl1keep, [x0]"),
    (0xF8400820, "ldtr x0, [x1]"),
    (0xD53B4200, "mrs x0, nzcv"),
]
DOING = [
    (0xF9000020, "str x0, [x1]"),
    (0x39000420, "strb w0, [x1, #1]"),
    (0xA9BF07E0, "stp x0, x1, [sp, #-16]!"),
    (0x889FFC20, "stlr w0, [x1]"),
    (0xC8007C41, "stxr w0, x1, [x2]"),
    (0xC8208861, "stlxp w0, x1, x2, [x3]"),
    (0xC8A07C41, "cas x0, x1, [x2]"),
    (0xF8208041, "swp x0, x1, [x2]"),
    (0xF8200041, "ldadd x0, x1, [x2]"),
    (0x48207C82, "casp x0, x1, x2, x3, [x4]"),
    (0xFD400020, "ldr d0, [x1]"),
    (0xAD400440, "ldp q0, q1, [x2]"),
    (0x4C407820, "ld1 {v0.4s}, [x1]"),
    (0x1E622820, "fadd d0, d1, d2"),
    (0x9E660000, "fmov x0, d0"),
    (0x4E040C20, "dup v0.4s, w1"),
    (0x2518E3E0, "ptrue p0.b"),
    (0xD50342DF, "msr daifset, #2"),
    (0xD50342FF, "msr daifclr, #2"),
    (0xD50040BF, "msr spsel, #0"),
    (0xD5184100, "msr sp_el0, x0"),
    (0xD53BE040, "mrs x0, cntvct_el0"),
    (0xD53BE020, "mrs x0, cntpct_el0"),
    (0xD53B9D00, "mrs x0, pmccntr_el0"),
    (0xD538C100, "mrs x0, isr_el1"),
    (0xD53B2400, "mrs x0, rndr"),
    (0xD538CC00, "mrs x0, icc_iar1_el1"),
    (0xD5033F5F, "clrex"),
    (0xD50B7E20, "dc civac, x0"),
    (0xD50B7420, "dc zva, x0"),
    (0xD508751F, "ic iallu"),
    (0xD508871F, "tlbi vmalle1"),
    (0xD5087800, "at s1e1r, x0"),
    (0xD4000001, "svc #0"),
    (0xD4000002, "hvc #0"),
    (0xD4000003, "smc #0"),
    (0xD4200000, "brk #0"),
    (0xD4400000, "hlt #0"),
    (0xD69F03E0, "eret"),
    (0x9ADF1020, "irg x0, x1"),
    (0xD9600020, "ldg x0, [x1]"),
    (0xD9200820, "stg x0, [x1]"),
    (0x00000000, "udf #0"),
    (0xD500401F, "cfinv"),
]


@pytest.mark.parametrize(("word", "assembly"), COMPUTING)
def test_what_only_computes_is_inert(word: int, assembly: str) -> None:
    assert is_inert(word)


@pytest.mark.parametrize(("word", "assembly"), DOING)
def test_what_does_more_is_not(word: int, assembly: str) -> None:
    assert not is_inert(word)


@given(st.integers(0, 2**32 - 1))
def test_no_word_that_writes_memory_or_a_system_register_is_inert(word: int) -> None:
    access, move = decode_load_store(word), decode_system_move(word)
    if isinstance(access, LoadStore) and not access.is_load:
        assert not is_inert(word)
    if move is not None and not move.is_read:
        assert not is_inert(word)


@given(st.integers(0, 2**25 - 1), st.sampled_from([0b0111, 0b1111]), st.integers(0, 7))
def test_nothing_that_computes_with_vectors_is_inert(low: int, group: int, high: int) -> None:
    assert not is_inert(high << 29 | group << 25 | low)


@pytest.mark.parametrize(
    "word",
    [
        0x14000000,
        0x94000001,
        0x54000000,
        0x34000000,
        0xB5000000,
        0x36000000,
        0xB7F80000,
        0xD61F0000,
        0xD63F0000,
        0xD65F03C0,
    ],
)
def test_branches_are_told_from_what_goes_on_behind_itself(word: int) -> None:
    assert is_inert(word)
    assert is_branch(word)


@pytest.mark.parametrize("word", [0xD503201F, 0xD503205F, 0xD5033FDF, 0xD53BD040, 0x91000400, 0xF9400020, 0x10000000])
def test_hints_barriers_and_reads_are_no_branches(word: int) -> None:
    assert is_inert(word)
    assert not is_branch(word)
