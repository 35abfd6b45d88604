"""The layout of a syndrome, by its class and its own bits (DDI 0487, D24.2, ESR_EL1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arch.syndrome import iss
from arm_vcpu_cli.arch.syndrome.esr import ISS_LAYOUTS, ExceptionClass
from arm_vcpu_cli.arch.syndrome.isslayouts import ISS2_LAYOUTS, iss2_of, iss_of

ABORT = 0x24 << 26
INSTRUCTION_ABORT = 0x20 << 26
SERROR = 0x2F << 26
ISV = 1 << 24
EXTERNAL = 0x10


def fields_of(esr: int) -> set[str]:
    return set(iss_of(esr).as_dict())


def test_isv_brings_the_description_of_the_instruction() -> None:
    described, bare = fields_of(ABORT | ISV | 7), fields_of(ABORT | 7)
    assert {"SAS", "SSE", "SRT", "SF", "AR"} <= described
    assert not {"SAS", "SSE", "SRT", "SF", "AR"} & bare
    assert {"TopLevel", "WnRV", "PFV"} <= bare


@pytest.mark.parametrize("valid", [0, ISV])
def test_set_belongs_to_external_aborts_and_lst_to_the_others(valid: int) -> None:
    assert ("SET" in fields_of(ABORT | valid | EXTERNAL), "LST" in fields_of(ABORT | valid | EXTERNAL)) == (True, False)
    assert ("SET" in fields_of(ABORT | valid | 7), "LST" in fields_of(ABORT | valid | 7)) == (False, True)


def test_an_instruction_abort_has_set_only_if_it_is_external() -> None:
    assert "SET" in fields_of(INSTRUCTION_ABORT | EXTERNAL)
    assert "SET" not in fields_of(INSTRUCTION_ABORT | 7)


def test_ids_makes_the_syndrome_of_an_serror_private() -> None:
    assert fields_of(SERROR | 1 << 24 | 0x123) == {"IDS", "ISS"}
    assert "AET" in fields_of(SERROR | 0x11)


def test_classes_without_a_syndrome_have_no_fields_and_unknown_classes_have_one() -> None:
    for ec in (ExceptionClass.UNKNOWN, ExceptionClass.ILLEGAL_STATE, ExceptionClass.PC_ALIGNMENT, ExceptionClass.SVE):
        assert fields_of(ec << 26 | 0x1FFFFFF) == set()
    assert iss_of(0x3F << 26 | 5).as_dict() == {"ISS": 5}


@pytest.mark.parametrize(
    ("esr", "fields"),
    [
        # ldrsb x5 at stage 2, level 1.
        (0x93258005, {"ISV": 1, "SAS": 0, "SSE": 1, "SRT": 5, "SF": 1, "WnR": 0, "DFSC": 5}),
        # Linux: a write to a page that is not mapped, and a BUG().
        (0x96000047, {"WnR": 1, "DFSC": 7, "FnV": 0}),
        (0xF2000800, {"Comment": 0x800}),
        # mrs x9, cntpct_el0.
        (0x6232F921, {"Op0": 3, "Op1": 3, "CRn": 14, "CRm": 0, "Op2": 1, "Rt": 9, "Direction": 1}),
        # wfit x3.
        (0x06000066, {"RN": 3, "RV": 1, "TI": 2}),
        (0x5A000012, {"imm16": 0x12}),
        # A write watchpoint, number 2 and valid.
        (0xD60A0062, {"WPT": 2, "WPTV": 1, "WnR": 1, "DFSC": 0x22}),
    ],
)
def test_known_syndromes_come_apart_as_worked_out_by_hand(esr: int, fields: dict[str, int]) -> None:
    decoded = iss_of(esr).as_dict()
    assert {name: decoded[name] for name in fields} == fields


@given(st.integers(0, 2**56 - 1))
def test_every_syndrome_has_a_layout_that_keeps_its_bits(esr: int) -> None:
    part = iss_of(esr)
    assert int(part) == esr & 0x1FFFFFF
    assert type(part).WIDTH == 25
    second = iss2_of(esr)
    if second is not None:
        assert int(second) == esr >> 32 & 0xFFFFFF


def test_iss2_is_there_for_aborts_and_watchpoints_only() -> None:
    assert {ec for ec in range(64) if iss2_of(ec << 26) is not None} == {0x20, 0x21, 0x24, 0x25, 0x34, 0x35}
    assert set(ISS2_LAYOUTS) <= set(ISS_LAYOUTS)
    overlay = iss2_of(1 << 38 | ABORT)
    assert overlay is not None
    assert overlay.as_dict()["Overlay"] == 1


def test_the_layouts_of_the_exit_path_are_kept_for_described_external_aborts() -> None:
    assert type(iss_of(ABORT | ISV | EXTERNAL)) is iss.DataAbortIss
