"""A verdict as tables and as an object."""

from __future__ import annotations

import json

import pytest

from arm_vcpu_cli.cli.probe_guest import GuestReport, guest_json, guest_sections
from arm_vcpu_cli.guest.code_survey import EL2
from arm_vcpu_cli.guest.guest_survey import GuestSurvey
from arm_vcpu_cli.inspect.suitability import GuestCpu, judge
from tests.unit.inspect.test_suitability import A72, MACHINE, MAX, kernel, program, use


def report(survey: GuestSurvey, *cpus: GuestCpu, elsewhere: tuple[str, ...] = ()) -> GuestReport:
    return GuestReport(survey, cpus, tuple(judge(survey, cpu, MACHINE) for cpu in cpus), elsewhere)


def test_the_verdict_is_the_last_table_and_says_where_it_would_run() -> None:
    found = guest_sections(report(program(use("FEAT_LSE"), use("HVC")), A72, elsewhere=("max",)))
    assert [table.title for table in found] == [
        "Guest: guest.elf",
        "Features that its 100 words of code use",
        "Verdict",
    ]
    assert found[1].rows[0].values == ("ldadd at main+0x10", "1", "no")
    assert found[1].rows[1].values == ("ldadd at main+0x10", "1", "yes")
    verdict, because = found[2].rows
    assert verdict.values == ('cannot run; a machine with cpu.model = "max" provides it',)
    assert because.label == "  because"


@pytest.mark.parametrize("cpus", [(A72,), (A72, MAX)])
def test_every_row_has_a_text_for_each_column(cpus: tuple[GuestCpu, ...]) -> None:
    for survey in (program(), program(use("FEAT_LSE"), use(EL2)), kernel()):
        for table in guest_sections(report(survey, *cpus)):
            for row in table.rows:
                assert len(row.values) == max(1, len(table.columns)), row


def test_a_kernel_has_a_table_of_what_it_uses() -> None:
    table = next(each for each in guest_sections(report(kernel(), A72, MAX)) if each.title.startswith("Features"))
    assert (table.columns, table.rows[0]) == (("cortex-a72", "max"), ("FEAT_LSE", ("no", "yes")))


def test_the_object_of_a_guest() -> None:
    found = json.loads(json.dumps(guest_json(report(program(use("FEAT_LSE")), A72, MAX))))
    assert list(found) == ["version", "guest", "runs", "cpus", "elsewhere"]
    assert found["runs"] is False
    assert [(cpu["model"], cpu["runs"], cpu["missing"], cpu["has"]) for cpu in found["cpus"]] == [
        ("cortex-a72", False, ["FEAT_LSE"], {"FEAT_LSE": False}),
        ("max", True, [], {"FEAT_LSE": True}),
    ]
    assert found["cpus"][0]["findings"][0]["weight"] == "no"
    assert found["guest"]["segments"] == [{"name": "LOAD[0]", "address": "0x40000000", "size": 4096}]
    assert found["guest"]["code"]["uses"] == [
        {
            "need": "FEAT_LSE",
            "count": 1,
            "first": {"instruction": "ldadd", "address": "0x40000010", "place": "main+0x10"},
            "chosen": 0,
            "certain": True,
        }
    ]
    kernel_object = guest_json(report(kernel(), A72))["guest"]["linux"]
    assert (kernel_object["version"], kernel_object["page_size"], kernel_object["options"]) == ("6.1", "4 KiB", None)
