"""ELF files as linkers create them: relocation, and oddities that run all the same."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.integration.command import GUESTS, armvcpu, guest

PF_R, PF_W = 4, 2


@pytest.mark.parametrize("name", sorted(path.stem for path in (GUESTS / "pie").glob("*.elf")))
def test_a_pie_is_relocated_once_whoever_else_does_it(name: str) -> None:
    """The guest relocates itself by DT_RELA and DT_RELR. Its status is the number of pointers that are wrong."""
    finished = armvcpu("run", GUESTS / "pie" / f"{name}.elf")
    assert (finished.status, finished.last) == (0, "armvcpu: the guest exited with status 0")


def test_what_ld_makes_of_a_pie_is_suitable() -> None:
    """It names a dynamic linker, but no library."""
    finished = armvcpu("probe", "--for", GUESTS / "pie" / "interpreter.elf")
    assert finished.status == 0
    assert b"static" in finished.out
    assert b"can run" in finished.out


def test_an_entry_in_a_segment_that_is_not_executable_runs_with_a_warning(tmp_path: Path) -> None:
    data = bytearray(guest("says").read_bytes())
    struct.pack_into("<I", data, 64 + 4, PF_R | PF_W)
    path = tmp_path / "flags.elf"
    path.write_bytes(data)
    as_it_was, finished = armvcpu("run", guest("says")), armvcpu("run", path)
    assert (finished.status, finished.out) == (as_it_was.status, as_it_was.out)
    assert finished.err.startswith(f"armvcpu: warning: {path}: the entry point 0x40080000 is in LOAD[0], which is not")


def test_without_physical_addresses_a_guest_is_where_it_was_linked(tmp_path: Path) -> None:
    data = bytearray(guest("says").read_bytes())
    struct.pack_into("<Q", data, 64 + 24, 0)
    path = tmp_path / "paddr.elf"
    path.write_bytes(data)
    assert armvcpu("run", path).out == armvcpu("run", guest("says")).out
