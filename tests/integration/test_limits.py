"""Whoever asks for what is a limit is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.command import armvcpu, assert_refused, guest, sample


@pytest.mark.parametrize(("key", "bit"), [("hcr", "TWE"), ("hcr", "VSE"), ("mdcr", "TDE"), ("cptr", "TTA")])
def test_a_trap_without_effect_is_refused(key: str, bit: str, tmp_path: Path) -> None:
    machine = tmp_path / "machine.toml"
    machine.write_text(f'[el2]\n{key} = ["{bit}"]\n')
    assert_refused(armvcpu("run", "-m", machine, sample("hello")), f"el2.{key}", bit)


def test_a_big_endian_guest_is_read_as_such() -> None:
    finished = armvcpu("run", guest("big_endian"), "--", "one", "two")
    assert finished.out == b"big-endian\nbig_endian.elf one two\n"
    callers = [line.split("<")[1].split("+")[0] for line in finished.err.splitlines() if line.startswith("  #")]
    assert callers == ["nothing>", "leaf", "inner", "outer", "_start"]


def test_a_guest_that_has_alignment_checked_is_told_that_it_is_not() -> None:
    finished = armvcpu("run", guest("strict"))
    assert finished.status == 122
    assert "SCTLR_EL1.A is 1" in " ".join(finished.err.split())
