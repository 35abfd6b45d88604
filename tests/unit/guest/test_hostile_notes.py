"""Small but hostile notes and sections, which the probe reads."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

from tests.support import means

from .elf_writer import HEADER_SIZE, PROGRAM_HEADER_SIZE, ElfFile, Load
from .test_elf_survey import BASE, PT_NOTE, note

SURVEY: Final = """
import sys
from pathlib import Path
from arm_vcpu_cli.guest.elf_survey import survey_elf
found = survey_elf(Path(sys.argv[1]).read_bytes())
print(found.properties, len(found.code))
"""
SEGMENTS: Final = 60


def write(path: Path, notes: bytes) -> Path:
    """A file with many note segments, which all have the same bytes."""
    headers = [Load(BASE), *[Load(0, b"", type=PT_NOTE)] * SEGMENTS]
    data = bytearray(ElfFile(headers, BASE, sections=False).to_bytes())
    for index in range(1, 1 + SEGMENTS):
        place = HEADER_SIZE + index * PROGRAM_HEADER_SIZE
        struct.pack_into("<Q", data, place + 8, len(data))
        struct.pack_into("<Q", data, place + 32, len(notes))
    path.write_bytes(data + notes)
    return path


def test_properties_without_end_are_left_out(tmp_path: Path) -> None:
    """One note, whose properties have no content; they were gone through again for each of the segments."""
    path = write(tmp_path / "properties.elf", note(5, bytes(8 << 20)))
    assert means.python(SURVEY, path, seconds=5) == "None 1"


def test_notes_with_long_names_are_passed_over(tmp_path: Path) -> None:
    names = struct.pack("<III", 60 << 20, 0, 5) * 64
    path = write(tmp_path / "names.elf", names + bytes(60 << 20))
    assert means.python(SURVEY, path, seconds=5) == "None 1"


def test_what_the_properties_of_a_few_notes_say_is_found(tmp_path: Path) -> None:
    feature = struct.pack("<III4x", 0xC000_0000, 4, 1)
    path = write(tmp_path / "good.elf", note(5, bytes(8) * 100 + feature))
    assert means.python(SURVEY, path) == "('BTI',) 1"
