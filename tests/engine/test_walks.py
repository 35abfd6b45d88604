"""Random tables and controls of stage 1, translated by engine and walker: a short run of ``tests.fuzz.walker``."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.engine.discovery import known_layout
from arm_vcpu_cli.engine.known_builds import known_build
from arm_vcpu_cli.engine.refusals import X0_IN_STATE
from arm_vcpu_cli.engine.walk_checks import take_walk_checks
from tests.fuzz import walker
from tests.fuzz.walker import Lab
from tests.support.tools import missing

TABLES = {"cortex-a53": 50, "cortex-a57": 50, "cortex-a72": 200, "max": 200}
SEED = 14


@pytest.fixture(autouse=True, scope="module")
def available() -> None:
    if take_walk_checks() is None:
        missing("the engine that the checks are for")


@pytest.mark.parametrize("model", TABLES)
def test_walker_and_engine_agree(model: str) -> None:
    print(f"seed {SEED}")
    assert [str(finding) for finding in walker.hunt(model, SEED, range(TABLES[model]))] == []


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    lab = Lab("cortex-a72")
    yield lab
    lab.close()


def test_a_walker_that_takes_what_the_cpu_has_not_is_found(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    controls = type(lab.controls)
    monkeypatch.setattr(controls, "effective_tcr", lambda _self, value: value)
    operations = {finding.operation for number in range(60) for finding in lab.check(SEED, number)}
    assert "AT S1E1R" in operations


def test_a_hunt_says_what_it_has_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(walker, "_expected_par", lambda *_: "nothing")
    assert walker.main(["--model", "cortex-a72", "--seed", "3", "--only", "5", "--qemu", "no"]) == 1
    _, *findings, last = capsys.readouterr().out.splitlines()
    first = json.loads(findings[0])
    assert (first["model"], first["seed"], first["number"]) == ("cortex-a72", 3, 5)
    assert (first["operation"], first["walker"]) == ("AT S1E1R", "nothing")
    assert last.startswith("cortex-a72: 1 tables of seed 3 in ")


def test_the_state_is_where_the_stubs_look_for_it() -> None:
    layout, build = known_layout(), known_build()
    assert build is not None
    names = ("TTBR0_EL1", "TTBR1_EL1", "TCR_EL1")
    assert [layout.sysregs[lookup(name)] - layout.x0 + X0_IN_STATE for name in names] == [776, 808, 856]
    assert layout.syndrome + 4 - layout.x0 + X0_IN_STATE == 3028
    assert build.state == (440, 41808)
