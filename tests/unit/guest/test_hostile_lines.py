"""Small but hostile debug information: little work, little memory, and no error."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
import zstandard

from arm_vcpu_cli.guest import zstd
from arm_vcpu_cli.guest.lines import SourceLines
from tests.support.means import python

CODE: Final = 0x4008_0000
SIZE: Final = 0x1000
PROGBITS, NOBITS, COMPRESSED = 1, 8, 0x800
ZLIB: Final = 1
ZSTD: Final = 2


def uleb(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def program(*sequences: bytes) -> bytes:
    """A line number program of version 4 with one file, a.c."""
    header = bytes([4, 1, 1, 0xFB, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1]) + b"\0" + b"a.c\0\0\0\0" + b"\0"
    body = struct.pack("<HI", 4, len(header)) + header + b"".join(sequences)
    return struct.pack("<I", len(body)) + body


def sequence(start: int = CODE, rows: int = 1, size: int = SIZE) -> bytes:
    """Code of line 7 from an address on."""
    begin = b"\x00\x09\x02" + struct.pack("<Q", start) + b"\x03\x06" + b"\x01" * rows
    return begin + b"\x02" + uleb(size) + b"\x00\x01\x01"


def aranges(unit: int = 0) -> bytes:
    tuples = struct.pack("<4Q", CODE, SIZE, 0, 0)
    return struct.pack("<IHIBBI", 12 + len(tuples), 2, unit, 8, 0, 0) + tuples


def unit(code: int = 1, stmt_list: int = 0) -> bytes:
    entry = uleb(code) + struct.pack("<I", stmt_list)
    return struct.pack("<IHIB", 7 + len(entry), 4, 0, 8) + entry


def abbreviation(code: int = 1, *before: tuple[int, int]) -> bytes:
    attributes = b"".join(uleb(name) + uleb(form) for name, form in (*before, (0x10, 0x17), (0, 0)))
    return uleb(code) + b"\x11\x00" + attributes


def packed(data: bytes, size: int | None = None) -> bytes:
    return struct.pack("<IIQQ", ZLIB, 0, len(data) if size is None else size, 1) + zlib.compress(data, 9)


GOOD: Final[Mapping[str, tuple[bytes, int]]] = {
    ".debug_line": (program(sequence()), 0),
    ".debug_info": (unit(), 0),
    ".debug_abbrev": (abbreviation() + b"\0", 0),
    ".debug_aranges": (aranges(), 0),
}


def write(path: Path, sections: Mapping[str, tuple[bytes, int]], *, nobits: Mapping[str, int] | None = None) -> Path:
    """An ELF file of one segment with these sections, each (bytes, flags); ``nobits`` have a size and no bytes."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in (*sections, *(nobits or {}), ".shstrtab"))
    contents = [(name, PROGBITS, flags, data, len(data)) for name, (data, flags) in sections.items()]
    contents += [(name, NOBITS, 0, b"", size) for name, size in (nobits or {}).items()]
    contents.append((".shstrtab", 3, 0, names, len(names)))
    offset = 64 + 56
    body, headers = bytearray(), bytes(64)
    for name, kind, flags, data, size in contents:
        at = names.index(b"\0" + name.encode() + b"\0") + 1
        headers += struct.pack("<IIQQQQIIQQ", at, kind, flags, 0, offset + len(body), size, 0, 0, 1, 0)
        body += data
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, CODE, CODE, 0, SIZE, 0x1000)
    fields = (2, 183, 1, CODE, 64, offset + len(body), 0, 64, 56, 1, 64, len(contents) + 1, len(contents))
    path.write_bytes(
        b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", *fields) + load + bytes(body) + headers
    )
    return path


def found(path: Path) -> str:
    """What a process of few means finds for the first instruction."""
    code = "import sys; from pathlib import Path; from arm_vcpu_cli.guest.lines import SourceLines"
    return python(f"{code}; print(SourceLines(Path(sys.argv[1])).find({CODE:#x}))", path)


def test_what_the_bombs_are_made_of_is_read(tmp_path: Path) -> None:
    assert found(write(tmp_path / "good.elf", GOOD)) == "a.c:7"


def test_compressed_sections_are_read(tmp_path: Path) -> None:
    sections = {name: (packed(data), COMPRESSED) for name, (data, _) in GOOD.items()}
    assert found(write(tmp_path / "packed.elf", sections)) == "a.c:7"


def packed_with_zstd(data: bytes, size: int | None = None) -> bytes:
    header = struct.pack("<IIQQ", ZSTD, 0, len(data) if size is None else size, 1)
    return header + zstandard.ZstdCompressor().compress(data)


def test_sections_that_are_compressed_with_zstd_are_read(tmp_path: Path) -> None:
    sections = {name: (packed_with_zstd(data), COMPRESSED) for name, (data, _) in GOOD.items()}
    assert found(write(tmp_path / "packed.elf", sections)) == "a.c:7"


def test_without_the_package_for_zstd_there_are_no_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zstd, "zstandard", None)
    sections = {name: (packed_with_zstd(data), COMPRESSED) for name, (data, _) in GOOD.items()}
    assert SourceLines(write(tmp_path / "packed.elf", sections)).find(CODE) == ""


def test_sections_that_are_compressed_in_the_old_way_are_read(tmp_path: Path) -> None:
    """``.zdebug_line`` and so on: without SHF_COMPRESSED, with a header of their own, some of them not packed."""
    sections = {
        name.replace(".debug", ".zdebug"): (b"ZLIB" + struct.pack(">Q", len(data)) + zlib.compress(data), 0)
        for name, (data, _) in GOOD.items()
        if name != ".debug_abbrev"
    }
    path = write(tmp_path / "packed.elf", {**sections, ".debug_abbrev": GOOD[".debug_abbrev"]})
    assert found(path) == "a.c:7"


