"""A guest that executes WFE and WFI with and without an event, trapped and untrapped."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Final

import pytest

from arm_vcpu_cli.engine.corrections import correct_engine
from arm_vcpu_cli.engine.events import events_are_noticed, take_events
from tests.integration.command import COMMAND, GUARD_SECONDS, GUESTS, armvcpu, environment
from tests.support.tools import missing

GUEST: Final = GUESTS / "waits.elf"
AT_EL1: Final = ("el1+0x4", "el1+0xc", "el1+0x1c", "el1+0x30", "el1+0x50")
"""Where it would wait."""
AT_EL0: Final = (0x4, 0xC, 0x1C, 0x30, 0x44)
WFI_AT: Final = (0x4C, 0x50)
WFE, WFI = 0x07E0_0001, 0x07E0_0000


def printed(*taken: tuple[int, int]) -> str:
    return ":" + "".join(f" {esr:08x}+{at:08x}" for esr, at in taken)


SAID: Final = "\n".join(
    [
        "1",
        printed(),
        printed(*((WFI, at) for at in WFI_AT)),
        printed(*((WFE, at) for at in AT_EL0)),
        printed(*((WFE, at) for at in AT_EL0), *((WFI, at) for at in WFI_AT)),
        "",
    ]
)


@pytest.fixture(autouse=True, scope="module")
def available() -> None:
    correct_engine()
    if not take_events():
        missing("the host that the stubs are for")


@pytest.mark.parametrize("model", ["cortex-a53", "cortex-a72", "max"])
def test_only_a_wfe_that_would_wait_is_trapped_from_el0(model: str) -> None:
    finished = armvcpu("run", "--cpu", model, GUEST)
    assert (finished.status, finished.out.decode()) == (0, SAID)


def test_it_does_not_depend_on_what_makes_the_engine_faster() -> None:
    finished = subprocess.run(
        [*COMMAND, "run", str(GUEST)],
        capture_output=True,
        env={**environment(), "ARMVCPU_LEVERS": "off"},
        timeout=GUARD_SECONDS,
        check=False,
    )
    assert (finished.returncode, finished.stdout.decode()) == (0, SAID)


@pytest.mark.parametrize("processors", [1, 2])
def test_el2_traps_the_same_ones(processors: int, tmp_path: Path) -> None:
    machine = tmp_path / "machine.toml"
    machine.write_text('[el2]\nhcr = ["TWE"]\n')
    more = ("--format", "jsonl", "--ec", "WFX", "--smp", str(processors))
    finished = armvcpu("trace", "-m", machine, *more, GUEST)
    assert (finished.status, finished.out.decode()) == (0, SAID)
    exits = [each for each in map(json.loads, finished.err.splitlines()) if each["type"] == "exit"]
    assert {(each["reason"], each["esr"]) for each in exits} == {("Halt", "0x07e00001")}
    # SCTLR_EL1.nTWE comes first: the last two programs are trapped to EL1.
    at_el0 = [f"el0+{at:#x}" for at in AT_EL0]
    assert [each["symbol"] for each in exits] == [*AT_EL1, *at_el0, *at_el0]


def test_an_experiment_says_the_same() -> None:
    assert events_are_noticed()
