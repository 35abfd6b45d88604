"""A guest's own watchpoints: at EL1 and EL0, loads and stores, by mask and by byte; QEMU agrees."""

from __future__ import annotations

import subprocess

import pytest

from arm_vcpu_cli.engine.watchpoint_stubs import watchpoint_table
from tests.integration.command import GUARD_SECONDS, GUESTS, armvcpu
from tests.support.tools import missing, require_program

GUEST = GUESTS / "watchpoints.elf"
SAID = b"d6000062 00000000 \nd2000062 00000007 \nd2000022 0000000c \n"
"""ESR_EL1 and the distance of FAR_EL1: a store at EL1, one at EL0, a load at EL0."""


@pytest.mark.parametrize("model", ["cortex-a53", "max"])
def test_they_fire_where_they_should(model: str) -> None:
    if watchpoint_table() is None:
        missing("the host that the stubs are for")
    finished = armvcpu("run", "--cpu", model, GUEST)
    assert (finished.status, finished.out) == (0, SAID)


def test_they_are_exceptions_of_el1_and_no_exits() -> None:
    if watchpoint_table() is None:
        missing("the host that the stubs are for")
    finished = armvcpu("trace", "--format", "jsonl", "--el1", GUEST)
    fired = [line for line in finished.err.splitlines() if "Watchpoint" in line]
    assert len(fired) == 3
    assert all('"type":"exception"' in line for line in fired)


def test_qemu_says_the_same() -> None:
    qemu = require_program("qemu-system-aarch64")
    machine = ("-M", "virt", "-cpu", "cortex-a72", "-display", "none", "-serial", "stdio", "-net", "none")
    finished = subprocess.run(
        [qemu, *machine, "-kernel", GUEST],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=GUARD_SECONDS,
        check=False,
    )
    assert finished.stdout.replace(b"\r", b"") == SAID
