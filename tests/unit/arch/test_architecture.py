"""The version of the architecture that ID registers conform to (DDI 0487, A2.2 and D24.2)."""

from __future__ import annotations

from itertools import chain

import pytest

from arm_vcpu_cli.arch.bitfield import vars_of
from arm_vcpu_cli.arch.identification.architecture import (
    ARMV8,
    ARMV9,
    SINCE,
    by_version,
    conformance,
    implemented_features,
    version_name,
)
from arm_vcpu_cli.arch.identification.feature_facts import FEATURE_FACTS, MANDATORY
from arm_vcpu_cli.arch.identification.features import FEATURES
from arm_vcpu_cli.arch.identification.idregs import ID_LAYOUTS
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup

V8_0 = frozenset({"FEAT_AdvSIMD", "FEAT_FP", "FEAT_AA64EL1", "FEAT_AA64EL0", "FEAT_AA32EL0"})


def only_armv8(version: str) -> frozenset[str]:
    """What is mandatory in Armv8 up to that version, where everything optional is left out."""
    return V8_0 | {
        name
        for name, mandate in MANDATORY.items()
        if mandate.version in ARMV8[: ARMV8.index(version) + 1]
        and not (set(mandate.given) - {"FEAT_AdvSIMD", "FEAT_FP"})
    }


def register(**fields: int) -> dict[SysReg, int]:
    """Register values from ``PFR0_EL2=1``: the register's short name, and the field's."""
    values: dict[SysReg, int] = {}
    for name, value in fields.items():
        short, _, field = name.partition("_")
        full = f"ID_AA64{short}_EL1"
        values[lookup(full)] = values.get(lookup(full), 0) | value << vars_of(ID_LAYOUTS[full])[field].lsb
    return values


def test_a_cpu_of_armv8_0_needs_nothing_and_lacks_what_8_1_wants() -> None:
    found = conformance(V8_0)
    assert (found.armv8, found.armv9) == ("v8.0", None)
    assert set(found.lacks["v8.1"]) == {
        "FEAT_CRC32", "FEAT_HPDS", "FEAT_LOR", "FEAT_LSE", "FEAT_PAN", "FEAT_RDM",
    }  # fmt: skip


@pytest.mark.parametrize("version", ARMV8)
def test_all_that_is_mandatory_makes_a_version(version: str) -> None:
    assert conformance(only_armv8(version)).armv8 == version


@pytest.mark.parametrize("version", ARMV8[1:])
def test_a_single_gap_ends_at_the_version_before(version: str) -> None:
    everything = only_armv8("v8.9")
    gap = next(name for name in sorted(everything) if name in MANDATORY and MANDATORY[name].version == version)
    found = conformance(everything - {gap})
    assert found.armv8 == ARMV8[ARMV8.index(version) - 1]
    assert found.lacks == {version: (gap,)}


def test_what_is_mandatory_with_something_counts_only_with_it() -> None:
    without = only_armv8("v8.1")
    assert conformance(without).armv8 == "v8.1"
    with_el2 = conformance(without | {"FEAT_AA64EL2"})
    assert (with_el2.armv8, with_el2.lacks["v8.1"]) == ("v8.0", ("FEAT_VHE",))
    with_vhe = conformance(without | {"FEAT_AA64EL2", "FEAT_VHE"})
    assert with_vhe.lacks["v8.1"] == ("FEAT_Debugv8p1",)
    assert conformance(without | {"FEAT_PMUv3"}).lacks["v8.1"] == ("FEAT_PMUv3p1",)


def test_armv9_is_what_8_5_is_without_aarch32_above_el0() -> None:
    assert conformance(only_armv8("v8.4")).armv9 is None
    assert conformance(only_armv8("v8.5")).armv9 == "v9.0"
    assert conformance(only_armv8("v8.9")).armv9 == "v9.4"
    found = conformance(only_armv8("v8.9") | {"FEAT_AA32EL1"})
    assert (found.armv9, found.obstacles) == (None, ("FEAT_AA32EL1",))
    old_sve = conformance(only_armv8("v8.9") | {"FEAT_SVE"})
    assert (old_sve.armv8, old_sve.armv9, old_sve.lacks["v9.0"]) == ("v8.9", None, ("FEAT_SVE2",))


