"""Architecture features and the ID register fields that announce them (DDI 0487, D24.1.3 and D24.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arch.bitfield import vars_of
from arm_vcpu_cli.arch.identification.features import FEATURES, announced_features, feature, is_announced, with_features
from arm_vcpu_cli.arch.identification.idregs import ID_LAYOUTS
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup

PFR0, ISAR0, ISAR1, MMFR0, MMFR1, DFR0 = (
    lookup(f"ID_AA64{name}_EL1") for name in ("PFR0", "ISAR0", "ISAR1", "MMFR0", "MMFR1", "DFR0")
)
REGISTERS = {name: lookup(name) for name in ID_LAYOUTS if name.startswith("ID_AA64")}
REGISTER_VALUES = st.fixed_dictionaries({reg: st.integers(0, 2**64 - 1) for reg in REGISTERS.values()})
NAMES = st.sampled_from(sorted(FEATURES))


def with_field(name: str, field: str, value: int) -> dict[SysReg, int]:
    return {lookup(name): value << vars_of(ID_LAYOUTS[name])[field].lsb}


@pytest.mark.parametrize(
    ("name", "register", "field", "value", "since"),
    [
        ("FEAT_AES", "ID_AA64ISAR0_EL1", "AES", 1, "v8.0"),
        ("FEAT_PMULL", "ID_AA64ISAR0_EL1", "AES", 2, "v8.0"),
        ("FEAT_SHA512", "ID_AA64ISAR0_EL1", "SHA2", 2, "v8.2"),
        ("FEAT_LSE", "ID_AA64ISAR0_EL1", "Atomic", 2, "v8.1"),
        ("FEAT_FlagM2", "ID_AA64ISAR0_EL1", "TS", 2, "v8.5"),
        ("FEAT_TLBIRANGE", "ID_AA64ISAR0_EL1", "TLB", 2, "v8.4"),
        ("FEAT_RNG", "ID_AA64ISAR0_EL1", "RNDR", 1, "v8.5"),
        ("FEAT_PAuth", "ID_AA64ISAR1_EL1", "APA", 1, "v8.3"),
        ("FEAT_DPB2", "ID_AA64ISAR1_EL1", "DPB", 2, "v8.5"),
        ("FEAT_WFxT", "ID_AA64ISAR2_EL1", "WFxT", 2, "v8.7"),
        ("FEAT_MOPS", "ID_AA64ISAR2_EL1", "MOPS", 1, "v8.8"),
        ("FEAT_SVE", "ID_AA64PFR0_EL1", "SVE", 1, "v8.2"),
        ("FEAT_GICv3", "ID_AA64PFR0_EL1", "GIC", 1, "v8.0"),
        ("FEAT_BTI", "ID_AA64PFR1_EL1", "BT", 1, "v8.5"),
        ("FEAT_SSBS2", "ID_AA64PFR1_EL1", "SSBS", 2, "v8.0"),
        ("FEAT_MTE2", "ID_AA64PFR1_EL1", "MTE", 2, "v8.5"),
        ("FEAT_LPA", "ID_AA64MMFR0_EL1", "PARange", 6, "v8.2"),
        ("FEAT_VMID16", "ID_AA64MMFR1_EL1", "VMIDBits", 2, "v8.1"),
        ("FEAT_PAN2", "ID_AA64MMFR1_EL1", "PAN", 2, "v8.2"),
        ("FEAT_HAFDBS", "ID_AA64MMFR1_EL1", "HAFDBS", 1, "v8.1"),
        ("FEAT_TTST", "ID_AA64MMFR2_EL1", "ST", 1, "v8.4"),
        ("FEAT_IDST", "ID_AA64MMFR2_EL1", "IDS", 1, "v8.4"),
        ("FEAT_TTCNP", "ID_AA64MMFR2_EL1", "CnP", 1, "v8.2"),
        ("FEAT_E0PD", "ID_AA64MMFR2_EL1", "E0PD", 1, "v8.5"),
        ("FEAT_PMUv3p4", "ID_AA64DFR0_EL1", "PMUVer", 5, "v8.4"),
        ("FEAT_MTE3", "ID_AA64PFR1_EL1", "MTE", 3, "v8.7"),
        ("FEAT_BBML2", "ID_AA64MMFR2_EL1", "BBM", 2, "v8.4"),
        ("FEAT_D128", "ID_AA64MMFR3_EL1", "D128", 1, "v9.4"),
        ("FEAT_S2PIE", "ID_AA64MMFR3_EL1", "S2PIE", 1, "v8.9"),
        ("FEAT_ANERR", "ID_AA64MMFR3_EL1", "ANERR", 2, "v8.9"),
        ("FEAT_SME_I16I64", "ID_AA64SMFR0_EL1", "I16I64", 15, "v9.2"),
        ("FEAT_SME2p1", "ID_AA64SMFR0_EL1", "SMEver", 2, "v9.4"),
        ("FEAT_ITE", "ID_AA64DFR1_EL1", "ITE", 1, "v9.4"),
    ],
)
def test_a_field_announces_a_feature_from_the_manuals_value_on(
    name: str, register: str, field: str, value: int, since: str
) -> None:
    assert feature(name).since == since
    assert not is_announced(name, with_field(register, field, value - 1))
    assert is_announced(name, with_field(register, field, value))
    if register != "ID_AA64DFR0_EL1":
        assert is_announced(name, with_field(register, field, vars_of(ID_LAYOUTS[register])[field].mask))


@pytest.mark.parametrize(
    ("name", "register", "field"),
    [
        ("FEAT_FP", "ID_AA64PFR0_EL1", "FP"),
        ("FEAT_AdvSIMD", "ID_AA64PFR0_EL1", "AdvSIMD"),
        ("FEAT_DoubleLock", "ID_AA64DFR0_EL1", "DoubleLock"),
    ],
)
def test_where_0_announces_all_ones_mean_none(name: str, register: str, field: str) -> None:
    assert is_announced(name, {})
    assert not is_announced(name, with_field(register, field, 15))


def test_all_ones_announce_no_feature_of_a_field_that_has_them_for_none() -> None:
    assert not is_announced("FEAT_FP16", with_field("ID_AA64PFR0_EL1", "FP", 15))
    assert not is_announced("FEAT_PMUv3", with_field("ID_AA64DFR0_EL1", "PMUVer", 15)), "another kind of PMU"
    assert not is_announced("FEAT_LPA2", with_field("ID_AA64MMFR0_EL1", "TGran4", 15))


@pytest.mark.parametrize(
    ("register", "field"), [("ID_AA64ISAR1_EL1", "APA"), ("ID_AA64ISAR1_EL1", "API"), ("ID_AA64ISAR2_EL1", "APA3")]
)
def test_any_algorithm_is_pointer_authentication(register: str, field: str) -> None:
    values = with_field(register, field, 4)
    assert {"FEAT_PAuth", "FEAT_PAuth2", "FEAT_FPAC"} <= announced_features(values)
    assert "FEAT_FPACCOMBINE" not in announced_features(values)
    assert "FEAT_PAuth" not in announced_features(with_features(values, {"FEAT_PAuth": False}))


def test_registers_of_zero_announce_what_every_cpu_has() -> None:
    assert announced_features({}) == {"FEAT_FP", "FEAT_AdvSIMD", "FEAT_DoubleLock"}


def test_a_feature_is_withdrawn_down_to_the_next_lower_value_that_means_something() -> None:
    values = {ISAR0: 2 << 4 | 2 << 20, MMFR1: 3 << 0 | 2 << 20, DFR0: 6 << 8 | 8, MMFR0: 6}
    values = with_features(
        values,
        {
            "FEAT_PMULL": False,
            "FEAT_LSE": False,
            "FEAT_HAFT": False,
            "FEAT_PAN2": False,
            "FEAT_PMUv3p4": False,
            "FEAT_Debugv8p1": False,
            "FEAT_LPA": False,
        },
    )
    assert values == {ISAR0: 1 << 4, MMFR1: 2 | 1 << 20, DFR0: 4 << 8 | 6, MMFR0: 5}


def test_withdrawing_a_feature_takes_along_what_counts_up_from_it_and_what_needs_it() -> None:
    isar0 = 2 << 4 | 1 << 8 | 2 << 12 | 1 << 32 | 1 << 48
    values = {ISAR0: isar0, PFR0: 1 << 16 | 1 << 20 | 1 << 32, ISAR1: 1 << 16, lookup("ID_AA64ZFR0_EL1"): 1}
    without_sha = with_features(values, {"FEAT_SHA256": False})
    assert without_sha[ISAR0] == 2 << 4 | 1 << 8 | 1 << 48
    without_half = with_features(values, {"FEAT_FP16": False})
    assert without_half[PFR0] == 0, "FP and AdvSIMD go down together, and SVE goes"
    assert without_half[lookup("ID_AA64ZFR0_EL1")] == 0
    assert without_half[ISAR0] == isar0 & ~(1 << 48)
    without_fp = with_features(values, {"FEAT_FP": False})
    assert without_fp[PFR0] == 15 << 16 | 15 << 20
    assert (without_fp[ISAR0], without_fp[ISAR1]) == (0, 0)


def test_generic_authentication_goes_with_pointer_authentication() -> None:
    values = {ISAR1: 1 << 4 | 1 << 24 | 2 << 20}
    assert with_features(values, {"FEAT_PAuth": False}) == {ISAR1: 2 << 20}


def test_what_needs_a_feature_higher_up_in_the_field_goes_as_well() -> None:
    isar2 = lookup("ID_AA64ISAR2_EL1")
    values = {ISAR1: 3 << 4, isar2: 1 << 24}
    assert {"FEAT_PAuth2", "FEAT_CONSTPACFIELD"} <= announced_features(values)
    assert with_features(values, {"FEAT_PAuth": False}) == {ISAR1: 0, isar2: 0}


def test_switching_on_what_is_there_changes_nothing() -> None:
    values = {ISAR0: 2 << 4}
    assert with_features(values, {"FEAT_PMULL": True, "FEAT_AES": True}) == values
    assert with_features(values, {}) == values


def test_a_feature_can_be_raised_up_to_what_the_ceiling_has_and_no_further() -> None:
    core = {ISAR0: 2 << 4, ISAR1: 1 << 4 | 1 << 24}
    assert with_features({ISAR0: 0}, {"FEAT_AES": True}, core)[ISAR0] == 1 << 4
    assert with_features({ISAR0: 0}, {"FEAT_PMULL": True}, core)[ISAR0] == 2 << 4
    assert with_features({}, {"FEAT_PAuth": True}, core)[ISAR1] == core[ISAR1]
    with pytest.raises(ValueError, match="FEAT_SHA1 cannot be switched on: the CPU model does not have it"):
        with_features({ISAR0: 0}, {"FEAT_SHA1": True}, core)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"FEAT_SVE": True}, "FEAT_SVE cannot be switched on: the CPU model does not have it"),
        ({"FEAT_AES": False, "FEAT_PMULL": True}, "FEAT_AES cannot be switched off"),
        ({"FEAT_SHA1": False, "FEAT_SHA256": True}, "FEAT_SHA256 cannot be switched on without FEAT_SHA1"),
        ({"FEAT_PMUL": False}, "no architecture feature is called FEAT_PMUL; did you mean FEAT_PMULL"),
        ({"FEAT_PMUL": True}, "no architecture feature is called FEAT_PMUL; did you mean FEAT_PMULL"),
        ({"aes": True}, "no architecture feature is called aes"),
    ],
)
def test_what_cannot_be_is_refused_by_name(choices: dict[str, bool], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        with_features({ISAR0: 2 << 4 | 1 << 8 | 1 << 12}, choices)


@given(values=REGISTER_VALUES, name=NAMES)
def test_a_feature_withdrawn_is_gone_and_nothing_is_gained(values: dict[SysReg, int], name: str) -> None:
    before = announced_features(values)
    after = announced_features(with_features(values, {name: False}))
    assert name not in after
    assert after <= before
    assert after == announced_features(with_features(with_features(values, {name: False}), {name: False}))


@given(values=REGISTER_VALUES, name=NAMES)
def test_other_bits_are_left_alone(values: dict[SysReg, int], name: str) -> None:
    changed = with_features(values, {name: False})
    covered = {}
    for register, reg in REGISTERS.items():
        covered[reg] = sum(field.mask << field.lsb for field in ID_LAYOUTS[register].fields())
    for reg, value in values.items():
        assert changed[reg] & ~covered[reg] == value & ~covered[reg]


@given(core=REGISTER_VALUES, name=NAMES)
def test_off_and_on_again_never_exceeds_the_core(core: dict[SysReg, int], name: str) -> None:
    lowered = with_features(core, {name: False})
    try:
        raised = with_features(lowered, {name: True}, core)
    except ValueError:
        return
    assert name in announced_features(raised)
    assert announced_features(raised) <= announced_features(core)


def test_every_feature_names_a_field_that_exists_and_a_version() -> None:
    for name, declared in FEATURES.items():
        assert name.startswith("FEAT_")
        for register, field in declared.places():
            width = vars_of(ID_LAYOUTS[register])[field].mask
            assert 0 <= declared.value <= width
            assert declared.value == 0 or declared.lowered < declared.value
        assert declared.since in {f"v8.{minor}" for minor in range(10)} | {f"v9.{minor}" for minor in range(7)}
        assert set(declared.needs) <= set(FEATURES)
