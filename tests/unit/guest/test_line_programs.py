"""Line number programs: compared with another decoder, and damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.guest.line_programs import (
    MALFORMED,
    Strings,
    decode_program,
    program_offsets,
    program_size,
)

ROOT = Path(__file__).parents[3]
VERSION_4 = ROOT / "samples" / "paging" / "paging.elf"
VERSION_5 = ROOT / "tests" / "integration" / "guests" / "faults.elf"
NO_STRINGS = Strings()


def sections(path: Path) -> tuple[bytes, Strings]:
    with path.open("rb") as file:
        elf = ELFFile(file)
        found = {section.name: bytes(section.data()) for section in elf.iter_sections()}
    return found[".debug_line"], Strings(found.get(".debug_line_str", b""), found.get(".debug_str", b""))


Program = list[list[tuple[int, int, int]]]


def by_the_library(path: Path) -> list[Program]:
    """The sequences of each unit: (address, file, line), 0 where the sequence ends."""
    programs = []
    with path.open("rb") as file:
        dwarf = ELFFile(file).get_dwarf_info()
        for unit in dwarf.iter_CUs():
            sequences, rows = [], []
            for entry in dwarf.line_program_for_CU(unit).get_entries():
                state = entry.state
                if state is None:
                    continue
                rows.append((state.address, state.file, 0 if state.end_sequence else state.line))
                if state.end_sequence:
                    sequences.append(rows)
                    rows = []
            programs.append(sequences)
    return programs


@pytest.mark.parametrize("path", [VERSION_4, VERSION_5], ids=["version 4", "version 5"])
def test_every_row_is_what_the_library_reads(path: Path) -> None:
    section, strings = sections(path)
    tables = [decode_program(section, offset, strings) for offset in program_offsets(section)]
    found = [[list(zip(*sequence, strict=True)) for sequence in table.sequences] for table in tables]
    expected = by_the_library(path)
    assert sum(map(len, expected)) > 0
    assert found == expected


def test_files_are_named_as_the_tables_name_them() -> None:
    section, strings = sections(VERSION_4)
    names = {
        name for offset in program_offsets(section) for name in decode_program(section, offset, strings).files.values()
    }
    assert {"paging/paging.c", "paging/tables.c", "common/start.S", "common/uart.h"} <= names
    section, strings = sections(VERSION_5)
    assert decode_program(section, 0, strings).files == {0: "faults.S", 1: "faults.S"}


def header5(directories: bytes, files: bytes = b"\0\0", *, line_range: int = 14, opcode_base: int = 2) -> bytes:
    """A unit of version 5 with these two tables and an empty program."""
    after = bytes([1, 1, 1, 0xFB, line_range, opcode_base]) + bytes(max(opcode_base - 1, 0)) + directories + files
    body = b"\5\0\x08\0" + len(after).to_bytes(4, "little") + after
    return len(body).to_bytes(4, "little") + body


def test_a_table_of_entries_that_take_no_bytes_is_refused() -> None:
    endless = b"\0" + b"\xff" * 8 + b"\x7f"
    with pytest.raises(MALFORMED):
        decode_program(header5(endless), 0, NO_STRINGS)
    assert decode_program(header5(b"\0\0"), 0, NO_STRINGS).files == {}


@pytest.mark.parametrize(
    "unit",
    [
        header5(b"\0\0", line_range=0),
        header5(b"\0\0", opcode_base=0),
        b"\xf0\xff\xff\xff" + bytes(32),
        b"\xff\xff\xff\xff" + b"\xff" * 8 + bytes(32),
        (64).to_bytes(4, "little") + bytes(8),
        (8).to_bytes(4, "little") + b"\x06\0" + bytes(6),
        b"\x01\0\0\0\x04",
    ],
)
def test_a_header_without_sense_is_refused(unit: bytes) -> None:
    with pytest.raises(MALFORMED):
        decode_program(unit, 0, NO_STRINGS)


def test_names_that_would_reach_a_terminal_as_commands_do_not() -> None:
    unit = header5(b"\0\0", b"\x01\x01\x08\x01" + b"a\x1b[31m.c\0")
    assert decode_program(unit, 0, NO_STRINGS).files == {0: "a\N{REPLACEMENT CHARACTER}[31m.c"}


def test_units_are_found_one_behind_the_other() -> None:
    unit = header5(b"\0\0")
    assert list(program_offsets(unit * 3)) == [0, len(unit), 2 * len(unit)]
    assert program_size(unit * 3, len(unit)) == len(unit)


@given(st.data())
def test_damage_raises_nothing_else(data: st.DataObject) -> None:
    section, strings = SECTIONS[data.draw(st.integers(0, 1))]
    damaged = bytearray(section)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, min(len(damaged), 4096) - 1))] = data.draw(st.integers(0, 255))
    try:
        for offset in program_offsets(bytes(damaged)):
            decode_program(bytes(damaged), offset, strings)
    except MALFORMED:
        pass


SECTIONS = (sections(VERSION_4), sections(VERSION_5))
