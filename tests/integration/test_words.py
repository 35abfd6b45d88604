"""Instruction words that once ended the process, and a short search for others (``python -m tests.fuzz.words``)."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

import pytest

from arm_vcpu_cli.board.el2_loading import HCR_TRAPS
from arm_vcpu_cli.engine.refusals import refusals
from tests.fuzz.words import MODELS, Finding, Plan, hunt
from tests.integration.command import armvcpu
from tests.support.tools import missing

DC_CVAP, DC_CVADP, DC_CIVAC, DC_CVAC, DC_IVAC = 0xD50B_7C23, 0xD50B_7D23, 0xD50B_7E23, 0xD50B_7A23, 0xD508_7623
IC_IVAU, DC_CVAU, DC_ISW, TLBI_VAE1 = 0xD50B_7523, 0xD50B_7B23, 0xD508_7643, 0xD508_8723
MAINTENANCE: Final = (DC_CVAP, DC_CVADP, DC_CIVAC, DC_CVAC, DC_IVAC, IC_IVAU, DC_CVAU, DC_ISW, TLBI_VAE1)
MOV_X3: Final = 0xD2A6_0003  # mov x3, #0x30000000
SYSTEM_OFF: Final = (0x5280_0100, 0x72B0_8000, 0xD400_0002)  # mov w0, #8; movk w0, #0x8400, lsl #16; hvc #0
HUNTED: Final = 2500
SYSTEM_STEP: Final = 16


def found(plan: Plan) -> list[Finding]:
    """What a hunt finds."""
    if refusals() is None:
        missing("a host on which assertions of the engine can be caught")
    findings: list[Finding] = []
    assert hunt(plan, findings.append)
    return findings


@pytest.mark.parametrize("word", MAINTENANCE, ids=hex)
def test_trapped_maintenance_of_any_address(word: int) -> None:
    assert [each for seed in range(8) for each in found(Plan("max", HCR_TRAPS, "random", seed, 1, word))] == []


def test_trapped_maintenance_of_an_address_that_faults_does_nothing(tmp_path: Path) -> None:
    guest, machine = tmp_path / "guest.bin", tmp_path / "machine.toml"
    guest.write_bytes(struct.pack("<5I", MOV_X3, DC_CVAP, *SYSTEM_OFF))
    machine.write_text('[cpu]\nmodel = "max"\n[el2]\nhcr = ["TPC"]\n')
    finished = armvcpu("run", "-m", machine, guest)
    assert (finished.status, finished.out, finished.err) == (0, b"", "")


@pytest.mark.parametrize("traps", [(), HCR_TRAPS], ids=["no traps", "traps"])
@pytest.mark.parametrize("model", MODELS)
def test_words_close_to_instructions(model: str, traps: tuple[str, ...]) -> None:
    assert found(Plan(model, traps, "allocated", 1, HUNTED)) == []


@pytest.mark.parametrize("model", MODELS)
def test_random_words(model: str) -> None:
    assert found(Plan(model, (), "random", 2, HUNTED)) == []


@pytest.mark.parametrize("model", MODELS)
def test_system_instructions(model: str) -> None:
    assert found(Plan(model, HCR_TRAPS, "system", 0, 0, step=SYSTEM_STEP)) == []
