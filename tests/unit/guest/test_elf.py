"""ELF guests: the places of segments and the entry point, and what is refused."""

from __future__ import annotations

import struct
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.guest.elf import load_elf
from arm_vcpu_cli.guest.image import GuestImage

from .elf_writer import (
    CODE,
    EM_ARM,
    EM_X86_64,
    ET_CORE,
    ET_DYN,
    ET_EXEC,
    ET_REL,
    PT_INTERP,
    SHN_ABS,
    STB_LOCAL,
    STB_WEAK,
    STT_NOTYPE,
    STT_OBJECT,
    ElfFile,
    Load,
    R,
    Symbol,
    W,
)

RAM = 0x4000_0000
PATH = Path("guest.elf")
VALID = ElfFile([Load(RAM), Load(RAM + 0x1000, b"data", memory_size=0x100, flags=R | W)], entry=RAM + 4)


def load(elf: ElfFile | bytes) -> GuestImage:
    return load_elf(PATH, elf if isinstance(elf, bytes) else elf.to_bytes(), ram_base=RAM)


def refusal(elf: ElfFile | bytes) -> GuestFileError:
    with pytest.raises(GuestFileError) as caught:
        load(elf)
    assert str(caught.value).startswith("guest.elf: ")
    assert "\n" not in str(caught.value)
    return caught.value


def test_segments_go_to_their_addresses_with_their_permissions() -> None:
    image = load(VALID)
    code, data = image.segments
    assert (image.kind, image.entry, image.load_bias) == ("elf", RAM + 4, 0)
    assert (code.address, code.data, code.memory_size, code.end) == (RAM, CODE, 8, RAM + 8)
    assert (code.readable, code.writable, code.executable) == (True, False, True)
    assert (data.address, data.data, data.memory_size) == (RAM + 0x1000, b"data", 0x100)
    assert (data.readable, data.writable, data.executable) == (True, True, False)


def test_segments_are_sorted_by_address() -> None:
    image = load(replace(VALID, loads=list(reversed(VALID.loads))))
    assert [segment.address for segment in image.segments] == [RAM, RAM + 0x1000]


def test_zero_filled_memory_is_a_size_and_takes_no_memory() -> None:
    huge = 1 << 40
    elf = ElfFile([Load(RAM, memory_size=huge)], entry=RAM).to_bytes()
    tracemalloc.start()
    try:
        image = load(elf)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert image.segments[0].memory_size == huge
    assert image.segments[0].data == CODE
    assert peak < 1 << 20


def test_an_empty_segment_is_passed_over() -> None:
    image = load(ElfFile([Load(RAM), Load(0, b"")], entry=RAM))
    assert [segment.address for segment in image.segments] == [RAM]


def test_physical_addresses_are_used_and_the_entry_is_converted() -> None:
    va = 0xFFFF_0000_0008_0000
    image = load(ElfFile([Load(va, paddr=RAM + 0x8_0000)], entry=va + 4, symbols=[Symbol("start", va, 8)]))
    assert image.segments[0].address == RAM + 0x8_0000
    assert image.entry == RAM + 0x8_0004
    assert image.symbols.format(va + 4) == "start+0x4"


def test_without_any_physical_address_the_virtual_ones_are_those() -> None:
    image = load(ElfFile([Load(RAM, paddr=0), Load(RAM + 0x1000, paddr=0)], entry=RAM + 4))
    assert [segment.address for segment in image.segments] == [RAM, RAM + 0x1000]
    assert image.entry == RAM + 4


def test_one_physical_address_means_all_of_them() -> None:
    image = load(ElfFile([Load(RAM, paddr=0), Load(RAM + 0x1000, paddr=0x2000)], entry=RAM + 4))
    assert [segment.address for segment in image.segments] == [0, 0x2000]


def test_an_entry_in_a_segment_that_is_not_executable_is_one_with_a_warning() -> None:
    """QEMU runs it, whatever the flags."""
    image = load(ElfFile([Load(RAM, flags=R | W)], entry=RAM + 4))
    assert image.entry == RAM + 4
    (warning,) = image.warnings
    assert warning.startswith("the entry point 0x40000004 is in LOAD[0], which is not marked as executable (PF_X)")
    assert load(VALID).warnings == ()


def test_an_entry_is_where_its_virtual_address_is_even_if_that_is_not_executable() -> None:
    loads = [Load(RAM, paddr=RAM + 0x1000, flags=R | W), Load(RAM + 0x1000, paddr=RAM)]
    image = load(ElfFile(loads, entry=RAM + 4))
    assert image.entry == RAM + 0x1004
    assert image.warnings[0].endswith(", at 0x40001004")


