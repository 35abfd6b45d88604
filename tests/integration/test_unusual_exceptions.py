"""Guests that take unusual exceptions, and sign non-canonical pointers; QEMU as a second opinion."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

import pytest

from arm_vcpu_cli.engine.missing_exceptions import take_missing_exceptions
from tests.integration.command import COMMAND, GUARD_SECONDS, GUESTS, armvcpu, environment
from tests.support.tools import missing, require_program

SAID: Final = (GUESTS / "unusual.txt").read_bytes()
MODELS: Final = ("cortex-a53", "cortex-a72", "max")
CANONICAL: Final = {16: 48, 25: 39, 32: 32, 33: 31, 39: 25}
"""The size of the address space by TxSZ."""


@pytest.fixture(autouse=True, scope="module")
def available() -> None:
    if not take_missing_exceptions():
        missing("the host that the stubs are for")


def on_qemu(guest: Path, model: str) -> bytes:
    qemu = require_program("qemu-system-aarch64")
    machine = ("-M", "virt,gic-version=3", "-cpu", model, "-display", "none", "-serial", "stdio", "-net", "none")
    finished = subprocess.run(
        [qemu, *machine, "-kernel", guest],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=GUARD_SECONDS,
        check=False,
    )
    return finished.stdout.replace(b"\r", b"")


def test_each_exception_is_taken_as_the_manual_says() -> None:
    finished = armvcpu("run", "--cpu", "cortex-a72", GUESTS / "unusual.elf")
    assert (finished.status, finished.out.decode().splitlines()) == (0, SAID.decode().splitlines())


def test_they_do_not_depend_on_what_makes_the_engine_faster() -> None:
    finished = subprocess.run(
        [*COMMAND, "run", "--cpu", "cortex-a72", str(GUESTS / "unusual.elf")],
        capture_output=True,
        env={**environment(), "ARMVCPU_LEVERS": "off"},
        timeout=GUARD_SECONDS,
        check=False,
    )
    assert (finished.returncode, finished.stdout) == (0, SAID)


@pytest.mark.parametrize("model", MODELS)
def test_qemu_takes_the_same_exceptions(model: str) -> None:
    """On max the SPSR has BTYPE too."""
    assert armvcpu("run", "--cpu", model, GUESTS / "unusual.elf").out == on_qemu(GUESTS / "unusual.elf", model)


def test_they_are_in_the_trace() -> None:
    finished = armvcpu("trace", "--format", "jsonl", "--el1", "--ec", "0x0e", GUESTS / "unusual.elf")
    assert finished.err.count('"esr":"0x3a000000"') == SAID.count(b"\n3a000000 ")


def test_qemu_signs_pointers_in_the_same_way() -> None:
    assert armvcpu("run", "--cpu", "max", GUESTS / "signing.elf").out == on_qemu(GUESTS / "signing.elf", "max")


LOADED: Final = [
    "1111111111111111 0000800000000000",
    "2222222222222222 0000000000000008",
    "0000000000000000 0000800000000000",
    "1111111111111111 0000800000000000",
    "2222222222222222 0000800000000000",
    "3333333333333333 0000800000000000",
    *["0000000000000000 0000800000000000"] * 2,
    *["0000000000000000 0000000000000000"] * 4,
    "1111111111111111 0000800000000000",
]
"""A pointer signed with SP as the modifier faults, as one signed with the other key does."""


def test_authenticated_loads_take_zero_as_the_modifier() -> None:
    finished = armvcpu("run", "--cpu", "max", GUESTS / "authenticated.elf")
    assert [line.strip() for line in finished.out.decode().splitlines()] == LOADED
    assert finished.out == on_qemu(GUESTS / "authenticated.elf", "max")


def is_address(pointer: int, tcr: int) -> bool:
    upper = pointer >> 55 & 1
    ignored = 8 if tcr >> (37 + upper) & 1 else 0
    bits = CANONICAL[tcr >> 16 & 63 if upper else tcr & 63]
    extension = (1 << 64 - ignored - bits) - 1
    return pointer >> bits & extension in (0, extension)


def test_only_pointers_that_are_addresses_can_be_authenticated() -> None:
    lines = armvcpu("run", "--cpu", "max", GUESTS / "signing.elf").out.decode().splitlines()
    tcr = checked = 0
    for line in lines[: len(lines) * 16 // 17]:
        pointer, *results = (int(word, 16) for word in line.split())
        if not results:
            tcr = pointer
            continue
        for authenticated in results[1::2]:
            assert is_address(authenticated, tcr) == is_address(pointer, tcr), line
            assert authenticated == pointer or not is_address(pointer, tcr), line
            checked += 1
    assert checked == 16 * 20 * 4


def test_a_pointer_is_left_alone_where_no_key_is_enabled() -> None:
    lines = armvcpu("run", "--cpu", "max", GUESTS / "signing.elf").out.decode().splitlines()
    for line in lines[-20:]:
        assert len(set(line.split())) == 1
