"""``armvcpu trace``: the log in both formats, filters, the counts, and a console that stays as it is."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.integration.command import SAMPLES, Finished, armvcpu, guest, sample

EXITS_MACHINE = ("-m", SAMPLES / "exits" / "exits.toml")
LINE = re.compile(r" *(\d+) cpu0 +(\d+\.\d{6}) (\w+) +EL([01]) (0x[0-9a-f]+)(?: <([^>]+)>)? +(.*)")


def parse(log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines()]


def counts(finished: Finished) -> dict[str, int]:
    """The table behind the last empty line of a text log."""
    rows = finished.err.rsplit("\n\n", 1)[1].splitlines()
    assert rows[0].split() == ["exits", "reason"]
    return {reason: int(count) for count, reason in (row.split() for row in rows[1:])}


def test_the_console_is_the_same_byte_for_byte_as_without_a_trace() -> None:
    plain = armvcpu("run", *EXITS_MACHINE, sample("exits"))
    for format_ in ("text", "jsonl"):
        traced = armvcpu("trace", "--format", format_, *EXITS_MACHINE, sample("exits"))
        assert traced.out == plain.out
        assert traced.status == plain.status == 0


def test_each_exit_has_its_line_and_they_agree_with_the_counts() -> None:
    finished = armvcpu("trace", *EXITS_MACHINE, sample("exits"))
    body, _, _ = finished.err.partition("\nended: ")
    matches = [LINE.fullmatch(line) for line in body.splitlines()]
    events = [match for match in matches if match is not None]
    assert len(events) == len(matches)
    assert [int(event[1]) for event in events] == list(range(1, len(events) + 1))
    times = [float(event[2]) for event in events]
    assert times == sorted(times)
    assert counts(finished) == {**Counter(event[3] for event in events), "total": len(events)}
    assert {event[3] for event in events} == {
        "MmioRead", "MmioWrite", "Hypercall", "SysRegRead", "SysRegWrite", "SendIPI", "NestedPageFault", "CpuUp",
        "SystemDown",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "pattern"),
    [
        ("MmioWrite", r"addr=0x9000000 device=uart0 offset=0x0 width=4 data=0x4d \|"),
        ("MmioRead", r"addr=0x9000018 device=uart0 offset=0x18 width=1 reg=x\d+ value=0xffffffffffffff90 \| .*SSE=1"),
        ("SysRegRead", r"sysreg=ID_AA64PFR0_EL1 reg=x\d+ value=0x1000011 \| ESR_EL2=0x\w+ EC=0x18 \("),
        ("SysRegWrite", r"sysreg=CONTEXTIDR_EL1 value=0x1234abcd \| ESR_EL2=0x\w+ EC=0x18 \("),
        ("Hypercall", r"conduit=hvc nr=0x84000000 call=PSCI_VERSION (x\d=0x\w+ )*result=0x10001 \|"),
        (
            "Hypercall",
            r"conduit=smc nr=0xc20000ff call=SMC 0xc20000ff \(.*\) (x\d=0x\w+ )*result=-1 \(NOT_SUPPORTED\) \|",
        ),
        ("CpuUp", r"conduit=hvc call=CPU_ON target_cpu=0x5 .*result=-2 \(INVALID_PARAMETERS\) \|"),
        ("CpuUp", r"conduit=hvc call=CPU_ON target_cpu=0x0 .*result=-4 \(ALREADY_ON\) \|"),
        ("NestedPageFault", r"addr=0x10000000 access=write \[external abort into the guest\] \|.*permission fault"),
        ("SystemDown", r"conduit=hvc action=off status=0 \| ESR_EL2=0x5a000000 EC=0x16 \("),
    ],
)
def test_a_line_tells_the_fields_of_its_reason(exits_log: Finished, reason: str, pattern: str) -> None:
    lines = [match for match in map(LINE.match, exits_log.err.splitlines()) if match is not None]
    assert any(line[3] == reason and re.search(pattern, line[7]) for line in lines)


@pytest.fixture(scope="module")
def exits_log() -> Finished:
    return armvcpu("trace", *EXITS_MACHINE, sample("exits"))


def test_json_lines_has_an_object_for_each_exit_then_the_ending_then_the_counts(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    finished = armvcpu("trace", "--format", "jsonl", "-o", log, sample("hello"))
    assert (finished.status, finished.err) == (0, "")
    *events, end, summary = parse(log.read_text())
    assert {event["type"] for event in events} == {"exit"}
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    written = bytes(int(event["data"], 16) for event in events if event.get("offset") == "0x0")
    assert written == finished.out
    last = events[-1]
    assert last["reason"] == "SystemDown"
    assert last["symbol"].startswith("psci_system_off+")
    assert int(last["pc"], 16) > 0x4008_0000
    assert last["esr"] == "0x5a000000"
    assert end["type"] == "end"
    assert (end["ending"], end["status"], end["message"]) == ("powered off", 0, "the guest powered off")
    assert end["exits"] == len(events)
    assert end["time_ns"] >= last["time_ns"]
    assert summary["type"] == "summary"
    assert summary["exits"] == Counter(event["reason"] for event in events)
    assert summary["total"] == len(events)


def test_only_filters_by_reason_in_any_case_and_may_be_repeated_while_the_counts_stay_whole() -> None:
    everything = armvcpu("trace", "--format", "jsonl", *EXITS_MACHINE, sample("exits"))
    some = armvcpu(
        "trace", "--format", "jsonl", "--only", "sysregread", "--only", "CPUUP", *EXITS_MACHINE, sample("exits")
    )
    wanted = [(e["seq"], e["reason"]) for e in parse(everything.err) if e.get("reason") in ("SysRegRead", "CpuUp")]
    *events, end, summary = parse(some.err)
    assert [(event["seq"], event["reason"]) for event in events] == wanted
    assert len(wanted) == 4
    assert end["type"] == "end"
    assert summary == parse(everything.err)[-1]


def test_an_unknown_reason_is_refused_with_those_that_there_are() -> None:
    finished = armvcpu("trace", "--only", "Mmio", sample("hello"))
    assert finished.status == 2
    assert "'Mmio'" in finished.err
    assert "MmioRead" in finished.err.replace("mmioread", "MmioRead")


def test_the_ending_of_a_guest_that_dies_is_in_the_log_and_on_stderr(tmp_path: Path) -> None:
    log = tmp_path / "log"
    finished = armvcpu("trace", "--format", "jsonl", "-o", log, sample("crash"))
    end = parse(log.read_text())[-2]
    assert (finished.status, end["status"], end["ending"]) == (122, 122, "fault")
    assert finished.last == f"armvcpu: {end['message']}"
    assert "<inner+0x8>" in end["message"]


def test_a_limit_is_in_the_log_and_no_exit_beyond_it() -> None:
    finished = armvcpu("trace", "--format", "jsonl", "--max-exits", "10", guest("flood"))
    lines = [json.loads(line) for line in finished.err.splitlines() if line.startswith("{")]
    *events, end, summary = lines
    assert len(events) == end["exits"] == summary["total"] == 10
    assert end["status"] == finished.status == 124
    assert finished.out == b"0123456789"
    assert finished.last.startswith("armvcpu: stopped after 10 exits at 0x")


def test_a_semihosting_call_counts_as_an_exit() -> None:
    finished = armvcpu("trace", "--format", "jsonl", "--regs", sample("exit"))
    lines = [json.loads(line) for line in finished.err.splitlines() if line.startswith("{")]
    *events, end, summary = lines
    assert end["exits"] == summary["total"] == len(events)
    assert (events[-1]["reason"], events[-1]["conduit"], events[-1]["status"]) == ("SystemDown", "semihosting", 7)
    assert f"({len(events)} exits to EL2," in finished.last


def test_text_says_how_it_ended_between_the_exits_and_the_counts() -> None:
    finished = armvcpu("trace", sample("exit"))
    assert re.search(
        r"\n\nended: the guest exited with status 7 \(status 7, \d+\.\d{6} s\)\n\n +exits  reason\n", finished.err
    )
    assert finished.last == "armvcpu: the guest exited with status 7"


def test_a_log_is_not_touched_when_the_guest_cannot_be_loaded(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("of yesterday")
    finished = armvcpu("trace", "-o", log, tmp_path / "missing.elf")
    assert finished.status == 2
    assert log.read_text() == "of yesterday"
