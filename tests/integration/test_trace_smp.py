"""Traces of a guest with several CPUs: times, selection, formats, tables and differences by vCPU."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from arm_vcpu_cli.engine.levers import known_levers
from tests.integration.command import GUESTS, armvcpu, assert_refused
from tests.integration.test_trace import events, parse

VCPUS = 4
WFI = GUESTS / "smp" / "wfi.elf"
PSCI = GUESTS / "smp" / "psci.elf"
Event = dict[str, Any]


def traced(*options: object, guest: Path = WFI) -> list[Event]:
    finished = armvcpu("trace", "--smp", VCPUS, "--format", "jsonl", *options, guest)
    assert finished.status == 0, finished.err
    return events(finished.err)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything, as a file."""
    found = tmp_path_factory.mktemp("smp") / "wfi.jsonl"
    assert armvcpu("trace", "--smp", VCPUS, "--events", "all", "-o", found, WFI).status == 0
    return found


@pytest.fixture(scope="module")
def everything(path: Path) -> list[Event]:
    return events(path.read_text())


def test_the_header_has_the_number_of_vcpus_and_all_have_events(path: Path, everything: list[Event]) -> None:
    assert parse(path.read_text())[0]["vcpus"] == VCPUS
    assert {each["vcpu"] for each in everything} == set(range(VCPUS))
    assert {each["vcpu"] for each in everything if each["type"] == "irq"} == set(range(VCPUS))


def test_the_times_of_a_vcpu_never_go_back_and_no_latency_is_negative(path: Path, everything: list[Event]) -> None:
    for vcpu in range(VCPUS):
        own = [each["time_ns"] for each in everything if each["vcpu"] == vcpu]
        assert all(before <= after for before, after in pairwise(own))
    assert all(each.get("latency_ns", 0) >= 0 for each in everything)
    end = next(each for each in parse(path.read_text()) if each["type"] == "end")
    assert end["time_ns"] == max(each["time_ns"] for each in everything)


def test_the_exits_of_each_vcpu_and_its_entries_take_turns(everything: list[Event]) -> None:
    for vcpu in range(VCPUS):
        own = [each["type"] for each in everything if each["vcpu"] == vcpu and each["type"] in ("exit", "entry")]
        assert own[0] == "entry"
        assert all(before != after for before, after in pairwise(own))


def test_an_ipi_goes_where_it_says(everything: list[Event]) -> None:
    checked = 0
    for sent, raised in pairwise(everything):
        if sent.get("reason") == "SendIPI" and raised.get("action") == "raised" and not sent["send_to_all"]:
            assert sent["ipi"] == f"SGI {raised['intid']} to cpu{raised['vcpu']}"
            checked += 1
    assert checked > 1000


@pytest.mark.parametrize("types", ["exit", "entry", "irq", "state", "exception"])
def test_one_vcpu_can_be_chosen(everything: list[Event], types: str) -> None:
    wanted = [each for each in everything if each["vcpu"] == 2 and each["type"] == types]
    assert traced("--vcpu", 2, "--events", types) == wanted
    assert wanted


def test_who_prints_and_who_executes_for_the_first_time_can_be_chosen() -> None:
    seen = traced("--events", "console,code", guest=PSCI)
    expected = {("console", 0)} | ({("code", 0)} if known_levers().execute_on_demand else set())
    assert {(each["type"], each["vcpu"]) for each in seen} >= expected
    for vcpu in range(VCPUS):
        own = traced("--events", "console,code", "--vcpu", vcpu, guest=PSCI)
        assert own == [each for each in seen if each["vcpu"] == vcpu]


def test_several_vcpus_can_be_chosen(everything: list[Event]) -> None:
    chosen = traced("--vcpu", 1, "--vcpu", 3, "--events", "exit")
    assert chosen == [each for each in everything if each["vcpu"] in (1, 3) and each["type"] == "exit"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--smp", 4, "--vcpu", 4), "--vcpu 4: the machine has 4 vCPUs, numbers 0 to 3"),
        (("--smp", 2, "--vcpu", 0, "--vcpu", 63), "--vcpu 63: the machine has 2 vCPUs, numbers 0 to 1"),
        (("--vcpu", 1), "--vcpu 1: the machine has 1 vCPU, number 0"),
    ],
)
def test_a_vcpu_that_is_not_there_is_refused(options: tuple[object, ...], expected: str) -> None:
    assert_refused(armvcpu("trace", *options, WFI), expected)


def test_the_first_and_the_last_of_all_vcpus(everything: list[Event]) -> None:
    assert traced("--events", "all", "--first", 100) == everything[:100]
    assert traced("--events", "all", "--last", 100) == everything[-100:]


def test_a_trace_begins_wherever_a_vcpu_executes(everything: list[Event]) -> None:
    """The function is one that only the other CPUs come by."""
    found = traced("--events", "exit", "--start-at", "pong")
    exits = [each for each in everything if each["type"] == "exit"]
    assert 0 < len(found) < len(exits)
    assert found[0]["vcpu"] != 0
    assert found == exits[-len(found) :]


