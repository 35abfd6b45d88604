"""Source lines of addresses."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arm_vcpu_cli.guest.lines import SourceLines
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.guest.symbol_files import load_symbols

ROOT = Path(__file__).parents[3]
CRASH = ROOT / "samples" / "crash" / "crash.elf"
FAULTS = ROOT / "tests" / "integration" / "guests" / "faults.elf"
NO_DEBUG = ROOT / "tests" / "integration" / "guests" / "flood.elf"
RAM = 0x4000_0000


def address_of(path: Path, symbol: str) -> int:
    found = load_guest(path, ram_base=RAM).symbols.lookup(symbol)
    assert found is not None
    return found


def line_of(path: Path, text: str) -> int:
    """The first line of a source file that reads so."""
    return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if line.strip() == text)


def test_an_instruction_has_its_file_and_line() -> None:
    lines = SourceLines(CRASH)
    inner = address_of(CRASH, "inner")
    source = ROOT / "samples" / "crash" / "crash.c"
    stores = line_of(source, "*(volatile unsigned long *)address = value;")
    assert f"crash/crash.c:{stores}" in {lines.find(inner + 4 * n) for n in range(4)}
    assert lines.find(address_of(CRASH, "_start")).startswith("common/start.S:")


def test_version_5_of_an_assembler() -> None:
    address = address_of(FAULTS, "hang")
    source = FAULTS.with_suffix(".S")
    assert SourceLines(FAULTS).find(address) == f"faults.S:{line_of(source, 'case hang') + 1}"


@pytest.mark.parametrize("address", [0, -4, 0x10, RAM, 1 << 63, (1 << 64) - 4])
def test_an_address_outside_of_the_code_has_none(address: int) -> None:
    assert SourceLines(CRASH).find(address) == ""


def test_a_file_that_was_loaded_elsewhere() -> None:
    inner = address_of(CRASH, "inner")
    assert SourceLines(CRASH, bias=0x1000).find(inner + 0x1000) == SourceLines(CRASH).find(inner) != ""
    assert SourceLines(CRASH, bias=1 << 40).find(inner) == ""


def test_a_file_without_debug_information_has_no_lines() -> None:
    assert SourceLines(NO_DEBUG).find(address_of(NO_DEBUG, "_start")) == ""


def test_a_file_that_is_missing_or_no_elf_has_no_lines(tmp_path: Path) -> None:
    assert SourceLines(tmp_path / "nothing").find(RAM) == ""
    text = tmp_path / "text"
    text.write_text("text")
    assert SourceLines(text).find(RAM) == ""


def test_a_file_that_has_changed_since_it_was_loaded_says_nothing(tmp_path: Path) -> None:
    copy = tmp_path / "crash.elf"
    copy.write_bytes(CRASH.read_bytes())
    lines = SourceLines(copy)
    copy.write_bytes(CRASH.read_bytes() + b"\0")
    assert lines.find(address_of(CRASH, "inner")) == ""


def test_without_an_index_all_programs_are_read(tmp_path: Path) -> None:
    # The name of the section is what it is found by.
    copy = tmp_path / "crash.elf"
    copy.write_bytes(CRASH.read_bytes().replace(b".debug_aranges", b".debug_nothing"))
    inner = address_of(CRASH, "inner")
    assert SourceLines(copy).find(inner) == SourceLines(CRASH).find(inner) != ""


def test_images_and_symbol_files_know_their_lines() -> None:
    image = load_guest(CRASH, ram_base=RAM)
    inner = address_of(CRASH, "inner")
    assert image.source(inner) == load_symbols(CRASH).source(inner) == SourceLines(CRASH).find(inner)


def debug_parts() -> list[tuple[int, int]]:
    """(offset, size) of the sections that lines are found by."""
    names = (".debug_line", ".debug_aranges", ".debug_info", ".debug_abbrev")
    with CRASH.open("rb") as file:
        elf = ELFFile(file)
        return [(section["sh_offset"], section["sh_size"]) for section in map(elf.get_section_by_name, names)]


PARTS = debug_parts()
ORIGINAL = CRASH.read_bytes()
INNER = address_of(CRASH, "inner")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.data())
def test_damaged_debug_information_is_no_error(tmp_path: Path, data: st.DataObject) -> None:
    damaged = bytearray(ORIGINAL)
    for _ in range(data.draw(st.integers(1, 6))):
        start, size = data.draw(st.sampled_from(PARTS))
        damaged[start + data.draw(st.integers(0, size - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.elf"
    path.write_bytes(damaged)
    lines = SourceLines(path)
    for address in range(INNER, INNER + 64, 4):
        assert isinstance(lines.find(address), str)


def test_an_index_that_claims_everything_is_read_once(tmp_path: Path) -> None:
    start, size = PARTS[1]
    damaged = bytearray(ORIGINAL)
    damaged[start : start + 4] = struct.pack("<I", size - 4)
    path = tmp_path / "damaged.elf"
    path.write_bytes(damaged)
    assert SourceLines(path).find(INNER) in ("", SourceLines(CRASH).find(INNER))
