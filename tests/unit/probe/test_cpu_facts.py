"""Facts about modelled CPUs, compared with their manuals and the engine's ID registers."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.support import supports_virtualisation
from arm_vcpu_cli.probe.cpu_facts import (
    FEATURES,
    Feature,
    Granule,
    HiddenField,
    IdRegister,
    describe_cpu,
    field_of,
    value_name,
)

from .models import MODELS, Frames, facts, fake_model


@pytest.mark.parametrize(
    ("model", "pa_bits", "vmid_bits", "vhe"),
    [
        ("cortex-a53", 40, 8, False),
        ("cortex-a57", 44, 8, False),
        ("cortex-a72", 44, 8, False),
        ("max", 44, 16, True),
    ],
)
def test_widths_and_vhe_of_each_model(model: str, pa_bits: int, vmid_bits: int, vhe: bool) -> None:
    found = facts(model)
    assert (found.model, found.midr) == (model, MODELS[model]["MIDR_EL1"])
    assert (found.pa_bits, found.vmid_bits, found.vhe) == (pa_bits, vmid_bits, vhe)
    assert found.has_hardware_support
    assert (found.el2, found.el3, found.gic) == (2, 2, 0)


@pytest.mark.parametrize(
    ("model", "ipa_bits", "levels", "start_level", "vtcr"),
    [
        # RES1, PS = 2 (40 bits), inner shareable, write-back, SL0 = 1 (level 1), T0SZ = 24.
        ("cortex-a53", 40, 3, 1, 0x8002_3558),
        # RES1, PS = 4 (44 bits), inner shareable, write-back, SL0 = 2 (level 0), T0SZ = 20.
        ("cortex-a72", 44, 4, 0, 0x8004_3594),
    ],
)
def test_the_stage2_format_follows_the_physical_addresses(
    model: str, ipa_bits: int, levels: int, start_level: int, vtcr: int
) -> None:
    assert facts(model).stage2 == (ipa_bits, levels, start_level, vtcr)


def test_the_frames_lent_for_stage_2_come_back() -> None:
    frames = Frames()
    before = sorted(frames.free)
    describe_cpu(fake_model("cortex-a53"), frames)
    assert sorted(frames.free) == before


def test_no_stage_2_is_made_without_el2() -> None:
    found = facts("cortex-a72", ID_AA64PFR0_EL1=0x2022)
    assert not found.has_hardware_support
    assert found.stage2 is None


@pytest.mark.parametrize(
    ("pfr0", "mmfr1", "supported"),
    [
        (0x2222, 0, True),
        (0x0111, 0, True),
        (0x2022, 0, False),
        (0x2022, 0x100, True),
        (0x2202, 0, False),
        (0, 0x100, False),
    ],
)
def test_virtualisation_needs_el2_or_vhe_and_el1(pfr0: int, mmfr1: int, supported: bool) -> None:
    assert supports_virtualisation(pfr0, mmfr1) is supported
    assert facts("cortex-a72", ID_AA64PFR0_EL1=pfr0, ID_AA64MMFR1_EL1=mmfr1).has_hardware_support is supported


@pytest.mark.parametrize(
    ("mmfr0", "granules"),
    [
        # As the Cortex cores have it: 4 KiB and 64 KiB; stage 2 as stage 1.
        (0x0000_1124, ((True, True), (False, False), (True, True))),
        # All three, 4 KiB with 52 bits.
        (0x1010_1124, ((True, True), (True, True), (True, True))),
        # None at stage 1 (15, 0, 15), so none at stage 2.
        (0xFF00_1124, ((False, False), (False, False), (False, False))),
        # Stage 2 on its own: 4 KiB not (1), 64 KiB not (1), 16 KiB yes (2).
        (0x112_0000_1124, ((True, False), (False, True), (True, False))),
        # Reserved values promise nothing.
        (0x570_1124, ((True, True), (False, False), (False, False))),
    ],
)
def test_granules_at_both_stages(mmfr0: int, granules: tuple[tuple[bool, bool], ...]) -> None:
    found = facts("cortex-a72", ID_AA64MMFR0_EL1=mmfr0).granules
    assert found == tuple(
        Granule(name, *stages) for name, stages in zip(("4 KiB", "16 KiB", "64 KiB"), granules, strict=True)
    )


def feature(model: str, label: str) -> Feature:
    return next(each for each in facts(model).features if each.label == label)


@pytest.mark.parametrize(
    ("label", "on_a72", "on_max"),
    [
        ("FP", "yes", "with FP16"),
        ("SVE", "none", "yes"),
        ("LSE atomics", "none", "LSE"),
        ("PAuth", "none", "yes"),
        ("PAN", "none", "PAN and AT S1E1RP"),
        ("BTI", "none", "yes"),
        ("MTE", "none", "none"),
        ("RAS", "none", "none"),
        ("PMU", "PMUv3", "PMUv3p4"),
    ],
)
def test_features_are_named_as_the_core_announces_them(label: str, on_a72: str, on_max: str) -> None:
    assert feature("cortex-a72", label).text == on_a72
    assert feature("max", label).text == on_max


def test_pointer_authentication_is_found_in_either_field() -> None:
    assert feature("max", "PAuth").field == "APA"
    found = facts("cortex-a72", ID_AA64ISAR1_EL1=0x100).features
    assert [(each.field, each.text) for each in found if each.label == "PAuth"] == [("API", "yes")]


def test_a_feature_that_is_hidden_reads_otherwise_for_the_guest() -> None:
    assert (feature("cortex-a72", "PMU").value, feature("cortex-a72", "PMU").guest) == (1, 0)
    assert (feature("max", "LSE atomics").value, feature("max", "LSE atomics").guest) == (2, 2)


def test_every_feature_names_a_field_that_exists() -> None:
    for _, register, fields in FEATURES:
        for name in fields:
            assert field_of(register, name).name == name


def test_a_value_without_a_name_is_shown_as_such() -> None:
    assert value_name("ID_AA64PFR0_EL1", "GIC", 2) == "0x2(?)"


def test_what_is_hidden_is_listed_field_by_field() -> None:
    hidden = facts("cortex-a72").hidden
    assert [each for each in hidden if not each.is_aarch32] == [
        HiddenField("ID_AA64PFR0_EL1", "EL3", 2, 0),
        HiddenField("ID_AA64PFR0_EL1", "EL2", 2, 0),
        HiddenField("ID_AA64PFR0_EL1", "EL1", 2, 1),
        HiddenField("ID_AA64PFR0_EL1", "EL0", 2, 1),
        HiddenField("ID_AA64DFR0_EL1", "DoubleLock", 0, 15),
        HiddenField("ID_AA64DFR0_EL1", "WRPs", 3, 0),
        HiddenField("ID_AA64DFR0_EL1", "PMUVer", 1, 0),
    ]


def test_a_hidden_register_without_fields_is_listed_whole() -> None:
    hidden = facts("max").hidden
    assert [each for each in hidden if each.is_aarch32] == [
        HiddenField("ID_PFR0_EL1", None, 0x131, 0, is_aarch32=True),
        HiddenField("ID_ISAR6_EL1", None, 0x11111, 0, is_aarch32=True),
    ]


def test_id_registers_are_as_the_core_and_as_the_guest_reads_them() -> None:
    registers = facts("cortex-a72").id_registers
    assert registers["ID_AA64PFR0_EL1"] == IdRegister("ID_AA64PFR0_EL1", 0x2222, 0x11)
    assert registers["MIDR_EL1"] == IdRegister("MIDR_EL1", 0x410F_D083, 0x410F_D083)


def test_a_register_that_the_core_lacks_reads_zero() -> None:
    core = fake_model("cortex-a72")
    core.missing = {lookup("ID_AA64ISAR1_EL1"), lookup("ID_AA64ZFR0_EL1")}
    registers = describe_cpu(core, Frames()).id_registers
    assert registers["ID_AA64ISAR1_EL1"] == IdRegister("ID_AA64ISAR1_EL1", 0, 0)
