"""Load/store decoding against words from the GNU assembler."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from arm_vcpu_cli.arch.instructions.loadstore import decode_load_store
from arm_vcpu_cli.arch.instructions.transfers import LoadStore, Transfer, Unemulated

# (word, assembly, load?, registers, size, flags, base, offset, write-back). Flags: v vector, s signed, x Xt.
# Several registers follow one another in memory. A write-back that is not the offset is post-indexed.
PLAIN: list[tuple[int, str, bool, tuple[int, ...], int, str, int, int | None, int | None]] = [
    (0xF9400041, "ldr x1, [x2]", True, (1,), 8, "x", 2, 0, None),
    (0xB9400441, "ldr w1, [x2, #4]", True, (1,), 4, "", 2, 4, None),
    (0x394017E3, "ldrb w3, [sp, #5]", True, (3,), 1, "", 31, 5, None),
    (0x39801483, "ldrsb x3, [x4, #5]", True, (3,), 1, "sx", 4, 5, None),
    (0x39C01483, "ldrsb w3, [x4, #5]", True, (3,), 1, "s", 4, 5, None),
    (0x79C00C83, "ldrsh w3, [x4, #6]", True, (3,), 2, "s", 4, 6, None),
    (0x79800C83, "ldrsh x3, [x4, #6]", True, (3,), 2, "sx", 4, 6, None),
    (0xB98008C5, "ldrsw x5, [x6, #8]", True, (5,), 4, "sx", 6, 8, None),
    (0xB90000FF, "str wzr, [x7]", False, (31,), 4, "", 7, 0, None),
    (0x79000528, "strh w8, [x9, #2]", False, (8,), 2, "", 9, 2, None),
    (0x38001528, "strb w8, [x9], #1", False, (8,), 1, "", 9, 0, 1),
    (0xF81F0D28, "str x8, [x9, #-16]!", False, (8,), 8, "x", 9, -16, -16),
    (0xF84207EA, "ldr x10, [sp], #32", True, (10,), 8, "x", 31, 0, 32),
    (0xB89FCD6A, "ldrsw x10, [x11, #-4]!", True, (10,), 4, "sx", 11, -4, -4),
    (0xF85F8041, "ldur x1, [x2, #-8]", True, (1,), 8, "x", 2, -8, None),
    (0xB8003041, "stur w1, [x2, #3]", False, (1,), 4, "", 2, 3, None),
    (0x38900041, "ldursb x1, [x2, #-256]", True, (1,), 1, "sx", 2, -256, None),
    (0xF8637841, "ldr x1, [x2, x3, lsl #3]", True, (1,), 8, "x", 2, None, None),
    (0x7863C841, "ldrh w1, [x2, w3, sxtw]", True, (1,), 2, "", 2, None, None),
    (0x3CA36841, "str q1, [x2, x3]", False, (1,), 16, "v", 2, None, None),
    (0x58000041, "ldr x1, label", True, (1,), 8, "x", 31, None, None),
    (0x18000041, "ldr w1, label", True, (1,), 4, "", 31, None, None),
    (0x98FFFFE1, "ldrsw x1, label", True, (1,), 4, "sx", 31, None, None),
    (0x9C000081, "ldr q1, label", True, (1,), 16, "v", 31, None, None),
    (0x1C000081, "ldr s1, label", True, (1,), 4, "v", 31, None, None),
    (0xA9410861, "ldp x1, x2, [x3, #16]", True, (1, 2), 8, "x", 3, 16, None),
    (0x297F0861, "ldp w1, w2, [x3, #-8]", True, (1, 2), 4, "", 3, -8, None),
    (0xA9BF7BFD, "stp x29, x30, [sp, #-16]!", False, (29, 30), 8, "x", 31, -16, -16),
    (0xA8C17BFD, "ldp x29, x30, [sp], #16", True, (29, 30), 8, "x", 31, 0, 16),
    (0x69408861, "ldpsw x1, x2, [x3, #4]", True, (1, 2), 4, "sx", 3, 4, None),
    (0xA8008861, "stnp x1, x2, [x3, #8]", False, (1, 2), 8, "x", 3, 8, None),
    (0x28400861, "ldnp w1, w2, [x3]", True, (1, 2), 4, "", 3, 0, None),
    (0xAD410861, "ldp q1, q2, [x3, #32]", True, (1, 2), 16, "v", 3, 32, None),
    (0x6C810861, "stp d1, d2, [x3], #16", False, (1, 2), 8, "v", 3, 0, 16),
    (0x2DBF0861, "stp s1, s2, [x3, #-8]!", False, (1, 2), 4, "v", 3, -8, -8),
    (0x3D400441, "ldr b1, [x2, #1]", True, (1,), 1, "v", 2, 1, None),
    (0x7D400441, "ldr h1, [x2, #2]", True, (1,), 2, "v", 2, 2, None),
    (0xBD400441, "ldr s1, [x2, #4]", True, (1,), 4, "v", 2, 4, None),
    (0xFD000441, "str d1, [x2, #8]", False, (1,), 8, "v", 2, 8, None),
    (0x3D800441, "str q1, [x2, #16]", False, (1,), 16, "v", 2, 16, None),
    (0x3CC1045F, "ldr q31, [x2], #16", True, (31,), 16, "v", 2, 0, 16),
    (0x3C9FF041, "stur q1, [x2, #-1]", False, (1,), 16, "v", 2, -1, None),
    (0x88DFFC41, "ldar w1, [x2]", True, (1,), 4, "", 2, 0, None),
    (0x08DFFC41, "ldarb w1, [x2]", True, (1,), 1, "", 2, 0, None),
    (0xC89FFC41, "stlr x1, [x2]", False, (1,), 8, "x", 2, 0, None),
    (0x489FFFE1, "stlrh w1, [sp]", False, (1,), 2, "", 31, 0, None),
    (0xC8DF7C41, "ldlar x1, [x2]", True, (1,), 8, "x", 2, 0, None),
    (0xF8BFC041, "ldapr x1, [x2]", True, (1,), 8, "x", 2, 0, None),
    (0x38BFC041, "ldaprb w1, [x2]", True, (1,), 1, "", 2, 0, None),
    (0xD95F8041, "ldapur x1, [x2, #-8]", True, (1,), 8, "x", 2, -8, None),
    (0x19001041, "stlurb w1, [x2, #1]", False, (1,), 1, "", 2, 1, None),
    (0x99804041, "ldapursw x1, [x2, #4]", True, (1,), 4, "sx", 2, 4, None),
    (0x19C04041, "ldapursb w1, [x2, #4]", True, (1,), 1, "s", 2, 4, None),
    (0xF8408841, "ldtr x1, [x2, #8]", True, (1,), 8, "x", 2, 8, None),
    (0x38000841, "sttrb w1, [x2]", False, (1,), 1, "", 2, 0, None),
    (0xB89FC841, "ldtrsw x1, [x2, #-4]", True, (1,), 4, "sx", 2, -4, None),
]

UNEMULATED = [
    (0xC85F7C41, "ldxr x1, [x2]", "exclusive"),
    (0xC8208861, "stlxp w0, x1, x2, [x3]", "exclusive"),
    (0xC8A17C62, "cas x1, x2, [x3]", "atomic"),
    (0x48207C82, "casp x0, x1, x2, x3, [x4]", "atomic"),
    (0xB8200041, "ldadd w0, w1, [x2]", "atomic"),
    (0xF8208041, "swp x0, x1, [x2]", "atomic"),
    (0xF9800000, "prfm pldl1keep, [x0]", "prefetch"),
    (0xD8000040, "prfm pldl1keep, 104", "prefetch"),
    (0xF89FF000, "prfum pldl1keep, [x0, #-1]", "prefetch"),
    (0xF8A16800, "prfm pldl1keep, [x0, x1]", "prefetch"),
    (0xD50B7420, "dc zva, x0", "dc zva"),
    (0xD9200800, "stg x0, [x0]", "memory tagging"),
    (0x69000440, "stgp x0, x1, [x2]", "memory tagging"),
    (0xD50B7460, "dc gva, x0", "memory tagging"),
    (0xF83FD100, "ld64b x0, [x8]", "64-byte access"),
    (0xA400A000, "ld1b {z0.b}, p0/z, [x0]", "SVE or SME"),
    (0xD91F0C41, "gcsstr x1, [x2]", "guarded control stack"),
    (0x19000444, "cpyfp [x4]!, [x0]!, x2!", "memory copy or set"),
    (0xD9411840, "ldiapp x0, x1, [x2]", "load-acquire pair"),
    (0xD9C00841, "ldapr x1, [x2], #8", "load-acquire with write-back"),
    (0x19205041, "rcw or 128-bit atomic", "atomic"),
]

OTHERS = [
    (0x8B020020, "add x0, x1, x2"),
    (0xD50B7E20, "dc civac, x0"),
    (0x14000000, "b 134"),
    (0xD503201F, "nop"),
    (0xD65F03C0, "ret"),
    (0xD5033FBF, "dmb sy"),
    (0xD5033F5F, "clrex"),
    (0xF8A12800, "register offset with a reserved extend"),
    (0xB8C00041, "ldursw to 32 bits is unallocated"),
    (0x7CC10441, "128-bit access with size 01"),
    (0xE8400861, "pair with opc 11"),
    (0x68000861, "non-temporal pair with opc 01"),
    (0x3C000841, "unprivileged SIMD"),
    (0xF83FC041, "ldapr without acquire"),
    (0xD9804041, "ldapur of size 3, opc 2"),
    (0x00000000, "udf #0"),
]


@pytest.mark.parametrize(
    ("word", "is_load", "registers", "size", "flags", "base", "offset", "writeback"),
    [(word, *rest) for word, _, *rest in PLAIN],
    ids=[text for _, text, *_ in PLAIN],
)
def test_plain_loads_and_stores_are_decoded_from_their_words(
    word: int,
    is_load: bool,
    registers: tuple[int, ...],
    size: int,
    flags: str,
    base: int,
    offset: int | None,
    writeback: int | None,
) -> None:
    transfers = tuple(
        Transfer(register, index * size, size, "v" in flags, "s" in flags, "x" in flags)
        for index, register in enumerate(registers)
    )
    decoded = decode_load_store(word)
    assert isinstance(decoded, LoadStore)
    assert decoded.is_load is is_load
    assert decoded.transfers == transfers
    assert (decoded.base, decoded.offset, decoded.writeback) == (base, offset, writeback)
    assert decoded.post_index is (writeback is not None and offset != writeback)


def test_only_ldtr_and_sttr_are_unprivileged() -> None:
    unprivileged = {text.split()[0] for word, text, *_ in PLAIN if _is_unprivileged(word)}
    assert unprivileged == {"ldtr", "sttrb", "ldtrsw"}


def _is_unprivileged(word: int) -> bool:
    decoded = decode_load_store(word)
    return isinstance(decoded, LoadStore) and decoded.unprivileged


@pytest.mark.parametrize(
    ("word", "kind"), [(word, kind) for word, _, kind in UNEMULATED], ids=[text for _, text, _ in UNEMULATED]
)
def test_other_accesses_are_named(word: int, kind: str) -> None:
    assert decode_load_store(word) == Unemulated(kind)


@pytest.mark.parametrize("word", [word for word, _ in OTHERS], ids=[text for _, text in OTHERS])
def test_other_and_unallocated_words_are_no_loads_or_stores(word: int) -> None:
    assert decode_load_store(word) is None


@given(st.integers(0, 2**32 - 1))
@example(0xFFFFFFFF)
def test_any_word_decodes_to_something_consistent(word: int) -> None:
    decoded = decode_load_store(word)
    if not isinstance(decoded, LoadStore):
        return
    assert 1 <= len(decoded.transfers) <= 64
    assert 0 <= decoded.base <= 31
    for transfer in decoded.transfers:
        assert 0 <= transfer.register <= 31
        assert transfer.size in ((1, 2, 4, 8, 16) if transfer.vector else (1, 2, 4, 8))
        assert not (transfer.sign_extend and (transfer.vector or not decoded.is_load))
        assert transfer.is_64bit or transfer.vector or transfer.size <= 4
    if decoded.writeback is not None:
        assert decoded.offset == (0 if decoded.post_index else decoded.writeback)


@given(st.integers(0, 31), st.integers(0, 31), st.integers(0, 4095), st.integers(0, 3), st.booleans())
def test_the_unsigned_immediate_is_scaled_by_the_size(rt: int, rn: int, imm: int, size: int, load: bool) -> None:
    decoded = decode_load_store(0x39000000 | size << 30 | int(load) << 22 | imm << 10 | rn << 5 | rt)
    assert isinstance(decoded, LoadStore)
    assert (decoded.is_load, decoded.base, decoded.offset) == (load, rn, imm << size)
    assert decoded.transfers == (Transfer(rt, 0, 1 << size, False, False, size == 3),)


@given(st.integers(-64, 63), st.sampled_from([1, 2, 3]))
def test_the_pair_immediate_is_signed_and_scaled(imm: int, mode: int) -> None:
    word = 0xA8400861 | mode << 23 | (imm & 0x7F) << 15
    decoded = decode_load_store(word)
    assert isinstance(decoded, LoadStore)
    assert decoded.offset == (0 if mode == 1 else imm * 8)
    assert decoded.writeback == (None if mode == 2 else imm * 8)
    assert decoded.post_index is (mode == 1)


def test_structures_are_one_transfer_for_each_element_in_the_order_of_their_addresses() -> None:
    ld2 = decode_load_store(0x4C40_8841)  # ld2 {v1.4s, v2.4s}, [x2]
    assert isinstance(ld2, LoadStore)
    assert [(each.register, each.offset, each.size, each.at) for each in ld2.transfers] == [
        (1 + n % 2, 4 * n, 4, 4 * (n // 2)) for n in range(8)
    ]
    assert not ld2.writes_base
    st1 = decode_load_store(0x0D82_5041)  # st1 {v1.h}[2], [x2], x2
    assert isinstance(st1, LoadStore)
    assert st1.transfers == (Transfer(1, 0, 2, True, False, False, at=4, lane=True),)
    assert (st1.added_register, st1.writeback, st1.post_index) == (2, None, True)
    ld1r = decode_load_store(0x4DDF_C441)  # ld1r {v1.8h}, [x2], #2
    assert isinstance(ld1r, LoadStore)
    assert ld1r.transfers == (Transfer(1, 0, 2, True, False, False, copies=8),)
    assert ld1r.writeback == 2


def test_the_address_of_an_authenticated_load_is_not_known() -> None:
    ldraa = decode_load_store(0xF83F_FC20)  # ldraa x0, [x1, #-8]!
    assert isinstance(ldraa, LoadStore)
    assert ldraa.address(lambda _number: 0x1000, 0, 0) is None
    assert ldraa.writes_address
    assert ldraa.writes_base


@given(st.integers(0, 2**64 - 1), st.integers(0, 7), st.booleans())
def test_register_offsets_are_extended_and_shifted(value: int, option: int, scaled: bool) -> None:
    word = 0xF860_0820 | 2 << 16 | option << 13 | scaled << 12
    decoded = decode_load_store(word)
    if not option & 2:
        assert decoded is None
        return
    assert isinstance(decoded, LoadStore)
    address = decoded.address({1: 0x1_0000, 2: value}.__getitem__, 0, 0)
    low = value & 0xFFFF_FFFF
    extended = {2: low, 6: low - (low >> 31 << 32), 3: value, 7: value}[option]
    assert address == 0x1_0000 + (extended << 3 * scaled) & 2**64 - 1


def test_the_address_of_a_literal_counts_from_the_instruction() -> None:
    decoded = decode_load_store(0x58FF_FFE0)  # ldr x0, .-4
    assert isinstance(decoded, LoadStore)
    assert decoded.address(lambda _number: 0, 0, 0x8000) == 0x7FFC
