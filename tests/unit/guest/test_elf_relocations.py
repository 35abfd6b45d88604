"""Static PIEs: their places, and the relocations applied or refused."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.guest.elf import load_elf
from arm_vcpu_cli.guest.image import GuestImage

from .elf_writer import ET_DYN, ET_EXEC, R_GLOB_DAT, R_RELATIVE, ElfFile, Load, R, Symbol, W, dynamic_section, rela

RAM = 0x4000_0000
BASE = RAM + 0x8_0000
PATH = Path("pie.elf")

DT_NEEDED, DT_RELA, DT_RELASZ, DT_RELAENT = 1, 7, 8, 9
DT_REL, DT_RELSZ, DT_RELENT, DT_JMPREL, DT_PLTREL, DT_PLTRELSZ, DT_RELRSZ, DT_RELR = 17, 18, 19, 23, 20, 2, 35, 36
DT_SYMTAB = 6
R_ABS64 = 257
R_IRELATIVE = 1032
DT_ANDROID_RELR, DT_ANDROID_RELRSZ = 0x6FFF_E000, 0x6FFF_E001

DATA_VA = 0x1000
TABLE = 0x400  # in the data segment: the relocation table
SYMBOL_TABLE = 0x600  # in the data segment, if anything
DYNAMIC = 0x800  # in the data segment: the dynamic section
CODE_SIZE = 0x40


def pie(words: dict[int, int], table: bytes, *tags: tuple[int, int], align: int = 0x1000, low: int = 0) -> ElfFile:
    """A PIE whose data segment has ``words`` by offset, a relocation table and a dynamic section."""
    data = bytearray(0xC00)
    for offset, value in words.items():
        struct.pack_into("<Q", data, offset, value)
    data[TABLE : TABLE + len(table)] = table
    dynamic = dynamic_section(*tags)
    data[DYNAMIC : DYNAMIC + len(dynamic)] = dynamic
    code = Load(low, b"\x1f\x20\x03\xd5" * (CODE_SIZE // 4), align=align)
    loads = [code, Load(low + DATA_VA, bytes(data), flags=R | W, align=align, memory_size=0x2000)]
    return ElfFile(loads, entry=low + 4, type=ET_DYN, dynamic=(1, DYNAMIC, len(dynamic)),
                   symbols=[Symbol("start", low, CODE_SIZE)])  # fmt: skip


def rela_tags(count: int) -> tuple[tuple[int, int], ...]:
    return (DT_RELA, DATA_VA + TABLE), (DT_RELASZ, count * 24), (DT_RELAENT, 24)


REL_TAGS = ((DT_REL, DATA_VA + TABLE), (DT_RELSZ, 16), (DT_RELENT, 16))
SYMBOLS = (DT_SYMTAB, DATA_VA + SYMBOL_TABLE)


def load(elf: ElfFile | bytes) -> GuestImage:
    return load_elf(PATH, elf if isinstance(elf, bytes) else elf.to_bytes(), ram_base=RAM)


def word(image: GuestImage, offset: int) -> int:
    value: int = struct.unpack_from("<Q", image.segments[1].data, offset)[0]
    return value


def refusal(elf: ElfFile) -> GuestFileError:
    with pytest.raises(GuestFileError) as caught:
        load(elf)
    return caught.value


def test_a_static_pie_goes_512_kib_into_ram_with_its_symbols() -> None:
    image = load(pie({}, b""))
    assert (image.entry, image.load_bias) == (BASE + 4, BASE)
    assert [segment.address for segment in image.segments] == [BASE, BASE + DATA_VA]
    assert image.symbols.resolve(BASE + 8) == ("start", 8)
    assert image.symbols.lookup("start") == BASE


def test_the_largest_alignment_of_a_segment_is_kept() -> None:
    image = load(pie({}, b"", align=0x20_0000))
    assert image.load_bias == RAM + 0x20_0000


def test_a_pie_that_begins_between_two_alignments_keeps_its_offset_from_the_lower_one() -> None:
    image = load(pie({}, b"", low=0x10_0240))
    assert image.load_bias == BASE - 0x10_0000
    assert image.segments[0].address == BASE + 0x240


def test_a_pie_linked_high_moves_down() -> None:
    low = 0xFFFF_8000_0001_0000
    image = load(pie({}, b"", low=low))
    assert image.load_bias == BASE - low
    assert image.segments[0].address == BASE
    assert image.symbols.format(BASE + 4) == "start+0x4"


def test_a_relative_relocation_is_the_addend_plus_the_bias() -> None:
    table = rela(DATA_VA + 8, 0x123) + rela(DATA_VA + 0x10, -8) + rela(0, 0, kind=0)
    image = load(pie({8: 0xDEAD, 0x18: 7}, table, *rela_tags(3)))
    assert word(image, 8) == BASE + 0x123
    assert word(image, 0x10) == BASE - 8
    assert word(image, 0x18) == 7


def test_the_table_of_the_plt_is_applied_too() -> None:
    tags = ((DT_JMPREL, DATA_VA + TABLE), (DT_PLTRELSZ, 24))
    assert word(load(pie({}, rela(DATA_VA, 4), *tags)), 0) == BASE + 4


def test_packed_relocations_add_the_bias_in_place() -> None:
    # The address 0x1000, then a bitmap for the 63 words after it: the first, the third and the last.
    bitmap = 1 | 1 << 1 | 1 << 3 | 1 << 63
    words = {offset: offset + 5 for offset in (0, 8, 0x10, 0x18, 8 * 63)}
    table = struct.pack("<QQ", DATA_VA, bitmap)
    image = load(pie(words, table, (DT_RELR, DATA_VA + TABLE), (DT_RELRSZ, 16)))
    assert [word(image, offset) - offset - 5 for offset in words] == [BASE, BASE, 0, BASE, BASE]


def test_a_second_bitmap_covers_the_following_63_words() -> None:
    table = struct.pack("<QQQ", DATA_VA, 1, 1 | 1 << 1)
    image = load(pie({8 * 64: 9}, table, (DT_RELR, DATA_VA + TABLE), (DT_RELRSZ, 24)))
    assert word(image, 8 * 64) == BASE + 9


def symbol_words(*symbols: tuple[int, int, int]) -> dict[int, int]:
    """The words of a symbol table: for each symbol its binding, section and value."""
    table = bytes(24) + b"".join(
        struct.pack("<IBBHQQ", 1, binding << 4, 0, section, value, 0) for binding, section, value in symbols
    )
    return {SYMBOL_TABLE + 8 * index: each for index, (each,) in enumerate(struct.iter_unpack("<Q", table))}


@pytest.mark.parametrize("kind", [R_ABS64, R_GLOB_DAT, 1026])
@pytest.mark.parametrize(
    ("binding", "section", "value", "expected"),
    [(2, 0, 0, 3), (1, 1, 0x20, BASE + 0x23), (0, 0xFFF1, 0x20, 0x23)],
    ids=["weak and undefined", "defined", "absolute"],
)
def test_relocations_by_symbols_of_the_file_are_applied(
    kind: int, binding: int, section: int, value: int, expected: int
) -> None:
    """GNU ld makes one for an undefined weak symbol."""
    words = symbol_words((binding, section, value))
    image = load(pie(words, rela(DATA_VA, 3, kind=1 << 32 | kind), *rela_tags(1), SYMBOLS))
    assert word(image, 0) == expected


def relocate_again(data: bytearray, bias: int, *, rela_count: int, rel_count: int, relr_count: int) -> None:
    """What the start-up of a program that relocates itself does with the tables that lie one behind the other."""

    def add(address: int) -> None:
        offset = address - DATA_VA
        struct.pack_into("<Q", data, offset, struct.unpack_from("<Q", data, offset)[0] + bias)

    at = TABLE
    for _ in range(rela_count):
        target, kind, addend = struct.unpack_from("<QQq", data, at)
        assert kind == R_RELATIVE
        struct.pack_into("<Q", data, target - DATA_VA, addend + bias)
        at += 24
    for _ in range(rel_count):
        target, kind = struct.unpack_from("<QQ", data, at)
        if kind == R_RELATIVE:
            add(target)
        at += 16
    where = 0
    for _ in range(relr_count):
        (entry,) = struct.unpack_from("<Q", data, at)
        if entry & 1 == 0:
            add(entry)
            where = entry + 8
        else:
            for bit in range(63):
                if entry >> (bit + 1) & 1:
                    add(where + 8 * bit)
            where += 8 * 63
        at += 8


def test_a_program_that_relocates_itself_changes_nothing() -> None:
    """The addends of the last two tables are in memory, where the loader has already added the bias."""
    table = rela(DATA_VA, 0x10) + struct.pack("<QQ", DATA_VA + 8, R_RELATIVE)
    table += struct.pack("<QQQQ", DATA_VA + 0x10, 1 | 1 << 1 | 1 << 5, DATA_VA + 0x200, 1 | 1 << 63)
    tags = (
        *rela_tags(1), (DT_REL, DATA_VA + TABLE + 24), (DT_RELSZ, 16),
        (DT_RELR, DATA_VA + TABLE + 40), (DT_RELRSZ, 32),
    )  # fmt: skip
    words = {8: 1, 0x10: 2, 0x18: 3, 0x20: 4, 0x38: 5, 0x200: 6, 0x208 + 62 * 8: 7}
    image = load(pie(words, table, *tags))
    data = bytearray(image.segments[1].data)
    relocate_again(data, BASE, rela_count=1, rel_count=1, relr_count=4)
    values = {offset: struct.unpack_from("<Q", data, offset)[0] - BASE for offset in words if offset != 0x20}
    assert values == {offset: value for offset, value in words.items() if offset != 0x20}
    assert struct.unpack_from("<Q", data, 0x20)[0] == 4
    assert struct.unpack_from("<Q", data, 0)[0] == BASE + 0x10


def test_where_nothing_moves_the_tables_stay_as_they_are() -> None:
    """A program that is linked for another place than it runs at first relocates itself when it goes there."""
    elf = pie({0: 5}, struct.pack("<Q", RAM + DATA_VA), (DT_RELR, RAM + DATA_VA + TABLE), (DT_RELRSZ, 8), low=RAM)
    image = load(replace(elf, type=ET_EXEC))
    assert (word(image, 0), word(image, TABLE)) == (5, RAM + DATA_VA)


def test_a_table_that_relocates_itself_is_applied_as_it_was_in_the_file() -> None:
    table = rela(DATA_VA + TABLE + 24, 0) + rela(DATA_VA, 0x10)
    image = load(pie({}, table, *rela_tags(2)))
    assert (word(image, TABLE + 24), word(image, 0)) == (BASE, BASE + 0x10)


@pytest.mark.parametrize(
    ("table", "tags", "part"),
    [
        (rela(DATA_VA, 0, kind=R_GLOB_DAT), rela_tags(1), "R_AARCH64_GLOB_DAT"),
        (rela(DATA_VA, 0, kind=0x4321), rela_tags(1), "type 17185"),
        (rela(DATA_VA + 0xC00, 0), rela_tags(1), "0x1c00, which is in no segment's data"),
        (rela(DATA_VA - 4, 0), rela_tags(1), "in no segment's data"),
        (rela(1 << 63, 0), rela_tags(1), "in no segment's data"),
        (b"", ((DT_RELA, DATA_VA + TABLE), (DT_RELASZ, 25)), "multiple of 24"),
        (b"", ((DT_RELA, 0x10_0000), (DT_RELASZ, 24)), "in no segment's data"),
        (b"", ((DT_RELASZ, 24),), "no address"),
        (b"", ((DT_RELA, DATA_VA), (DT_RELASZ, 24), (DT_RELAENT, 16)), "DT_RELAENT is 16"),
        (struct.pack("<QQ", DATA_VA, R_GLOB_DAT), REL_TAGS, "R_AARCH64_GLOB_DAT"),
        (struct.pack("<QQ", DATA_VA + 0xC00, R_RELATIVE), REL_TAGS, "in no segment's data"),
        (b"", ((DT_REL, DATA_VA), (DT_RELSZ, 16), (DT_RELENT, 24)), "DT_RELENT is 24"),
        (rela(DATA_VA, 0, kind=1 << 32 | R_ABS64), rela_tags(1), "by symbol 1, which the file does not have"),
        (rela(DATA_VA, 0, kind=1 << 32 | R_ABS64), (*rela_tags(1), SYMBOLS), "by symbol 1, which nobody defines"),
        (b"", ((DT_NEEDED, 1),), "DT_NEEDED"),
        (struct.pack("<Q", 1), ((DT_RELR, DATA_VA + TABLE), (DT_RELRSZ, 8)), "begins with a bitmap"),
        (struct.pack("<Q", 1 << 40), ((DT_RELR, DATA_VA + TABLE), (DT_RELRSZ, 8)), "in no segment's data"),
    ],
)
def test_what_a_loader_without_libraries_cannot_apply_is_refused(
    table: bytes, tags: tuple[tuple[int, int], ...], part: str
) -> None:
    error = refusal(pie({}, table, *tags))
    assert part in str(error)
    assert error.offset is not None


def test_the_refused_relocation_is_named_by_its_offset_in_the_file() -> None:
    elf = pie({}, rela(DATA_VA, 0) + rela(DATA_VA, 0, kind=R_GLOB_DAT), *rela_tags(2))
    error = refusal(elf)
    assert error.offset is not None
    assert elf.to_bytes()[error.offset : error.offset + 24] == rela(DATA_VA, 0, kind=R_GLOB_DAT)


def test_a_dynamic_section_beyond_the_file_is_refused() -> None:
    elf = pie({}, b"")
    elf.dynamic = (1, DYNAMIC, 1 << 40)
    assert "truncated dynamic section" in str(refusal(elf))


SAMPLE_TABLE = rela(DATA_VA, 1) + rela(DATA_VA + 8, 2)
SAMPLE = pie({}, SAMPLE_TABLE, *rela_tags(2), (DT_RELR, DATA_VA + TABLE), (DT_RELRSZ, 8))
SAMPLE_BYTES = SAMPLE.to_bytes()
INTERESTING = [
    *range(64, 64 + 3 * 56),
    *range(64 + 3 * 56 + CODE_SIZE + TABLE, 64 + 3 * 56 + CODE_SIZE + TABLE + 48),
    *range(64 + 3 * 56 + CODE_SIZE + DYNAMIC, 64 + 3 * 56 + CODE_SIZE + DYNAMIC + 96),
]


@given(st.lists(st.tuples(st.sampled_from(INTERESTING), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_corrupted_pie_loads_or_is_refused(changes: list[tuple[int, int]]) -> None:
    data = bytearray(SAMPLE_BYTES)
    for offset, value in changes:
        data[offset] = value
    try:
        image = load(bytes(data))
    except GuestFileError as error:
        assert "\n" not in str(error)
        return
    assert sum(len(segment.data) for segment in image.segments) <= len(data)


def test_the_sample_that_is_corrupted_above_is_valid() -> None:
    assert word(load(SAMPLE), 0) == BASE + 1


def test_the_address_of_an_indirect_function_is_left_to_the_guest() -> None:
    table = rela(DATA_VA, 0x10, kind=R_IRELATIVE) + rela(DATA_VA + 8, 4)
    image = load(pie({0: 0x77}, table, *rela_tags(2)))
    assert struct.unpack_from("<QQ", image.segments[1].data) == (0x77, image.load_bias + 4)
    assert "its indirect functions (R_AARCH64_IRELATIVE) are left" in image.warnings[0]


def test_relr_tables_of_android_are_applied() -> None:
    elf = pie({0: 0x10}, struct.pack("<Q", DATA_VA), (DT_ANDROID_RELR, DATA_VA + TABLE), (DT_ANDROID_RELRSZ, 8))
    image = load(elf)
    assert struct.unpack_from("<Q", image.segments[1].data)[0] == image.load_bias + 0x10


@pytest.mark.parametrize(("tag", "name"), [(0x6000_000F, "DT_ANDROID_REL"), (0x6000_0011, "DT_ANDROID_RELA")])
def test_packed_relocations_are_refused(tag: int, name: str) -> None:
    with pytest.raises(GuestFileError, match=rf"packed relocations \({name}\), expected DT_RELA or DT_RELR"):
        load(pie({}, b"APS2", (tag, DATA_VA + TABLE), (tag + 1, 4)))


@pytest.mark.parametrize(("kind", "name"), [(1030, "R_AARCH64_TLS_TPREL"), (1031, "R_AARCH64_TLSDESC"), (9, "type 9")])
def test_a_relocation_that_cannot_be_applied_has_its_name(kind: int, name: str) -> None:
    with pytest.raises(GuestFileError, match=f"relocation {name}, expected only R_AARCH64_RELATIVE"):
        load(pie({}, rela(DATA_VA, 0, kind=kind), *rela_tags(1)))
