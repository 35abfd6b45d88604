"""A kernel that switches the FP and SIMD registers lazily, between two programs and itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from arm_vcpu_cli.engine.fp_traps import take_fp_traps
from tests.integration.command import GUARD_SECONDS, GUESTS, armvcpu
from tests.support.tools import missing, require_program

SAID = b"sums 820 1640 80, traps 243\n"


@pytest.mark.parametrize("model", ["cortex-a53", "cortex-a72", "max"])
def test_each_keeps_its_registers(model: str) -> None:
    if not take_fp_traps():
        missing("the host that the traps are for")
    finished = armvcpu("run", "--cpu", model, GUESTS / "lazy_fp.elf")
    assert (finished.status, finished.out) == (0, SAID)


def test_the_traps_are_in_the_trace() -> None:
    if not take_fp_traps():
        missing("the host that the traps are for")
    finished = armvcpu("trace", "--format", "jsonl", "--el1", "--ec", "FP_ACCESS", GUESTS / "lazy_fp.elf")
    assert finished.err.count('"esr":"0x1fe00000"') == 243


@pytest.mark.parametrize(("model", "bits"), [("cortex-a53", ["TFP"]), ("max", ["TCPAC", "TFP", "TZ"])])
def test_el2_traps_the_first_use_alone(model: str, bits: list[str], tmp_path: Path) -> None:
    if not take_fp_traps():
        missing("the host that the traps are for")
    machine = tmp_path / "machine.toml"
    machine.write_text(f'[cpu]\nmodel = "{model}"\n[el2]\ncptr = {bits}\n')
    finished = armvcpu("trace", "-m", machine, "--format", "jsonl", GUESTS / "lazy_fp.elf")
    assert (finished.status, finished.out) == (0, SAID)
    assert finished.err.count('"esr":"0x1fe00000"') == 1
    assert ("CPACR_EL1" in finished.err) == ("TCPAC" in bits)


def test_qemu_says_the_same() -> None:
    qemu = require_program("qemu-system-aarch64")
    machine = ("-M", "virt", "-cpu", "cortex-a72", "-display", "none", "-serial", "stdio", "-net", "none")
    finished = subprocess.run(
        [qemu, *machine, "-kernel", GUESTS / "lazy_fp.elf"],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=GUARD_SECONDS,
        check=False,
    )
    assert finished.stdout.replace(b"\r", b"") == SAID
