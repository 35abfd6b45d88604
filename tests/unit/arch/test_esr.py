"""Syndromes: decoding, describing and encoding them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arch.fault import (
    FAULT_STATUS,
    FSC_EXTERNAL,
    FSC_PERMISSION,
    FSC_TRANSLATION,
    fault_level,
    fault_status_name,
    is_external,
)
from arm_vcpu_cli.arch.registers.sysreg import SystemMove, lookup
from arm_vcpu_cli.arch.syndrome import esr as syndrome
from arm_vcpu_cli.record import replace

EVERY_ESR = st.integers(0, 2**64 - 1)


def test_a_device_load_is_described_in_one_line() -> None:
    # EC 0x24, IL, ISV, SAS = 2, SRT = 3, SF = 1, DFSC = translation fault at level 3.
    esr = 0x24 << 26 | 1 << 25 | 1 << 24 | 2 << 22 | 3 << 16 | 1 << 15 | 0x07
    assert syndrome.describe_esr(esr) == (
        "EC=0x24 (Data Abort from a lower Exception level) IL=1 ISV=1 SAS=2 (word) SRT=3 SF=1 "
        "DFSC=0x07 (translation fault, level 3)"
    )


@pytest.mark.parametrize(
    ("esr", "text"),
    [
        (0xB8000000, "EC=0x2e(?) IL=0"),
        (0x5A000012, "EC=0x16 (HVC in AArch64 state) IL=1 imm16=0x12"),
        (0x56000000, "EC=0x15 (SVC in AArch64 state) IL=1"),
        (0x06000001, "EC=0x01 (Trapped WF* instruction) IL=1 TI=1 (WFE)"),
        (
            0x92000000,
            "EC=0x24 (Data Abort from a lower Exception level) IL=1 DFSC=0x00 (address size fault, level 0)",
        ),
        (0x9200003F, "EC=0x24 (Data Abort from a lower Exception level) IL=1 DFSC=0x3f(?)"),
        (
            0xC6000022,
            "EC=0x31 (Breakpoint without a change in Exception level) IL=1 IFSC=0x22 (debug exception)",
        ),
        (0x1_F2000001, "EC=0x3c (BRK in AArch64 state) IL=1 Comment=1 ISS2=0x1"),
    ],
)
def test_syndromes_are_described(esr: int, text: str) -> None:
    assert syndrome.describe_esr(esr) == text


def test_a_trapped_system_register_is_described_by_name() -> None:
    esr = syndrome.system_trap_esr(SystemMove(lookup("ICC_SGI1R_EL1"), 4, False))
    assert (
        syndrome.describe_esr(esr) == "EC=0x18 (Trapped MSR, MRS or System instruction) IL=1 ICC_SGI1R_EL1 Rt=4 write"
    )


@given(EVERY_ESR)
def test_describing_never_raises(esr: int) -> None:
    assert syndrome.describe_esr(esr).startswith("EC=0x")


@given(EVERY_ESR)
def test_decoding_never_raises(esr: int) -> None:
    assert syndrome.decode_data_abort(esr).size in (1, 2, 4, 8)
    assert 0 <= syndrome.decode_instruction_abort(esr).fault_status < 64
    assert syndrome.decode_system_trap(esr).reg.iss == esr & 0x3FFC1E
    assert syndrome.exception_class(esr) == syndrome.Esr(esr).EC


def test_every_exception_class_has_a_name_and_every_layout_a_class() -> None:
    assert {int(ec) for ec in syndrome.ExceptionClass} == set(syndrome.EC_NAMES)
    assert set(syndrome.ISS_LAYOUTS) <= set(syndrome.EC_NAMES)
    assert {layout.WIDTH for layout in syndrome.ISS_LAYOUTS.values()} == {25}


def test_a_sign_extending_load_keeps_all_that_completes_it() -> None:
    # ldrsb x20, [x1]: SAS = 0, SSE = 1, SRT = 20, SF = 1.
    abort = syndrome.decode_data_abort(0x24 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 20 << 16 | 1 << 15 | 0x06)
    assert abort == syndrome.DataAbort(
        valid=True,
        size=1,
        sign_extend=True,
        register=20,
        is_64bit=True,
        acquire_release=False,
        is_write=False,
        cache_maintenance=False,
        stage1_walk=False,
        far_valid=True,
        external=False,
        fault_status=0x06,
        level=2,
        is_translation=True,
        is_permission=False,
        is_access_flag=False,
    )


@pytest.mark.parametrize(
    ("bit", "field"),
    [
        (24, "valid"),
        (21, "sign_extend"),
        (15, "is_64bit"),
        (14, "acquire_release"),
        (8, "cache_maintenance"),
        (7, "stage1_walk"),
        (6, "is_write"),
    ],
)
def test_each_flag_of_a_data_abort_is_one_bit(bit: int, field: str) -> None:
    clear, set_ = syndrome.decode_data_abort(0x92000007), syndrome.decode_data_abort(0x92000007 | 1 << bit)
    assert getattr(clear, field) is False
    assert set_ == replace(clear, **{field: True})


def test_an_invalid_far_is_told_apart_from_a_valid_one() -> None:
    assert syndrome.decode_data_abort(0x92000410).far_valid is False
    assert syndrome.decode_data_abort(0x92000010).far_valid is True
    assert syndrome.decode_instruction_abort(0x82000410).far_valid is False


@pytest.mark.parametrize(
    ("code", "level", "kind"),
    [
        (0x00, 0, "address size"),
        (0x05, 1, "translation"),
        (0x07, 3, "translation"),
        (0x0B, 3, "access flag"),
        (0x0F, 3, "permission"),
        (0x10, -1, "external"),
        (0x16, 2, "external"),
        (0x1D, 1, "parity"),
        (0x21, -1, "alignment"),
        (0x2B, -1, "translation"),
        (0x35, -1, "atomic"),
    ],
)
def test_fault_codes_have_a_kind_and_a_level(code: int, level: int, kind: str) -> None:
    abort = syndrome.decode_data_abort(0x92000000 | code)
    assert kind in fault_status_name(code)
    assert (abort.fault_status, abort.level) == (code, level)
    assert abort.is_translation is (kind == "translation")
    assert abort.is_permission is (kind == "permission")
    assert abort.is_access_flag is (kind == "access flag")
    assert abort.external is (kind == "external")


def test_the_name_of_a_fault_agrees_with_its_level_and_kind() -> None:
    for code, name in FAULT_STATUS.items():
        level = fault_level(code)
        assert name.endswith(f", level {level}") or (level == -1 and not re.search(r"level \d", name))
        assert is_external(code) is ("external abort" in name)
    assert fault_status_name(0x3F) == "reserved 0x3f"


def test_a_trapped_read_names_register_and_direction() -> None:
    # mrs x9, cntpct_el0: Op0 = 3, Op1 = 3, CRn = 14, CRm = 0, Op2 = 1, direction 1.
    esr = 0x18 << 26 | 1 << 25 | 3 << 20 | 1 << 17 | 3 << 14 | 14 << 10 | 9 << 5 | 1
    assert syndrome.decode_system_trap(esr) == syndrome.SystemTrap(lookup("CNTPCT_EL0"), 9, True)
    assert syndrome.system_trap_esr(SystemMove(lookup("CNTPCT_EL0"), 9, True)) == esr


@given(st.booleans(), st.integers(0, 63), st.booleans(), st.integers(0, 1), st.integers(0, 1), st.integers(0, 1))
def test_an_encoded_data_abort_decodes_to_itself(
    same_el: bool, code: int, is_write: bool, s1ptw: int, cm: int, fnv: int
) -> None:
    esr = syndrome.data_abort_esr(same_el, code, is_write=is_write, s1ptw=s1ptw, cm=cm, fnv=fnv)
    abort = syndrome.decode_data_abort(esr)
    assert syndrome.exception_class(esr) == (0x25 if same_el else 0x24)
    assert (abort.fault_status, abort.is_write, abort.valid) == (code, is_write, False)
    assert (abort.stage1_walk, abort.cache_maintenance, abort.far_valid) == (bool(s1ptw), bool(cm), not fnv)


def test_aborts_and_undefined_instructions_are_encoded_as_the_manual_says() -> None:
    assert syndrome.data_abort_esr(True, FSC_EXTERNAL, is_write=True) == 0x96000050
    assert syndrome.data_abort_esr(False, FSC_TRANSLATION + 3, is_write=False, il=0) == 0x90000007
    assert syndrome.instruction_abort_esr(True, FSC_EXTERNAL) == 0x86000010
    assert syndrome.instruction_abort_esr(False, FSC_PERMISSION + 3) == 0x8200000F
    assert syndrome.undefined_esr() == 0x02000000