def test_of_two_segments_at_an_entry_the_executable_one_has_it() -> None:
    loads = [Load(RAM, paddr=RAM + 0x1000, flags=R | W), Load(RAM, paddr=RAM)]
    image = load(ElfFile(loads, entry=RAM + 4))
    assert (image.entry, image.warnings) == (RAM + 4, ())


def test_an_interpreter_without_libraries_is_not_meant() -> None:
    """``ld -pie`` names one in every file."""
    assert load(replace(VALID, loads=[Load(RAM), Load(0, b"/lib/ld.so", type=PT_INTERP)])).entry == VALID.entry


def test_an_entry_that_is_already_physical_is_kept() -> None:
    image = load(ElfFile([Load(0xFFFF_0000_0000_0000, paddr=RAM)], entry=RAM + 4))
    assert image.entry == RAM + 4


def test_an_entry_that_could_be_either_is_a_virtual_address() -> None:
    swapped = [Load(RAM, paddr=RAM + 0x1000), Load(RAM + 0x1000, paddr=RAM)]
    assert load(ElfFile(swapped, entry=RAM + 4)).entry == RAM + 0x1004


def test_segments_may_touch() -> None:
    image = load(ElfFile([Load(RAM), Load(RAM + len(CODE))], entry=RAM))
    assert [segment.address for segment in image.segments] == [RAM, RAM + len(CODE)]


def test_a_file_without_section_headers_loads_without_symbols() -> None:
    image = load(replace(VALID, sections=False))
    assert image.entry == RAM + 4
    assert len(image.symbols) == 0


def test_an_empty_file_is_refused() -> None:
    assert "empty" in refusal(b"").message


def test_a_file_that_is_no_elf_is_refused_with_what_it_starts_with() -> None:
    error = refusal(b"MZ\x90\x00" + bytes(100))
    assert error.offset == 0
    assert "expected the bytes 7f 45 4c 46, found 4d 5a 90 00" in error.message


