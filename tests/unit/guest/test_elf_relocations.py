"""Static PIEs: where they go, and which relocations are applied or refused."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.guest.elf import load_elf
from arm_vcpu_cli.guest.image import GuestImage

from .elf_writer import ET_DYN, R_GLOB_DAT, ElfFile, Load, R, Symbol, W, dynamic_section, rela

RAM = 0x4000_0000
BASE = RAM + 0x8_0000
PATH = Path("pie.elf")

DT_NEEDED, DT_RELA, DT_RELASZ, DT_RELAENT = 1, 7, 8, 9
DT_REL, DT_RELSZ, DT_JMPREL, DT_PLTRELSZ, DT_RELRSZ, DT_RELR = 17, 18, 23, 2, 35, 36

DATA_VA = 0x1000
TABLE = 0x400  # in the data segment: the relocation table
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
        (b"", ((DT_REL, DATA_VA), (DT_RELSZ, 16)), "DT_REL"),
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
