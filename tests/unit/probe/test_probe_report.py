"""The report as tables and as an object."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from arm_vcpu_cli.probe.host_facts import CpuGroup, HostFacts
from arm_vcpu_cli.probe.kvm import KvmFacts
from arm_vcpu_cli.probe.limits import LIMITS
from arm_vcpu_cli.probe.probe_report import EngineFacts, Report, as_json, sections
from arm_vcpu_cli.probe.report_tables import Row, Section

from .models import MODELS, facts

X86 = HostFacts("Linux", "x86_64", "AMD EPYC", is_arm=False, virtualisation=False, reason="no EL2")
ARM = HostFacts(
    "Linux",
    "aarch64",
    "Arm Neoverse N1 r3p1",
    is_arm=True,
    virtualisation=True,
    reason="KVM is usable",
    kvm=KvmFacts(12, 48, None),
    id_registers={"MIDR_EL1": 0x413FD0C1, "REVIDR_EL1": 0},
)
ENGINE = EngineFacts("Unicorn", "2.1.4")


def report(*models: str, host: HostFacts = X86) -> Report:
    return Report(host, ENGINE, tuple(facts(model) for model in models))


def section(found: Report, title: str) -> Section:
    return next(each for each in sections(found) if each.title.startswith(title))


def values(found: Section, label: str) -> tuple[str, ...]:
    return next(row.values for row in found.rows if row.label == label)


def test_one_cpu_is_told_in_words() -> None:
    table = section(report("cortex-a72"), "Modelled CPU: cortex-a72")
    assert table.columns == ()
    assert values(table, "MIDR_EL1") == ("0x410fd083  Arm Cortex-A72 r0p3",)
    assert values(table, "Virtualisation") == ("yes",)
    assert values(table, "Physical addresses") == ("44 bits",)
    assert values(table, "Stage 1, granules") == ("4 KiB, 64 KiB",)
    assert values(table, "GIC system registers") == ("none in the core; a GICv3 is emulated",)


def test_several_cpus_stand_side_by_side() -> None:
    found = report(*MODELS)
    table = section(found, "Modelled CPUs")
    assert table.columns == ("cortex-a53", "cortex-a57", "cortex-a72", "max")
    assert values(table, "Physical addresses") == ("40 bits", "44 bits", "44 bits", "44 bits")
    assert values(table, "VMID") == ("8 bits", "8 bits", "8 bits", "16 bits")
    assert values(table, "VHE") == ("no", "no", "no", "yes")
    assert values(section(found, "Stage 2"), "Levels") == ("3", "4", "4", "4")
    features = section(found, "Features")
    assert values(features, "FEAT_PMUv3 (v8.0)") == ("hidden",) * 4
    assert values(features, "FEAT_LSE (v8.1)") == ("-", "-", "-", "yes")
    assert values(features, "FEAT_AES (v8.0)") == ("yes",) * 4


@pytest.mark.parametrize("models", [("cortex-a53",), tuple(MODELS)])
def test_every_row_has_a_text_for_each_column(models: tuple[str, ...]) -> None:
    for each in sections(report(*models, host=ARM)):
        for row in each.rows:
            assert len(row.values) == max(1, len(each.columns)), row
            assert all(row.values), row


def test_the_control_register_of_stage_2_is_decoded_where_it_is_not_zero() -> None:
    rows = section(report("cortex-a53"), "Stage 2").rows
    assert Row("VTCR_EL2", ("0x80023558",)) in rows
    assert Row("  .PS", ("2 (40 bits)",)) in rows
    assert Row("  .SH0", ("3 (inner)",)) in rows
    assert "  .TG0" not in [row.label for row in rows]


def test_hidden_fields_are_named_with_both_values() -> None:
    alone = section(report("cortex-a72"), "Hidden")
    why = "a virtual machine has neither EL2 nor EL3"
    assert values(alone, "ID_AA64PFR0_EL1.EL2") == (f"2 (AArch64 and AArch32) -> 0 (none): {why}",)
    assert values(alone, "AArch32 ID registers") == ("1 read zero",)
    beside = section(report("cortex-a72", "max"), "Hidden")
    assert values(beside, "ID_AA64DFR0_EL1.PMUVer") == ("1 -> 0", "5 -> 0")
    assert values(beside, "AArch32 ID registers") == ("1 read zero", "2 read zero")


def test_a_cpu_without_el2_stands_beside_one_that_has_it() -> None:
    found = Report(X86, ENGINE, (facts("cortex-a72", ID_AA64PFR0_EL1=0x2022), facts("cortex-a72")))
    assert not found.supported
    assert values(section(found, "Modelled"), "Virtualisation") == ("no", "yes")
    assert values(section(found, "Stage 2"), "VTCR_EL2") == ("-", "0x80043594")
    assert values(section(found, "Stage 2"), "  .T0SZ") == ("-", "20")
    assert values(section(found, "Hidden"), "ID_AA64PFR0_EL1.EL2") == ("-", "2 -> 0")


def test_an_arm_host_shows_kvm_and_its_registers() -> None:
    table = section(report("cortex-a72", host=ARM), "Host")
    assert values(table, "Virtualisation here") == ("usable. KVM is usable",)
    assert values(table, "KVM") == ("API version 12, 48-bit IPA",)
    assert values(table, "MIDR_EL1")[0].startswith("0x413fd0c1  Implementer=0x41 (Arm)")
    assert values(table, "REVIDR_EL1") == ("0x0",)


def test_an_engine_that_fails_is_reported_without_cpus() -> None:
    found = Report(X86, replace(ENGINE, failure="no PC in the state"), ())
    assert not found.supported
    assert values(section(found, "Engine"), "State layout check") == ("FAILED: no PC in the state",)
    assert [each.title for each in sections(found)] == [
        "Host",
        "Engine",
        "Limits of the engine",
        "Limits of the machine",
    ]
    engine = as_json(found)["engine"]
    assert engine["self_check"] == {"passed": False, "message": "no PC in the state"}


def test_every_limit_has_its_line() -> None:
    rows = [row for each in sections(report("cortex-a72")) if each.title.startswith("Limits") for row in each.rows]
    assert [row.label for row in rows] == [limit.topic for limit in LIMITS]
    for row, limit in zip(rows, LIMITS, strict=True):
        assert row.values == (f"{limit.text} {limit.sentence}",)


def test_of_every_limit_it_is_said_whether_a_guest_is_told() -> None:
    assert [limit.topic for limit in LIMITS if bool(limit.notice) == bool(limit.unnoticed)] == []
    assert "Noticed: a guest that enters AArch32 stops" in LIMITS[0].sentence
    assert "Not noticed: " in next(limit for limit in LIMITS if limit.unnoticed).sentence


@pytest.mark.parametrize("model", MODELS)
def test_what_a_limit_says_is_hidden_is_hidden(model: str) -> None:
    hidden = {f"{each.register}.{each.field}" for each in facts(model).hidden}
    for limit in LIMITS:
        assert set(limit.hidden_in) <= hidden, limit.topic


def test_the_object_has_its_documented_keys_and_plain_values() -> None:
    found = json.loads(json.dumps(as_json(report("cortex-a53", "max", host=ARM))))
    assert list(found) == ["version", "supported", "host", "engine", "cpus", "limits"]
    assert (found["version"], found["supported"]) == (1, True)
    assert found["host"] == {
        "system": "Linux",
        "architecture": "aarch64",
        "cpu": "Arm Neoverse N1 r3p1",
        "is_arm": True,
        "virtualisation": {"usable": True, "reason": "KVM is usable"},
        "kernel": None,
        "page_size": None,
        "cpus": [],
        "hwcaps": [],
        "features": [],
        "hints": [],
        "kvm": {"api_version": 12, "ipa_bits": 48, "max_vcpus": None, "capabilities": {}, "gics": None},
        "id_registers": {"MIDR_EL1": "0x413fd0c1", "REVIDR_EL1": "0x0"},
    }
    assert found["engine"] == {
        "name": "Unicorn",
        "version": "2.1.4",
        "self_check": {"passed": True, "message": None},
    }
    assert found["limits"][0] == {
        "part": "engine",
        "topic": LIMITS[0].topic,
        "text": LIMITS[0].text,
        "hidden_in": list(LIMITS[0].hidden_in),
        "notice": "a guest that enters AArch32 stops with status 122 and a report",
        "unnoticed": None,
    }


def test_a_cpu_in_the_object() -> None:
    a53, best = json.loads(json.dumps(as_json(report("cortex-a53", "max"))))["cpus"]
    assert list(a53) == [
        "model",
        "midr",
        "has_hardware_support",
        "architecture",
        "implemented",
        "el2",
        "el3",
        "vhe",
        "pa_bits",
        "va_bits",
        "asid_bits",
        "vmid_bits",
        "granules",
        "gic_system_registers",
        "caches",
        "stage2",
        "features",
        "hidden",
        "id_registers",
    ]
    assert a53["midr"] == {"value": "0x410fd034", "name": "Arm Cortex-A53 r0p4"}
    assert a53["el2"] == {"implemented": True, "states": "AArch64 and AArch32"}
    assert a53["granules"]["16 KiB"] == {"stage1": False, "stage2": False}
    assert a53["gic_system_registers"] == {"implemented": False, "name": "none"}
    assert {key: a53["stage2"][key] for key in ("granule", "ipa_bits", "levels", "start_level")} == {
        "granule": "4 KiB",
        "ipa_bits": 40,
        "levels": 3,
        "start_level": 1,
    }
    assert a53["stage2"]["vtcr_el2"]["value"] == "0x80023558"
    assert a53["stage2"]["vtcr_el2"]["fields"]["T0SZ"] == 24
    why = "a virtual machine has neither EL2 nor EL3"
    assert {"register": "ID_AA64PFR0_EL1", "field": "EL2", "core": 2, "guest": 0, "why": why} in a53["hidden"]
    whole = {"register": "ID_PFR0_EL1", "field": None, "core": "0x131", "guest": "0x0", "why": None}
    assert whole in a53["hidden"]
    assert a53["architecture"]["armv8"] == "v8.0"
    assert "FEAT_LSE" in a53["architecture"]["lacks"]["v8.1"]
    assert {"name": "FEAT_PMUv3", "since": "v8.0", "announced": False} in a53["implemented"]
    assert {"name": "FEAT_AES", "since": "v8.0", "announced": True} in a53["implemented"]
    assert a53["id_registers"]["ID_AA64PFR0_EL1"]["guest"] == "0x11"
    assert best["id_registers"]["ID_AA64MMFR1_EL1"]["fields"]["VMIDBits"] == 2
    assert {
        "feature": "LSE atomics",
        "register": "ID_AA64ISAR0_EL1",
        "field": "Atomic",
        "value": 2,
        "name": "LSE",
        "guest": 2,
    } in best["features"]


def test_a_cpu_without_el2_has_no_stage_2_in_the_object() -> None:
    found = as_json(Report(X86, ENGINE, (facts("cortex-a72", ID_AA64PFR0_EL1=0x2022),)))
    assert found["supported"] is False
    assert found["cpus"][0]["stage2"] is None
    assert found["cpus"][0]["el2"] == {"implemented": False, "states": "none"}


def test_one_cpu_has_its_features_by_version_and_what_it_lacks_for_the_next() -> None:
    found = report("max")
    rows = section(found, "Features")
    assert "FEAT_LSE" in values(rows, "Armv8.1")[0].split()
    assert "FEAT_VHE(hidden)" in values(rows, "Armv8.1")[0].split()
    text = values(section(found, "Modelled CPU"), "Architecture")[0]
    assert text == "Armv8.0; for Armv8.1 it lacks FEAT_Debugv8p1"


@pytest.mark.parametrize("model", MODELS)
def test_every_hidden_field_has_its_reason(model: str) -> None:
    for each in as_json(report(model))["cpus"][0]["hidden"]:
        assert each["field"] is None or each["why"], each


def test_kvm_on_the_host_has_a_line_for_each_answer() -> None:
    kvm = KvmFacts(12, 48, 512, {"MAX_VCPUS": 512, "ARM_SVE": 1, "ARM_EL2": 0}, ("GICv3", "ITS"))
    host = replace(ARM, kvm=kvm, cpus=(CpuGroup("Arm Neoverse N1 r3p1", (0, 1, 2, 5), 1),), page_size=4096)
    found = report("cortex-a53", host=host)
    table = section(found, "KVM on the host")
    assert values(table, "vCPUs, at most") == ("512",)
    assert values(table, "SVE") == ("yes",)
    assert values(table, "EL2 for guests (nested virtualisation)") == ("no",)
    assert values(table, "interrupt controllers for guests") == ("GICv3 ITS",)
    assert values(section(found, "Host"), "CPU") == ("Arm Neoverse N1 r3p1 (4 CPUs: 0-2,5)",)
    assert values(section(found, "Host"), "Pages") == ("4 KiB",)
    assert as_json(found)["host"]["kvm"]["gics"] == ["GICv3", "ITS"]


def test_levers_are_told_with_those_that_are_not_used() -> None:
    engine = replace(ENGINE, levers={"no TLB scans": True, "host arithmetic": False})
    found = replace(report("cortex-a72"), engine=engine)
    assert values(section(found, "Engine"), "Levers") == ("no TLB scans; not used: host arithmetic",)
    assert as_json(found)["engine"]["levers"] == {"no TLB scans": True, "host arithmetic": False}
