"""Registers in full, and the comparison of two CPUs."""

from __future__ import annotations

import json

from arm_vcpu_cli.probe.compare import compare, comparison_json, comparison_sections
from arm_vcpu_cli.probe.host_facts import HostFacts
from arm_vcpu_cli.probe.registers import Subject, cpu_subject, host_subject, register_sections, registers_json
from arm_vcpu_cli.probe.report_tables import Row, Section

from .models import MODELS, facts

HOST = HostFacts(
    "Linux",
    "aarch64",
    "Arm Neoverse N1 r3p1",
    is_arm=True,
    virtualisation=True,
    reason="",
    id_registers={"MIDR_EL1": 0x413FD0C1, "REVIDR_EL1": 0, "ID_AA64ISAR0_EL1": 2 << 20 | 1 << 16},
)


def subject(model: str, **changes: int) -> Subject:
    return cpu_subject(facts(model, **changes))


def values(table: Section, label: str) -> tuple[str, ...]:
    return next(row.values for row in table.rows if row.label == label)


def test_only_what_differs_is_listed() -> None:
    found = compare(subject("cortex-a53"), subject("cortex-a72"))
    assert (found.only_a, found.only_b) == (frozenset(), frozenset())
    assert [(each.register, each.field, each.a, each.b) for each in found.registers] == [
        ("MIDR_EL1", "PartNum", 0xD03, 0xD08),
        ("MIDR_EL1", "Revision", 4, 3),
        ("ID_AA64MMFR0_EL1", "PARange", 2, 4),
    ]
    assert found.registers[2].a_text == "2 (40 bits)"


def test_features_are_told_apart_in_both_directions() -> None:
    forth, back = compare(subject("cortex-a72"), subject("max")), compare(subject("max"), subject("cortex-a72"))
    assert forth.only_a == frozenset()
    assert {"FEAT_LSE", "FEAT_SVE", "FEAT_VHE"} <= forth.only_b
    assert (back.only_a, back.only_b, back.both) == (forth.only_b, forth.only_a, forth.both)
    tables = comparison_sections(forth)
    assert tables[0] == Section("Only cortex-a72 has", (), (Row("features", ("-",)),))
    assert "FEAT_LSE" in values(tables[1], "Armv8.1")[0].split()
    assert values(tables[2], "ID_AA64ISAR0_EL1.Atomic") == ("0 (none)", "2 (LSE)")
    assert tables[2].columns == ("cortex-a72", "max")


def test_a_cpu_and_itself_have_nothing_to_tell() -> None:
    found = compare(subject("max"), subject("max"))
    assert comparison_sections(found)[2].rows == (Row("differences", ("none",)),)
    assert comparison_json(found)["registers"] == []


def test_only_the_registers_that_the_host_shows_are_compared() -> None:
    found = compare(host_subject(HOST), subject("cortex-a72"))
    assert "FEAT_LSE" in found.only_a
    assert comparison_sections(found)[0].title == "Note"
    assert {each.register for each in found.registers} == {"MIDR_EL1", "ID_AA64ISAR0_EL1"}


def test_the_object_of_a_comparison() -> None:
    found = json.loads(json.dumps(comparison_json(compare(subject("cortex-a72"), subject("max")))))
    assert list(found) == ["version", "a", "b", "only_a", "only_b", "both", "registers"]
    assert {"name": "FEAT_LSE", "since": "v8.1"} in found["only_b"]
    assert {
        "register": "ID_AA64ISAR0_EL1",
        "field": "Atomic",
        "a": 0,
        "b": 2,
        "a_text": "0 (none)",
        "b_text": "2 (LSE)",
    } in found["registers"]


def test_a_register_is_shown_with_all_its_fields() -> None:
    tables = {table.title: table for table in register_sections((subject("cortex-a72"),))}
    table = tables["ID_AA64PFR0_EL1 0x2222, a guest reads 0x11"]
    assert values(table, "  EL2 [11:8]") == ("2 (AArch64 and AArch32) -> 0 (none)  FEAT_AA32EL2 FEAT_AA64EL2",)
    assert values(table, "  SVE [35:32]") == ("0",)
    assert values(table, "  FP [19:16]") == ("0 (yes)  FEAT_FP",)
    assert "ID_AA64ISAR2_EL1 0x0" in tables


def test_registers_of_several_are_named_and_the_host_has_no_guest() -> None:
    titles = [table.title for table in register_sections((host_subject(HOST), subject("max")))]
    assert titles[0] == "host: MIDR_EL1 0x413fd0c1"
    assert titles[-1].startswith("max: ")


def test_the_object_of_registers() -> None:
    found = json.loads(json.dumps(registers_json((subject("cortex-a72"), host_subject(HOST)))))
    a72, host = found["subjects"]
    assert (a72["name"], host["name"]) == ("cortex-a72", "host")
    pfr0 = a72["registers"]["ID_AA64PFR0_EL1"]
    assert (pfr0["value"], pfr0["guest"]) == ("0x2222", "0x11")
    el1 = next(field for field in pfr0["fields"] if field["name"] == "EL1")
    assert el1 == {
        "name": "EL1",
        "msb": 7,
        "lsb": 4,
        "value": 2,
        "text": "2 (AArch64 and AArch32)",
        "guest": 1,
        "features": ["FEAT_AA32EL1", "FEAT_AA64EL1"],
    }
    isar0 = host["registers"]["ID_AA64ISAR0_EL1"]
    assert isar0["guest"] is None
    assert [field["features"] for field in isar0["fields"] if field["value"]] == [["FEAT_LSE"], ["FEAT_CRC32"]]
    assert host["registers"]["REVIDR_EL1"]["value"] == "0x0"


def test_every_model_can_be_compared_with_every_other() -> None:
    for a in MODELS:
        for b in MODELS:
            found = compare(subject(a), subject(b))
            assert bool(found.registers) is (a != b)
