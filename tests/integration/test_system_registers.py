"""A guest that reads and writes system registers at EL1 and EL0, and prints what each access does."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.engine.hidden_registers import hide_registers
from tests.integration.command import GUESTS, armvcpu
from tests.support.tools import missing

GUEST = GUESTS / "system_registers.elf"
UNDEFINED = "!0000000002000000"
ZERO = "=0000000000000000"
CPUECTLR = {"cortex-a57": "=0000001b00000000", "cortex-a72": "=0000001b00000000", "cortex-a53": ZERO}


@pytest.fixture(autouse=True, scope="module")
def available() -> None:
    if not hide_registers():
        missing("the host that the stub is for")


def lines(model: str, *more: str) -> tuple[list[str], list[str]]:
    """What it prints at EL1 and at EL0."""
    finished = armvcpu("run", "--cpu", model, *more, GUEST)
    assert finished.status == 0
    printed = finished.out.decode().splitlines()
    at = printed.index("0")
    return printed[:at], printed[at + 1 :]


@pytest.mark.parametrize("model", ["cortex-a53", "cortex-a57", "cortex-a72", "max"])
def test_registers_are_there_with_their_values_or_undefined(model: str) -> None:
    el1, el0 = lines(model)
    own = CPUECTLR.get(model)
    assert el1[:12] == [ZERO] * 3 + [UNDEFINED] * 6 + ([UNDEFINED] * 3 if own is None else [own, ZERO, ZERO])
    assert el1[12] == "=0000000000005eed", "MSR DAIFSet"
    assert el0 == [ZERO] + [UNDEFINED] * 11 + ["!00000000620793e4", "!000000006232c061"]


def test_l2ctlr_has_the_number_of_cpus() -> None:
    assert lines("cortex-a72", "--smp", "3")[0][10] == "=0000000002000000"


def test_a_trace_has_the_same_syndromes_and_changes_nothing() -> None:
    plain = armvcpu("run", GUEST)
    traced = armvcpu("trace", "--format", "jsonl", "--el1", GUEST)
    assert (traced.status, traced.out) == (plain.status, plain.out)
    assert traced.err.count('"esr":"0x620793e4"') == 1
    assert traced.err.count('"sysreg":"MDCCSR_EL0"') == 2