def test_a_trace_stops_wherever_a_vcpu_executes(everything: list[Event]) -> None:
    found = traced("--events", "exit", "--stop-at", "pong")
    exits = [each for each in everything if each["type"] == "exit"]
    assert 0 < len(found) < len(exits)
    assert found == exits[: len(found)]


def test_formats_for_other_tools_are_in_the_order_of_time(tmp_path: Path) -> None:
    trace = tmp_path / "trace.ftrace"
    assert armvcpu("trace", "--smp", VCPUS, "-o", trace, WFI).status == 0
    found = re.findall(r"^ *kvm-vcpu-(\d)-\d +\[00(\d)\] \.{5} +(\d+)\.(\d{9}): ", trace.read_text(), re.MULTILINE)
    assert {(task, cpu) for task, cpu, *_ in found} == {(str(vcpu), str(vcpu)) for vcpu in range(VCPUS)}
    times = [int(seconds + rest) for *_, seconds, rest in found]
    assert times == sorted(times)


def test_what_is_private_to_a_cpu_on_the_bus_has_a_name() -> None:
    """The CPU interface of a GICv2, which each CPU has at the same address."""
    finished = armvcpu("trace", "--smp", VCPUS, "--gic", 2, "--format", "jsonl", GUESTS / "smp" / "gicv2.elf")
    seen = events(finished.err)
    accesses = [each for each in seen if each.get("reason") in ("MmioRead", "MmioWrite")]
    assert all("device" in each for each in accesses)
    taken = {each["vcpu"] for each in accesses if each["register"] == "GICC_IAR"}
    assert taken == {each["vcpu"] for each in seen if each.get("action") == "acknowledged"} == set(range(VCPUS))
    assert any(each["register"] == "GICD_SGIR" and "meaning" in each for each in accesses)


def test_two_runs_are_the_same_and_one_event_that_differs_is_named(path: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.jsonl"
    assert armvcpu("trace", "--smp", VCPUS, "--events", "all", "-o", again, WFI).status == 0
    same = armvcpu("diff", "--times", path, again)
    assert (same.status, same.out.decode().startswith("the same: ")) == (0, True)
    lines = again.read_text().splitlines(keepends=True)
    place = next(n for n, line in enumerate(lines) if '"reason":"SendIPI"' in line and '"vcpu":2' in line)
    lines[place] = lines[place].replace('"vector":', '"vector":1')
    again.write_text("".join(lines))
    found = armvcpu("diff", path, again)
    assert found.status == 1
    first = next(line for line in found.out.decode().splitlines() if line.startswith("first difference"))
    assert first.startswith(f"first difference: line {place + 1}, exit {json.loads(lines[place])['seq']}, cpu2, ")
    assert armvcpu("diff", "--vcpu", 1, path, again).status == 0
    assert armvcpu("diff", "-q", "--vcpu", 2, path, again).status == 1
    assert_refused(armvcpu("diff", "--vcpu", 4, path, again), "--vcpu 4: the traced machines have 4 vCPUs")


def test_the_tables_of_a_run_are_those_of_its_trace(path: Path, everything: list[Event], tmp_path: Path) -> None:
    by = ("--json", "--top", 0, "--by", "vcpu", "--by", "ipi", "--by", "interrupt", "--by", "vcpu-interrupt")
    summary = tmp_path / "summary.json"
    assert armvcpu("stat", "--smp", VCPUS, *by, "-o", summary, WFI).status == 0
    live = json.loads(summary.read_text())
    of_trace = json.loads(armvcpu("stat", *by, "-i", path).out)
    for tables in (live["tables"], of_trace["tables"]):
        for rows in tables.values():
            for row in rows:
                row.pop("host_ns", None)
    assert live["tables"] == of_trace["tables"]
    assert live["ipis"] == of_trace["ipis"]
    exits = Counter(f"cpu{each['vcpu']}" for each in everything if each["type"] == "exit")
    assert {row["name"]: row["count"] for row in of_trace["tables"]["vcpu"]} == exits
    assert sum(row["share"] for row in of_trace["tables"]["vcpu"]) == pytest.approx(1)
    sgis = Counter(each["action"] for each in everything if each["type"] == "irq" and each["intid"] < 16)
    assert of_trace["ipis"] == sgis
    raised = Counter((each["vcpu"], each["intid"]) for each in everything if each.get("action") == "raised")
    by_vcpu = of_trace["tables"]["vcpu-interrupt"]
    assert {(row["vcpu"], row["intid"]): row["raised"] for row in by_vcpu} == raised


def test_the_tables_by_vcpu_are_shown_if_there_are_several(path: Path) -> None:
    text = armvcpu("stat", "-i", path).out.decode()
    for title in ("exits by vCPU", "interrupts of each vCPU", "inter-processor interrupts sent"):
        assert f"\n{title}\n" in text
    alone = armvcpu("stat", GUESTS / "smp" / "wfi.elf").err
    assert "by vCPU" not in alone
    assert "of each vCPU" not in alone
