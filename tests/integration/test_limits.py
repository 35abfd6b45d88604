"""A guest that runs into a limit is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from arm_vcpu_cli import Machine
from arm_vcpu_cli.inspect.postmortem.limit_advice import limit_advice
from tests.integration.command import armvcpu, assert_refused, guest, sample


@pytest.mark.parametrize(("key", "bit"), [("hcr", "VSE"), ("cptr", "TTA")])
def test_a_trap_without_effect_is_refused(key: str, bit: str, tmp_path: Path) -> None:
    machine = tmp_path / "machine.toml"
    machine.write_text(f'[el2]\n{key} = ["{bit}"]\n')
    assert_refused(armvcpu("run", "-m", machine, sample("hello")), f"el2.{key}", bit)


def test_a_big_endian_guest_is_read_as_such() -> None:
    finished = armvcpu("run", guest("big_endian"), "--", "one", "two")
    assert finished.out == b"big-endian\nbig_endian.elf one two\n"
    callers = [line.split("<")[1].split("+")[0] for line in finished.err.splitlines() if line.startswith("  #")]
    assert callers == ["nothing>", "leaf", "inner", "outer", "_start"]


def test_a_guest_that_has_met_limits_is_told() -> None:
    text = " ".join(armvcpu("run", guest("limits")).err.split())
    assert "GICR_CTLR.EnableLPIs, but the GICv3 of this machine has neither LPIs nor an ITS" in text
    assert "The OS Lock is set (OSLSR_EL1.OSLK = 1)" in text
    assert "DBGWCR0_EL1" not in text


def test_a_guest_that_is_stopped_is_told_too() -> None:
    finished = armvcpu("run", "--max-exits", 1, guest("limits"))
    assert finished.status == 124
    assert "GICR_CTLR.EnableLPIs" in finished.err


def test_on_a_host_without_them_enabled_watchpoints_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with Machine.open(guest("limits")) as machine:
        machine.run()
        monkeypatch.setattr(type(machine.parts.core), "guest_watchpoints", False)
        assert any("(DBGWCR0_EL1), but on this host" in each.meaning for each in limit_advice(machine.parts))


def test_a_guest_that_has_met_none_is_not_told() -> None:
    with Machine.open(sample("hello")) as machine:
        machine.run()
        assert limit_advice(machine.parts) == []


def test_a_guest_that_has_alignment_checked_is_told_that_it_is_not() -> None:
    finished = armvcpu("run", guest("strict"))
    assert finished.status == 122
    assert "SCTLR_EL1.A is 1" in " ".join(finished.err.split())
