"""Short runs of the drivers that ask QEMU, and that they ask it; longer ones are for runs by hand (``tests.fuzz``)."""

from __future__ import annotations

import argparse
from dataclasses import replace

import pytest

from arm_vcpu_cli.engine.walk_checks import take_walk_checks
from tests.fuzz import devices, encodings, loads, programs, walker
from tests.fuzz.instructions import GROUPS
from tests.fuzz.programs import Hunt, Lab
from tests.fuzz.qemu import option, rules, second, system_rules, walk_rules
from tests.fuzz.qemu.cases import Case, Result
from tests.fuzz.qemu.first import FirstOpinion
from tests.support.tools import missing, require_program

SEED = 2
MODELS = ("cortex-a72", "max")
WORDS, TABLES, ACCESSES, STEP, REGISTERS = 1200, 200, 1500, 500, 1500
FAILS_QEMU = 0x4EF9_FB96
"""Half-precision SIMD, unallocated."""
NOP, MOV_X0_1 = 0xD503_201F, 0xD280_0020


@pytest.fixture(autouse=True, scope="module")
def available() -> None:
    require_program(second.PROGRAM)
    if take_walk_checks() is None:
        missing("the engine that the corrections are for")
    print(f"seed {SEED}, {second.version()}")


@pytest.mark.parametrize("model", MODELS)
def test_random_words_and_programs(model: str) -> None:
    findings, outcomes = programs.hunt(model, SEED, WORDS)
    assert [str(each) for each in findings] == []
    assert outcomes["executed"] > WORDS // 2


@pytest.mark.parametrize("model", MODELS)
def test_random_tables(model: str) -> None:
    assert [str(each) for each in walker.hunt(model, SEED, range(TABLES), qemu=True)] == []


@pytest.mark.parametrize("model", MODELS)
def test_loads_and_stores(model: str) -> None:
    findings, outcomes = loads.hunt(model, SEED, ACCESSES, qemu=True)
    assert [str(each) for each in findings] == []
    assert outcomes["the same on QEMU"] > ACCESSES * 9 // 10


@pytest.mark.parametrize("model", MODELS)
def test_system_registers(model: str) -> None:
    lab = encodings.Lab(model)
    opinion = encodings.Opinion(lab, model)
    assert list(opinion.compare(lab.selection(STEP, SEED))) == []
    assert opinion.outcomes["values the same"] > 100
    lab.close()


def test_device_registers() -> None:
    findings, outcomes = devices.hunt(SEED, REGISTERS)
    assert findings == []
    assert outcomes["the same"] > REGISTERS // 2


def test_what_differs_is_found_and_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = FirstOpinion.execute

    def wrong(self: FirstOpinion, case: Case) -> Result:
        result = honest(self, case)
        is_wrong = MOV_X0_1.to_bytes(4, "little") in case.writes[0][1]
        return replace(result, x=(result.x[0] ^ 1, *result.x[1:])) if is_wrong else result

    monkeypatch.setattr(FirstOpinion, "execute", wrong)
    hunt = Hunt("cortex-a72", SEED, tuple(GROUPS))
    found = list(hunt.repeat(3, [NOP, MOV_X0_1, NOP]))
    assert [hunt.shrink(each).words for each in found] == [(MOV_X0_1,)]
    assert found[0].what == "x0 is 0x0, on QEMU 0x1"
    hunt.close()


def test_a_word_at_which_qemu_ends_is_left_out() -> None:
    lab = Lab("max", SEED)
    batch = [lab.case(number, [word]) for number, word in enumerate((NOP, FAILS_QEMU, NOP))]
    results = lab.second.run(batch)
    assert [each is None for each in results] == [False, True, False]
    assert "code should not be reached" in lab.second.failures[0]
    lab.close()


def test_every_rule_has_a_reason_and_a_place_in_the_manual() -> None:
    for table in (rules.RULES, walk_rules.RULES, system_rules.RULES, devices.RULES):
        for reason in table.values():
            assert any(f"({letter}" in reason for letter in "ABCD"), reason


def test_without_qemu_the_drivers_say_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(second, "PROGRAM", "no-such-program")
    monkeypatch.setattr(option, "find", lambda: None)
    assert not option.wanted(argparse.Namespace(qemu="auto"))
    assert capsys.readouterr().out == "without a second opinion: qemu-system-aarch64 is not installed\n"
    assert not option.wanted(argparse.Namespace(qemu="no"))
    with pytest.raises(SystemExit, match="not installed"):
        option.wanted(argparse.Namespace(qemu="yes"))
    assert programs.main(["--count", "1"]) == 0
