"""Translations that stage 1 refuses for their addresses and levels, in front of memory and devices."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.engine.walk_checks import take_walk_checks
from tests.integration.command import GUARD_SECONDS, GUESTS, armvcpu
from tests.support import means
from tests.support.tools import missing

GUEST = GUESTS / "output_sizes.elf"
SAID = {
    "a block at level 0": (0x9600_0004, 0x809),
    "a page": (0, 0xFF00_0000_4000_0B80),
    "a page beyond": (0x9600_0003, 0x807),
    "a page beyond that has other faults": (0x9600_0003, 0x807),
    "a table beyond": (0x9600_0002, 0x805),
    "a block beyond": (0x9600_0001, 0x803),
    "a block with bits of its offset": (0, 0x0000_0000_0800_0B00),
    "a root beyond": (0x9600_0000, 0x801),
}
DIFFERENT = {
    "a page beyond that has other faults": 0x9600_000B,
    "a block with bits of its offset": 0,
}
"""What the engine says first."""


@pytest.mark.parametrize("model", ["cortex-a53", "cortex-a57", "cortex-a72", "max"])
def test_loads_and_at_are_told(model: str) -> None:
    if take_walk_checks() is None:
        missing("the engine that the checks are for")
    finished = armvcpu("run", "--cpu", model, "--memory", "4G", GUEST)
    said = [int(line, 16) for line in finished.out.split()]
    assert finished.status == 0
    assert dict(zip(SAID, zip(said[::2], said[1::2], strict=True), strict=True)) == SAID


def test_what_another_engine_finds_out_at_stage_2_is_what_stage_1_has_refused() -> None:
    code = f"""
from arm_vcpu_cli.engine import corrections, levers
corrections.take_walk_checks = lambda: None
levers.heed_stage1_sizes = lambda: levers.interpose_walk() is not None
from arm_vcpu_cli.cli.main import main
main(["run", "--memory", "64M", {str(GUEST)!r}])
"""
    said = [int(line, 16) for line in means.python(code, seconds=GUARD_SECONDS, size=4 << 30).split()]
    # A block at level 0 leads to the flash, and a page beyond to no memory: each is an abort of stage 2 at first.
    assert (
        dict(zip(SAID, said[::2], strict=True)) | DIFFERENT
        == {name: esr for name, (esr, _) in SAID.items()} | DIFFERENT
    )


def test_a_walk_says_the_same() -> None:
    # Before the root is moved away, everything has been tried.
    finished = armvcpu(
        "walk", "--memory", "4G", GUEST, "0x8000000000", "0x100001000", "0x100002000", "0x100200000", "0x140000000"
    )
    words = [line.strip() for line in finished.out.decode().splitlines() if " of stage 1" in line]
    assert words == [
        "-> translation fault, level 0, of stage 1 (fault status 0x04)",
        "-> address size fault, level 3, of stage 1 (fault status 0x03)",
        "-> address size fault, level 3, of stage 1 (fault status 0x03)",
        "-> address size fault, level 2, of stage 1 (fault status 0x02)",
        "-> address size fault, level 1, of stage 1 (fault status 0x01)",
    ]
