"""Whoever asks for what is a limit is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.command import armvcpu, assert_refused, sample


@pytest.mark.parametrize("bit", ["TWE", "VSE"])
def test_a_bit_of_hcr_without_effect_is_refused(bit: str, tmp_path: Path) -> None:
    machine = tmp_path / "machine.toml"
    machine.write_text(f'[el2]\nhcr = ["{bit}"]\n')
    assert_refused(armvcpu("run", "-m", machine, sample("hello")), "el2.hcr", bit)