@pytest.mark.parametrize(
    ("values", "there", "not_there"),
    [
        (register(PFR0_EL2=2), {"FEAT_AA64EL2", "FEAT_AA32EL2"}, {"FEAT_AA64EL3"}),
        (register(PFR0_EL2=1), {"FEAT_AA64EL2"}, {"FEAT_AA32EL2"}),
        (register(MMFR0_TGran4=0, MMFR0_TGran64=15), {"FEAT_TGran4K"}, {"FEAT_TGran64K", "FEAT_TGran16K"}),
        (register(MMFR0_TGran16=1, MMFR0_TGran4=15), {"FEAT_TGran16K"}, {"FEAT_TGran4K"}),
        (register(PFR0_RAS=1), {"FEAT_RAS"}, {"FEAT_RASv1p1", "FEAT_DoubleFault"}),
        (register(PFR0_RAS=1, PFR1_RAS_frac=1), {"FEAT_RAS", "FEAT_RASv1p1"}, {"FEAT_DoubleFault"}),
        (register(PFR0_RAS=2, PFR0_EL3=1), {"FEAT_RASv1p1", "FEAT_DoubleFault"}, set()),
        (register(PFR0_CSV2=1, PFR1_CSV2_frac=1), {"FEAT_CSV2", "FEAT_CSV2_1p1"}, {"FEAT_CSV2_1p2", "FEAT_CSV2_2"}),
        (register(ISAR1_API=2), {"FEAT_PAuth", "FEAT_EPAC", "FEAT_PACIMP"}, {"FEAT_PACQARMA5", "FEAT_PAuth2"}),
        (register(ISAR1_APA=3), {"FEAT_PAuth2", "FEAT_PACQARMA5"}, {"FEAT_EPAC", "FEAT_PACIMP"}),
        (register(PFR1_MPAM_frac=1), {"FEAT_MPAMv0p1"}, {"FEAT_MPAMv1p0", "FEAT_MPAMv1p1"}),
        (register(MMFR1_VH=1), {"FEAT_VHE", "FEAT_E2H0"}, set()),
        (register(MMFR1_VH=1, MMFR4_E2H0=15), {"FEAT_VHE"}, {"FEAT_E2H0"}),
        (register(MMFR0_ASIDBits=2, MMFR0_BigEndEL0=1), {"FEAT_ASID16", "FEAT_MixedEndEL0"}, {"FEAT_MixedEnd"}),
    ],
)  # fmt: skip
def test_features_that_take_more_than_one_field_or_cannot_be_switched(
    values: dict[SysReg, int], there: set[str], not_there: set[str]
) -> None:
    found = implemented_features(values)
    assert there <= found
    assert not not_there & found


def test_features_are_grouped_by_the_version_that_brought_them() -> None:
    found = by_version(frozenset({"FEAT_LSE", "FEAT_SVE2", "FEAT_AES", "FEAT_CRC32", "FEAT_PAN"}))
    assert found == {"v8.0": ("FEAT_AES", "FEAT_CRC32"), "v8.1": ("FEAT_LSE", "FEAT_PAN"), "v9.0": ("FEAT_SVE2",)}
    assert list(found) == ["v8.0", "v8.1", "v9.0"]
    assert version_name("v8.1") == "Armv8.1"


def test_every_name_and_field_in_the_tables_exists() -> None:
    for name, mandate in MANDATORY.items():
        assert mandate.version in (*ARMV8, *ARMV9)
        assert {name, *mandate.given} <= set(SINCE)
        assert SINCE[name] <= mandate.version, name
    for fact in FEATURE_FACTS.values():
        for condition in fact.conditions:
            for within in condition:
                field = vars_of(ID_LAYOUTS[within.register])[within.field]
                assert 0 <= within.least <= field.mask


def test_every_field_that_the_manual_gives_a_feature_has_one() -> None:
    """Up to Armv9.4: what is left over counts or sizes something, or is newer."""
    named = {place for declared in FEATURES.values() for place in declared.places()}
    named |= {(each.register, each.field) for fact in FEATURE_FACTS.values() for each in chain(*fact.conditions)}
    without = {
        "ID_AA64DFR0_EL1": {"BRPs", "WRPs", "CTX_CMPs"},
        "ID_AA64MMFR0_EL1": {"SNSMem"},
        "ID_AA64PFR0_EL1": set(),
        "ID_AA64ISAR0_EL1": set(),
        "ID_AA64MMFR1_EL1": set(),
        "ID_AA64MMFR2_EL1": set(),
    }
    for register_name, counted in without.items():
        fields = {field.name for field in ID_LAYOUTS[register_name].fields()}
        missing = {name for name in fields if (register_name, name) not in named}
        assert missing - {"TGran16_2", "TGran64_2"} <= counted, register_name