@pytest.mark.parametrize(
    ("elf", "offset", "part"),
    [
        (replace(VALID, elf_class=1), 4, "ELFCLASS32"),
        (replace(VALID, elf_class=9), 4, "class 9"),
        (replace(VALID, encoding=2), 5, "ELFDATA2MSB"),
        (replace(VALID, encoding=0), 5, "data encoding 0"),
        (replace(VALID, machine=EM_X86_64), 18, "found EM_X86_64"),
        (replace(VALID, machine=EM_ARM), 18, "found EM_ARM"),
        (replace(VALID, machine=0xFEED), 18, "found 0xfeed"),
        (replace(VALID, type=ET_REL), 16, "ET_REL"),
        (replace(VALID, type=ET_CORE), 16, "ET_CORE"),
        (replace(VALID, type=0xFE01), 16, "type 0xfe01"),
        (replace(VALID, loads=[]), 56, "no program headers"),
        (replace(VALID, loads=[Load(RAM, type=4)]), 32, "no PT_LOAD"),
        (replace(VALID, loads=[Load(RAM, b"")]), 32, "no PT_LOAD"),
        (replace(VALID, loads=[Load(RAM)] * 1025), 56, "1025 program headers"),
        (replace(VALID, loads=[Load(RAM, memory_size=4)]), 64, "more than the 0x4 in memory"),
        (replace(VALID, loads=[Load(RAM, memory_size=1 << 63)]), 64, "wrap around"),
        (replace(VALID, loads=[Load((1 << 64) - 8, paddr=RAM, memory_size=0x1000)]), 64, "wrap around"),
        (replace(VALID, loads=[Load(RAM, paddr=(1 << 48) - 4)]), 64, "48-bit address space"),
        (replace(VALID, loads=[Load(RAM, align=3)]), 64, "power of two"),
        (replace(VALID, loads=[Load(RAM), Load(RAM + 4)]), None, "LOAD[1] (0x40000004 to 0x4000000b) over"),
        (replace(VALID, entry=RAM + 8), 24, "is in no segment"),
        (replace(VALID, entry=RAM + 2), 24, "not a multiple of 4"),
        (replace(VALID, loads=[Load(RAM, memory_size=0x100)], entry=RAM + 0x80), 24, "has no bytes for"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused_with_the_offset_of_the_reason(elf: ElfFile, offset: int | None, part: str) -> None:
    error = refusal(elf)
    assert part in error.message
    assert error.offset == offset


def test_program_headers_of_another_size_are_refused() -> None:
    data = bytearray(VALID.to_bytes())
    struct.pack_into("<H", data, 54, 32)
    assert "program headers of 32 bytes, expected 56" in refusal(bytes(data)).message


def test_program_headers_beyond_the_file_are_refused() -> None:
    data = bytearray(VALID.to_bytes())
    struct.pack_into("<Q", data, 32, len(data) - 8)
    assert "truncated" in refusal(bytes(data)).message


def test_segment_data_beyond_the_file_is_refused() -> None:
    error = refusal(ElfFile([Load(RAM, file_size=0x1_0000, memory_size=0x1_0000)], entry=RAM))
    assert (error.offset, "truncated" in error.message) == (64, True)


def test_an_entry_at_the_elf_header_is_refused() -> None:
    data = bytearray(ElfFile([Load(0, b"\0" * 64)], entry=0, type=ET_DYN).to_bytes())
    struct.pack_into("<Q", data, 64 + 8, 0)  # the first segment begins with the file, as linkers like it
    assert "ELF header" in refusal(bytes(data)).message


def test_segments_that_share_the_bytes_of_the_file_cannot_multiply_them() -> None:
    count = 1000
    loads = [Load(RAM + index * 0x10_0000, b"") for index in range(count)]
    data = bytearray(replace(VALID, loads=loads, sections=False).to_bytes())
    size = len(data)
    for index in range(count):
        struct.pack_into("<Q", data, 64 + index * 56 + 8, 0)
        struct.pack_into("<QQ", data, 64 + index * 56 + 32, size, size)
    assert "which has only" in refusal(bytes(data)).message


def test_symbols_are_found_by_address_and_name() -> None:
    symbols = [
        Symbol("main", RAM, 8),
        Symbol("counter", RAM + 0x1000, 4, kind=STT_OBJECT, section=2),
        Symbol("$x", RAM, kind=STT_NOTYPE),
        Symbol("stack_size", 0x4000, kind=STT_NOTYPE, section=SHN_ABS),
        Symbol("elsewhere", RAM, section=0),
    ]
    table = load(replace(VALID, symbols=symbols)).symbols
    assert table.resolve(RAM + 4) == ("main", 4)
    assert table.format(RAM + 0x1002) == "counter+0x2"
    assert (table.lookup("main"), table.lookup("stack_size")) == (RAM, 0x4000)
    assert (table.lookup("elsewhere"), table.lookup("$x")) == (None, None)
    assert table.format(0x4000) == ""


def test_of_the_names_of_one_address_a_global_function_is_shown() -> None:
    symbols = [
        Symbol("alabel", RAM, 8, kind=STT_NOTYPE),
        Symbol("blocal", RAM, 8, binding=STB_LOCAL),
        Symbol("cweak", RAM, 8, binding=STB_WEAK),
        Symbol("global", RAM, 8),
    ]
    for shown in range(4):
        table = load(replace(VALID, symbols=symbols[: shown + 1])).symbols
        assert table.format(RAM) == symbols[shown].name


def test_a_symbol_of_a_section_that_is_not_in_memory_is_no_address() -> None:
    table = load(replace(VALID, symbols=[Symbol("debug", RAM, 8, section=3)])).symbols
    assert (table.format(RAM), table.lookup("debug")) == ("", None)


def test_a_label_reaches_to_the_end_of_its_section_and_no_further() -> None:
    table = load(replace(VALID, symbols=[Symbol("_start", RAM, kind=STT_NOTYPE)])).symbols
    assert (table.format(RAM + 4), table.format(RAM + 8)) == ("_start+0x4", "")


def test_a_symbol_name_cannot_carry_control_characters() -> None:
    table = load(replace(VALID, symbols=[Symbol("a\x1b[31m\nb", RAM, 8)])).symbols
    assert table.format(RAM) == "a\ufffd[31m\ufffdb"


def test_a_broken_symbol_table_costs_only_the_symbols() -> None:
    data = bytearray(replace(VALID, symbols=[Symbol("main", RAM, 8)]).to_bytes())
    assert len(load(bytes(data)).symbols) == 1
    (table_offset,) = struct.unpack_from("<Q", data, 40)
    (count,) = struct.unpack_from("<H", data, 60)
    symtab = table_offset + (count - 1) * 64
    for field, value in ((24, 1 << 62), (32, 1 << 62), (56, 7), (40, 999)):
        broken = bytearray(data)
        struct.pack_into("<I" if field == 40 else "<Q", broken, symtab + field, value)
        image = load(bytes(broken))
        assert (image.entry, len(image.symbols)) == (RAM + 4, 0)


def test_section_headers_beyond_the_file_cost_only_the_symbols() -> None:
    data = bytearray(replace(VALID, symbols=[Symbol("main", RAM, 8)]).to_bytes())
    struct.pack_into("<Q", data, 40, 1 << 60)
    assert len(load(bytes(data)).symbols) == 0


def test_symbols_that_share_one_huge_name_cannot_multiply_it() -> None:
    name = "n" * 0x1_0000
    symbols = [Symbol("x", RAM, 8) for _ in range(4000)]
    data = bytearray(replace(VALID, symbols=[Symbol(name, RAM, 8), *symbols]).to_bytes())
    (table_offset,) = struct.unpack_from("<Q", data, 40)
    (symtab,) = struct.unpack_from("<Q", data, table_offset + 4 * 64 + 24)
    for index in range(4000):
        struct.pack_into("<I", data, symtab + (index + 2) * 24, 1 + index)
    tracemalloc.start()
    try:
        image = load(bytes(data))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert image.entry == RAM + 4
    assert peak < 8 << 20


def outcome(data: bytes) -> None:
    """Loading gives an image that keeps its promises, or the one error; anything else fails the test."""
    try:
        image = load(data)
    except GuestFileError as error:
        assert "\n" not in str(error)
        return
    at = [segment for segment in image.segments if segment.address <= image.entry < segment.end]
    assert any(segment.executable for segment in at) or (at and image.warnings)
    assert all(len(segment.data) <= segment.memory_size for segment in image.segments)
    assert sum(len(segment.data) for segment in image.segments) <= len(data)
    image.symbols.format(image.entry)


SAMPLE = replace(VALID, symbols=[Symbol("main", RAM, 8), Symbol("data", RAM + 0x1000, section=2)]).to_bytes()


@given(st.integers(0, len(SAMPLE) - 1))
def test_a_truncated_file_loads_or_is_refused(length: int) -> None:
    outcome(SAMPLE[:length])


@given(st.lists(st.integers(0, len(SAMPLE) * 8 - 1), min_size=1, max_size=8))
def test_a_file_with_flipped_bits_loads_or_is_refused(bits: list[int]) -> None:
    data = bytearray(SAMPLE)
    for bit in bits:
        data[bit // 8] ^= 1 << bit % 8
    outcome(bytes(data))


EXTREMES = (0, 1, (1 << 16) - 1, (1 << 32) - 1, 1 << 63, (1 << 64) - 1)


@given(st.integers(0, 64 + 2 * 56 - 8), st.sampled_from(EXTREMES))
def test_an_extreme_value_in_a_header_loads_or_is_refused(offset: int, value: int) -> None:
    data = bytearray(SAMPLE)
    struct.pack_into("<Q", data, offset, value)
    outcome(bytes(data))


@given(st.binary(max_size=300))
def test_arbitrary_bytes_behind_the_magic_number_are_refused_or_load(tail: bytes) -> None:
    outcome(b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHI", 2, 183, 1) + tail)


def test_every_single_truncation_of_the_headers_is_refused() -> None:
    for length in range(1, 64 + 2 * 56 + len(CODE) + 4):
        refusal(SAMPLE[:length])


HIGH = 0xFFFF_8000_0800_0000
IMAGE_HEADER = bytes(56) + b"ARM\x64" + bytes(4)


@pytest.mark.parametrize(("kind", "paddr"), [(ET_EXEC, HIGH), (ET_DYN, HIGH), (ET_DYN, 0)])
def test_a_vmlinux_is_refused_with_what_to_run_instead(kind: int, paddr: int) -> None:
    file = ElfFile([Load(HIGH, IMAGE_HEADER, paddr=paddr)], entry=HIGH, type=kind)
    with pytest.raises(GuestFileError, match=r"vmlinux.*run the Image.*--symbols"):
        load_elf(Path("vmlinux"), file.to_bytes(), ram_base=RAM)


def test_another_kernel_with_the_header_of_an_image_is_loaded() -> None:
    file = ElfFile([Load(HIGH, IMAGE_HEADER, paddr=RAM)], entry=HIGH)
    assert load_elf(Path("kernel.elf"), file.to_bytes(), ram_base=RAM).entry == RAM


def test_a_physical_address_that_is_a_virtual_one_is_called_that() -> None:
    file = ElfFile([Load(HIGH)], entry=HIGH)
    with pytest.raises(GuestFileError, match="its p_paddr seems to be a virtual address"):
        load_elf(Path("kernel.elf"), file.to_bytes(), ram_base=RAM)


def test_more_program_headers_than_the_header_can_count_are_refused() -> None:
    data = bytearray(ElfFile([Load(RAM)], entry=RAM).to_bytes())
    data[56:58] = b"\xff\xff"
    with pytest.raises(GuestFileError, match="65535 or more program headers, expected at most 1024"):
        load_elf(Path("many.elf"), bytes(data), ram_base=RAM)
