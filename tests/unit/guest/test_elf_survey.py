"""The survey of ELF files, including those that cannot be loaded."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.guest.elf_survey import ElfSurvey, survey_elf

from .elf_writer import (
    CODE,
    EM_ARM,
    EM_X86_64,
    ET_DYN,
    ET_REL,
    PT_INTERP,
    PT_LOAD,
    STB_LOCAL,
    STT_NOTYPE,
    ElfFile,
    Load,
    R,
    Symbol,
    W,
    X,
)

BASE = 0x4008_0000
PT_NOTE = 4


def survey(file: ElfFile | bytes) -> ElfSurvey:
    found = survey_elf(file if isinstance(file, bytes) else file.to_bytes())
    assert found is not None
    return found


def note(kind: int, body: bytes, name: bytes = b"GNU\0") -> bytes:
    return struct.pack("<III", len(name), len(body), kind) + name + body


def properties(value: int) -> bytes:
    """NT_GNU_PROPERTY_TYPE_0 with GNU_PROPERTY_AARCH64_FEATURE_1_AND, behind another property."""
    other = struct.pack("<III4x", 0xC000_8000, 4, 1)
    return note(5, other + struct.pack("<III4x", 0xC000_0000, 4, value))


def with_note(data: bytes) -> ElfFile:
    return ElfFile([Load(BASE), Load(0, data, type=PT_NOTE, flags=R)], BASE)


def mapping(name: str, address: int) -> Symbol:
    return Symbol(name, address, kind=STT_NOTYPE, binding=STB_LOCAL)


def test_a_guest_of_ours() -> None:
    found = survey(ElfFile([Load(BASE), Load(BASE + 0x1000, b"data", flags=R | W)], BASE + 4))
    assert found.is_native
    assert (found.bits, found.machine_name, found.type_name, found.entry) == (64, "AArch64", "executable", BASE + 4)
    assert (found.interpreter, found.properties, found.is_for_linux) == (None, None, False)
    assert [(part.address, part.data) for part in found.code] == [(BASE, CODE)]


def test_mapping_symbols_tell_code_from_data() -> None:
    code = bytes(64)
    symbols = [
        mapping("$x", BASE),
        mapping("$d.1", BASE + 16),
        mapping("$x", BASE + 32),
        mapping("$d", BASE + 48),
        mapping("$x", BASE + 64),
        Symbol("main", BASE, 32),
    ]
    (part,) = survey(ElfFile([Load(BASE, code)], BASE, symbols=symbols)).code
    kinds = [part.is_code(BASE + offset) for offset in range(0, 64, 4)]
    assert kinds == [True] * 4 + [False] * 4 + [True] * 4 + [False] * 4


def test_without_mapping_symbols_all_of_it_may_be_code() -> None:
    (part,) = survey(ElfFile([Load(BASE)], BASE, symbols=[Symbol("main", BASE, 8)])).code
    assert part.marks == ()
    assert part.is_code(BASE)


def test_the_symbols_name_places() -> None:
    found = survey(ElfFile([Load(BASE)], BASE, symbols=[Symbol("main", BASE, 8)]))
    assert found.symbols.format(BASE + 4) == "main+0x4"


@pytest.mark.parametrize(
    ("file", "bits", "machine", "kind"),
    [
        (ElfFile([Load(BASE)], BASE, machine=EM_X86_64), 64, "x86-64", "executable"),
        (ElfFile([Load(BASE)], BASE, machine=0x1234), 64, "machine 0x1234", "executable"),
        (ElfFile([Load(BASE)], BASE, type=ET_REL), 64, "AArch64", "relocatable object"),
        (ElfFile([Load(BASE)], BASE, type=ET_DYN), 64, "AArch64", "shared object or PIE"),
    ],
)
def test_other_files_are_named(file: ElfFile, bits: int, machine: str, kind: str) -> None:
    found = survey(file)
    assert (found.bits, found.machine_name, found.type_name) == (bits, machine, kind)


def test_a_32_bit_arm_file_has_its_own_headers() -> None:
    header = b"\x7fELF" + bytes([1, 1, 1]) + bytes(9)
    header += struct.pack("<HHIIIIIHHHHHH", 2, EM_ARM, 1, 0x8000, 52, 0, 0, 52, 32, 1, 40, 0, 0)
    program = struct.pack("<IIIIIIII", PT_INTERP, 84, 0, 0, 9, 9, R, 4)
    found = survey(header + program + b"/lib/ld-l\0")
    assert (found.bits, found.machine_name, found.interpreter) == (32, "Arm (AArch32)", "/lib/ld-l")
    assert not found.is_native


def test_a_big_endian_file_is_read_as_such() -> None:
    data = b"\x7fELF" + bytes([2, 2, 1]) + bytes(9)
    data += struct.pack(">HHIQQQIHHHHHH", 2, 183, 1, BASE, 0, 0, 0, 64, 56, 0, 64, 0, 0)
    found = survey(data)
    assert (found.is_big_endian, found.machine_name, found.entry, found.is_native) == (True, "AArch64", BASE, False)


def test_the_interpreter_is_named_without_control_sequences() -> None:
    file = ElfFile([Load(BASE), Load(0, b"/lib/\x1b[31mld.so\0", type=PT_INTERP, flags=R)], BASE)
    assert survey(file).interpreter == "/lib/\N{REPLACEMENT CHARACTER}[31mld.so"


@pytest.mark.parametrize(
    ("value", "names"), [(0, ()), (1, ("BTI",)), (3, ("BTI", "PAC")), (0x86, ("PAC", "GCS"))]
)  # fmt: skip
def test_the_property_note_marks_the_code(value: int, names: tuple[str, ...]) -> None:
    assert survey(with_note(properties(value))).properties == names


def test_the_note_of_the_system_tells_a_program_for_linux() -> None:
    assert survey(with_note(note(1, struct.pack("<4I", 0, 3, 7, 0)))).is_for_linux
    assert not survey(with_note(note(1, struct.pack("<4I", 2, 3, 7, 0)))).is_for_linux
    assert not survey(with_note(note(1, struct.pack("<4I", 0, 3, 7, 0), b"XXX\0"))).is_for_linux


def test_notes_follow_each_other() -> None:
    found = survey(with_note(note(3, b"id") + bytes(2) + note(1, bytes(16)) + properties(1)))
    assert (found.is_for_linux, found.properties) == (True, ("BTI",))


def test_what_is_not_there_is_left_out() -> None:
    assert survey_elf(b"\x7fELF") is None
    assert survey_elf(b"") is None
    whole = ElfFile([Load(BASE, flags=R | X, type=PT_LOAD)], BASE).to_bytes()
    assert survey(whole[:70]).code == ()


@given(st.data())
def test_no_damage_is_an_error(data: st.DataObject) -> None:
    whole = bytearray(with_note(properties(3) + note(1, bytes(16))).to_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(4, len(whole) - 1))] = data.draw(st.integers(0, 255))
    found = survey_elf(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    assert found is None or sum(len(part.data) for part in found.code) <= len(whole)