@pytest.mark.parametrize(
    "forms",
    [
        ((0x03, 0x08), (0x1B, 0x0E), (0x11, 0x01), (0x12, 0x07)),
        ((0x13, 0x05), (0x2134, 0x19), (0x25, 0x1F), (0x3E, 0x0B)),
        ((0x02, 0x18), (0x02, 0x0A), (0x55, 0x17), (0x49, 0x13)),
    ],
    ids=["strings", "numbers", "blocks"],
)
def test_attributes_before_the_one_that_is_meant_are_passed_over(
    tmp_path: Path, forms: tuple[tuple[int, int], ...]
) -> None:
    values = {0x08: b"a.c\0", 0x0E: bytes(4), 0x01: bytes(8), 0x07: bytes(8), 0x05: bytes(2), 0x19: b"", 0x1F: bytes(4)}
    values |= {0x0B: b"\x01", 0x18: b"\x02ab", 0x0A: b"\x01a", 0x17: bytes(4), 0x13: bytes(4)}
    entry = uleb(1) + b"".join(values[form] for _, form in forms) + struct.pack("<I", 0)
    info = struct.pack("<IHIB", 7 + len(entry), 4, 0, 8) + entry
    sections = {**GOOD, ".debug_info": (info, 0), ".debug_abbrev": (abbreviation(1, *forms) + b"\0", 0)}
    # Nothing else leads to the program: it is too large to be decoded without the index.
    sections[".debug_line"] = (program(sequence()) + bytes(5 << 20), 0)
    assert SourceLines(write(tmp_path / "forms.elf", sections)).find(CODE) == "a.c:7"


BOMBS: Final[Mapping[str, Mapping[str, tuple[bytes, int]]]] = {
    "attributes": {**GOOD, ".debug_abbrev": (packed(b"\x01\x11\x00" + b"\x03\x19" * (4 << 20)), COMPRESSED)},
    "abbreviations": {**GOOD, ".debug_abbrev": (packed(b"\x02\x11\x00\x00\x00" * (2 << 20)), COMPRESSED)},
    "sequences": {".debug_line": (packed(program(*[b"\x01\x00\x01\x01"] * (2 << 20))), COMPRESSED)},
    "rows": {".debug_line": (packed(program(sequence(rows=8 << 20))), COMPRESSED)},
    "unpacked size": {**GOOD, ".debug_str": (packed(b"", 1 << 60), COMPRESSED)},
    "unpacked size, zstd": {**GOOD, ".debug_str": (packed_with_zstd(bytes(1 << 20), 16), COMPRESSED)},
    "zeros, zstd": {**GOOD, ".debug_str": (packed_with_zstd(bytes(64 << 20)), COMPRESSED)},
    "zeros": {**GOOD, ".debug_str": (packed(bytes(64 << 20)), COMPRESSED)},
    "nothing but units": {**GOOD, ".debug_line": (struct.pack("<I", 0) * (1 << 18), 0)},
    "ranges": {**GOOD, ".debug_aranges": (packed(aranges() * (1 << 18)), COMPRESSED)},
    "no abbreviation": {**GOOD, ".debug_abbrev": (b"\x81" * (1 << 20), 0)},
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_costs_little(tmp_path: Path, bomb: str) -> None:
    assert found(write(tmp_path / "bomb.elf", BOMBS[bomb])) in ("", "a.c:7")


def test_sections_without_bytes_are_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "empty.elf", GOOD, nobits={".eh_frame": 6 << 30, ".debug_str": 6 << 30})
    assert found(path) == "a.c:7"


def test_a_file_that_is_gone_in_the_middle_of_a_run(tmp_path: Path) -> None:
    half = struct.pack("<4Q", CODE, SIZE // 2, 0, 0)
    ranges = struct.pack("<IHIBBI", 12 + len(half), 2, 0, 8, 0, 0) + half
    path = write(tmp_path / "gone.elf", {**GOOD, ".debug_aranges": (ranges, 0)})
    lines = SourceLines(path)
    assert lines.find(CODE + SIZE // 2) == "a.c:7"
    path.unlink()
    # The unit cannot be read any more; what has been decoded still knows.
    assert lines.find(CODE) == "a.c:7"


def test_units_that_share_the_bytes_of_their_programs(tmp_path: Path) -> None:
    """Each range is of a unit of its own, whose program is all the bytes that follow."""
    number, size = 2000, 64
    programs = bytearray()
    for n in range(number):
        left = (number - n) * 64 - 4
        programs += struct.pack("<I", left).ljust(64, b"\x01")
    units = b"".join(unit(stmt_list=64 * n) for n in range(number))
    tuples = b"".join(struct.pack("<2Q", CODE + size * n, size) for n in range(1))
    sets = b"".join(struct.pack("<IHIBBI", 44, 2, len(unit()) * n, 8, 0, 0) + tuples + bytes(16) for n in range(number))
    sections = {**GOOD, ".debug_line": (bytes(programs), 0), ".debug_info": (units, 0), ".debug_aranges": (sets, 0)}
    assert found(write(tmp_path / "shared.elf", sections)) == ""


def test_very_many_sections(tmp_path: Path) -> None:
    sections = {f".debug_{n:05}": (b"", 0) for n in range(60_000)} | dict(GOOD)
    assert found(write(tmp_path / "many.elf", sections)) in ("", "a.c:7")
