"""System registers and instructions: those of the CPU work, all others are undefined, at EL1 and at EL0.

Covers a part of the undefined encodings; ``python -m tests.fuzz.encodings`` executes all of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from arm_vcpu_cli.arch.registers.sysreg import decode_system_move
from arm_vcpu_cli.arch.syndrome.esr import system_trap_esr
from arm_vcpu_cli.engine.hidden_registers import HIDDEN, hide_registers, hiding_works
from tests.fuzz.encodings import MODELS, Lab
from tests.fuzz.qemu.system_rules import EXECUTED
from tests.support.tools import missing

STEP, SEED = 101, 0
MRS, MSR = 0xD530_0003, 0xD510_0003
MDSCR_TDCC = 1 << 12
PMCCNTR, PMEVCNTR0, MDCCSR, OSDLR, DBGDTR, L2CTLR, CPUECTLR = (
    0xB9D00,
    0xBE800,
    0x30100,
    0x01380,
    0x30400,
    0x9B040,
    0x9F220,
)
"""op0[0] to op2 as in bits [19:5] of the word."""
UNDEFINED = 0x0200_0000


@pytest.fixture(scope="module", autouse=True)
def available() -> None:
    if not hide_registers():
        missing("the host that the stub is for")


@pytest.fixture(scope="module", params=MODELS)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    lab = Lab(request.param)
    yield lab
    lab.close()


def test_every_encoding_does_what_the_manual_says(lab: Lab) -> None:
    print(f"every {STEP}, seed {SEED}")
    assert [str(each) for each in lab.compare("", lab.selection(STEP, SEED))] == []


def test_a_register_that_is_hidden_is_undefined_and_no_other_is() -> None:
    assert hiding_works()
    assert len(HIDDEN) == len(set(HIDDEN))


@pytest.mark.parametrize("word", [MRS | PMCCNTR, MSR | PMCCNTR, MRS | PMEVCNTR0])
def test_there_are_no_performance_monitors_at_any_level(lab: Lab, word: int) -> None:
    assert {lab.execute(word, el, True)[0] for el in (0, 1)} == {UNDEFINED}


def test_the_implementation_has_registers_with_the_values_of_its_manual(lab: Lab) -> None:
    values = {
        "cortex-a53": (0, 0),
        "cortex-a57": (0, 0x1B_0000_0000),
        "cortex-a72": (0, 0x1B_0000_0000),
    }.get(lab.machine.description.cpu.model)
    for word, value in zip((MRS | L2CTLR, MRS | CPUECTLR), values or (None, None), strict=True):
        assert lab.execute(word, 1, False) == ((UNDEFINED, 0) if value is None else (EXECUTED, value))
        assert lab.execute(word, 0, True)[0] == UNDEFINED


def test_the_debug_channel_and_the_double_lock_read_zero(lab: Lab) -> None:
    assert lab.execute(MRS | OSDLR, 1, False) == (EXECUTED, 0)
    assert [lab.execute(MRS | MDCCSR, el, False) for el in (1, 0)] == [(EXECUTED, 0)] * 2


@pytest.mark.parametrize("word", [MRS | MDCCSR, MRS | DBGDTR, MSR | DBGDTR])
def test_the_debug_channel_traps_from_el0_where_el1_says_so(lab: Lab, word: int) -> None:
    move = decode_system_move(word)
    assert move is not None
    with lab.edited("MDSCR_EL1", MDSCR_TDCC):
        assert lab.execute(word, 0, False)[0] == system_trap_esr(move)
        assert lab.execute(word, 1, False)[0] == EXECUTED
    assert lab.execute(word, 0, False)[0] == EXECUTED


@pytest.mark.parametrize(("word", "esr"), [(0xD503_42DF, 0x6207_93E4), (0xD503_4FFF, 0x6207_D3FE)])
def test_msr_daifset_and_daifclr_of_el0_trap_unless_el1_allows_them(lab: Lab, word: int, esr: int) -> None:
    assert lab.execute(word, 0, False)[0] == esr
    assert lab.execute(word, 0, True)[0] == EXECUTED
    assert lab.execute(word, 1, False)[0] == EXECUTED
