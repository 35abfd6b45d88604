"""Programs for Linux are recognised and refused as guests."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.guest.loader import load_guest
from tests.unit.guest.elf_writer import CODE, PT_DYNAMIC, PT_INTERP, ElfFile, Load, R, dynamic_section

RAM = 0x4000_0000
PT_NOTE = 4
BUILD_ID = struct.pack("<III", 4, 8, 3) + b"GNU\0" + bytes(8)


def abi_tag(system: int) -> bytes:
    return struct.pack("<III", 4, 16, 1) + b"GNU\0" + struct.pack("<IIII", system, 3, 7, 0)


def file_with(tmp_path: Path, *extra: Load) -> Path:
    path = tmp_path / "program"
    path.write_bytes(ElfFile([Load(RAM, CODE), *extra], RAM).to_bytes())
    return path


@pytest.mark.parametrize("before", [b"", BUILD_ID], ids=["alone", "behind another"])
def test_a_note_of_linux_is_believed(before: bytes, tmp_path: Path) -> None:
    path = file_with(tmp_path, Load(0, before + abi_tag(0), type=PT_NOTE, flags=R))
    with pytest.raises(GuestFileError, match=r"a Linux program, according to its note .*--kernel-type elf overrides"):
        load_guest(path, ram_base=RAM)
    assert load_guest(path, ram_base=RAM, kind="elf").entry == RAM, "unless somebody knows better"


@pytest.mark.parametrize(
    "note",
    [b"", BUILD_ID, abi_tag(1), abi_tag(0)[:-16], abi_tag(0)[:14], b"\xff" * 40, struct.pack("<III", 0, 0, 0) * 100],
    ids=["empty", "build ID", "Hurd", "no body", "cut", "absurd", "many"],
)
def test_other_notes_say_nothing(note: bytes, tmp_path: Path) -> None:
    path = file_with(tmp_path, Load(0, note, type=PT_NOTE, flags=R))
    assert load_guest(path, ram_base=RAM).entry == RAM


def test_a_dynamic_linker_is_named(tmp_path: Path) -> None:
    needed = Load(0, dynamic_section((1, 1)), type=PT_DYNAMIC, flags=R)
    path = file_with(tmp_path, Load(0, b"/lib/\x1bld.so\0", type=PT_INTERP, flags=R), needed)
    with pytest.raises(GuestFileError, match=re.escape("requests the dynamic linker /lib/\ufffdld.so (PT_INTERP)")):
        load_guest(path, ram_base=RAM)
