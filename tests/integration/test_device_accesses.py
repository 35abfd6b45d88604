"""A guest that reads a device in unusual ways, in either byte order."""

from __future__ import annotations

import subprocess

import pytest

from tests.integration.command import GUARD_SECONDS, GUESTS, armvcpu
from tests.support.tools import require_program

GUEST = GUESTS / "device_accesses.elf"
WAYS = (
    b"0000000000000011 0000000000000010 0000000000000014 0000000000000010 0000000000000010 0000005500000011 "
    b"0000001100000011 0000000000000014 0000000000000000 \n"
    b"0000000011000000 0000000010000000 0000000014000000 0000000000000010 0000000010000000 0000005511000000 "
    b"1100000011000000 0000000014000000 0000000000000000 \n"
    b"B\n"
)
"""In the order of ``show``, first with SCTLR_EL1.EE = 0. LD2 reads four registers into two elements each."""
FAULT = b"0000000096000021 0000000009000fe2 \n"
"""ESR_EL1 and FAR_EL1 of the access that is not aligned."""


@pytest.mark.parametrize("model", ["cortex-a53", "max"])
def test_structures_and_both_byte_orders(model: str) -> None:
    finished = armvcpu("run", "--cpu", model, GUEST)
    assert (finished.status, finished.out) == (0, WAYS + FAULT)


def test_the_fault_is_named_in_a_trace() -> None:
    finished = armvcpu("trace", GUEST)
    assert (finished.status, finished.err.count("alignment fault into the guest")) == (0, 1)


def test_qemu_says_the_same() -> None:
    """It checks no alignment in version 7.2."""
    qemu = require_program("qemu-system-aarch64")
    machine = ("-M", "virt", "-cpu", "max", "-display", "none", "-serial", "stdio", "-net", "none")
    finished = subprocess.run(
        [qemu, *machine, "-kernel", GUEST],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=GUARD_SECONDS,
        check=False,
    )
    assert finished.stdout[: len(WAYS)] == WAYS
