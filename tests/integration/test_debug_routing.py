"""Guests whose debug exceptions EL2 gets first (MDCR_EL2.TDE): they notice nothing, and each is an exit."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from arm_vcpu_cli.arch.syndrome.esr import EC_SHIFT, ExceptionClass
from tests.integration.command import GUARD_SECONDS, GUESTS, armvcpu
from tests.support.tools import require_program

SAID: Final = (
    "f2000123 00000004 000003c5 \n"
    "c6000022 00000000 000001c5 \n"
    "f2000123 00000004 000001c5 \n"
    "c2000022 00000000 00000000 \n"
    "f2000123 00000004 00000000 \n"
)
LOWER: Final = {
    ExceptionClass.BREAKPOINT: ExceptionClass.BREAKPOINT_LOWER,
    ExceptionClass.SOFTWARE_STEP: ExceptionClass.SOFTWARE_STEP_LOWER,
    ExceptionClass.WATCHPOINT: ExceptionClass.WATCHPOINT_LOWER,
}
ROUTED: Final = {*LOWER.values(), ExceptionClass.BRK64}


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    path = tmp_path / "machine.toml"
    path.write_text('[el2]\nmdcr = ["TDE"]\n')
    return path


def events(*arguments: str | Path) -> tuple[bytes, list[dict[str, Any]]]:
    """(what the guest printed, the trace)"""
    finished = armvcpu("trace", "--format", "jsonl", "--el1", *arguments)
    assert finished.status == 0
    return finished.out, [json.loads(line) for line in finished.err.splitlines()]


def syndrome(event: dict[str, Any]) -> tuple[str, int]:
    """The place and the syndrome, with the class that EL2 sees."""
    esr = int(event["esr"], 16)
    exception_class = ExceptionClass(esr >> EC_SHIFT)
    return event["pc"], LOWER.get(exception_class, exception_class) << EC_SHIFT | esr & (1 << EC_SHIFT) - 1


def debug_exceptions(trace: list[dict[str, Any]], kind: str) -> list[tuple[str, int]]:
    found = [syndrome(event) for event in trace if event["type"] == kind and "esr" in event]
    return [each for each in found if each[1] >> EC_SHIFT in ROUTED]


@pytest.mark.parametrize("guest", ["debugged", "unusual", "watchpoints"])
def test_each_is_an_exit_and_then_the_guests(guest: str, machine: Path) -> None:
    said, plain = events(GUESTS / f"{guest}.elf")
    said_too, routed = events("-m", machine, GUESTS / f"{guest}.elf")
    assert said_too == said
    taken = debug_exceptions(plain, "exception")
    assert debug_exceptions(routed, "exit") == debug_exceptions(routed, "exception") == taken
    assert taken
    assert debug_exceptions(plain, "exit") == []


def test_a_plain_run_says_the_same(machine: Path) -> None:
    for more in ((), ("-m", machine)):
        finished = armvcpu("run", *more, GUESTS / "debugged.elf")
        assert (finished.status, finished.out.decode()) == (0, SAID)


def test_the_debug_registers_exit_too(machine: Path) -> None:
    names = {event.get("sysreg") for event in events("-m", machine, GUESTS / "debugged.elf")[1]}
    assert names >= {"MDSCR_EL1", "DBGBVR0_EL1", "DBGBCR0_EL1", "OSLAR_EL1"}


def test_qemu_takes_the_same_exceptions() -> None:
    qemu = require_program("qemu-system-aarch64")
    board = ("-M", "virt,gic-version=3", "-cpu", "cortex-a72", "-display", "none", "-serial", "stdio", "-net", "none")
    finished = subprocess.run(
        [qemu, *board, "-kernel", GUESTS / "debugged.elf"],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=GUARD_SECONDS,
        check=False,
    )
    assert finished.stdout.replace(b"\r", b"").decode() == SAID
