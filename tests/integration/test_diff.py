"""``armvcpu diff``: traces of real runs, the output at their differences, and the status."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.command import SAMPLES, armvcpu, assert_refused, sample, shell

Record = dict[str, Any]


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("diff") / "good.jsonl"
    assert armvcpu("trace", "--timing", "--format", "jsonl", "-o", path, sample("hello")).status == 0
    return path


def edited(trace: Path, to: Path, edit: Callable[[list[Record]], list[Record]]) -> Path:
    """A copy of a trace with other events; exits are numbered again."""
    header, *events = (json.loads(line) for line in trace.read_text().splitlines())
    exits = 0
    for event in (events := edit(events)):
        exits += event["type"] == "exit"
        if "seq" in event:
            event["seq"] = exits
    to.write_text("".join(json.dumps(record, separators=(",", ":")) + "\n" for record in (header, *events)))
    return to


def nth(events: list[Record], number: int) -> int:
    """Where the exit with this number is."""
    return next(place for place, event in enumerate(events) if event["type"] == "exit" and event["seq"] == number)


def without_20(events: list[Record]) -> list[Record]:
    place = nth(events, 20)
    return events[:place] + events[place + 1 :]


def other_value(events: list[Record]) -> list[Record]:
    place = nth(events, 21)
    assert events[place]["reason"] == "MmioRead"
    events[place] |= {"value": "0x98", "meaning": "BUSY"}
    return events


def test_two_runs_are_the_same(trace: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.jsonl"
    armvcpu("trace", "--timing", "--format", "jsonl", "-o", again, sample("hello"))
    finished = armvcpu("diff", trace, again)
    assert finished.status == 0
    assert finished.out.startswith(b"the same: ")
    assert b", 149 of them exits" in finished.out
    # The guest's time is the same too; how long the host took is not.
    assert armvcpu("diff", "--times", "--ignore", "host_ns", trace, again).status == 0
    assert armvcpu("diff", "--times", trace, again).status == 1
    assert armvcpu("diff", "-q", trace, again).out == b""


def test_an_exit_that_is_missing_is_shown_where_it_was(trace: Path, tmp_path: Path) -> None:
    bad = edited(trace, tmp_path / "bad.jsonl", without_20)
    finished = armvcpu("diff", "-U", "2", trace, bad)
    assert finished.status == 1
    lines = finished.out.decode().splitlines()
    assert lines[0].startswith(f"--- {trace}  (hello.elf on virt, cortex-a72; armvcpu ")
    assert lines[1].startswith(f"+++ {bad}  (")
    number = 1 + next(n for n, text in enumerate(trace.read_text().splitlines()) if '"type":"exit","seq":20,' in text)
    assert lines[2].startswith(f"@@ -{number - 2},5 +{number - 2},4 @@ line {number}, exit 20, 0.0000")
    assert [line[0] for line in lines[3:8]] == [" ", " ", "-", " ", " "]
    assert lines[5].split()[:3] == ["-", "20", "cpu0"]
    assert lines[8] == ""
    assert lines[9].startswith(f"first difference: line {number}, exit 20, ")
    assert f"1 are only in {trace}, 0 only in {bad}" in lines[10]
    reason = lines[5].split()[4]
    assert lines[11].split() == ["---", "+++"]
    assert lines[12].split()[0] == reason
    assert lines[12].split()[3] == "-1"


def test_a_value_that_differs_is_named(trace: Path, tmp_path: Path) -> None:
    bad = edited(trace, tmp_path / "bad.jsonl", other_value)
    lines = armvcpu("diff", trace, bad).out.decode().splitlines()
    [place] = [n for n, line in enumerate(lines) if line.startswith("? ")]
    assert lines[place] == "? value 0x90 -> 0x98, meaning TXFE=1 RXFE=1 -> BUSY"
    assert lines[place - 2].startswith("-      21 cpu0")
    assert lines[place - 1].startswith("+      21 cpu0")
    assert any("0 are only in" in line and "1 differ" in line for line in lines)
    assert armvcpu("diff", "--ignore", "value", "--ignore", "meaning", trace, bad).status == 0
    assert armvcpu("diff", "--only", "Hypercall", "--only", "entry", trace, bad).status == 0
    assert armvcpu("diff", "--only", "mmioread", trace, bad).status == 1


def test_the_object_has_what_the_text_says(trace: Path, tmp_path: Path) -> None:
    bad = edited(trace, tmp_path / "bad.jsonl", lambda events: without_20(other_value(events)))
    finished = armvcpu("diff", "--json", trace, bad)
    assert finished.status == 1
    report = json.loads(finished.out)
    assert (report["differ"], report["changed"], report["only_a"], report["only_b"]) == (True, 1, 1, 0)
    assert report["first"]["is"] == "only_a"
    assert report["first"]["a"]["event"]["seq"] == 20
    [hunk] = report["hunks"]
    [changed] = [event for event in hunk["events"] if event["is"] == "changed"]
    assert changed["changed"]["value"] == ["0x90", "0x98"]
    assert trace.read_text().splitlines()[changed["a"]["line"] - 1] == json.dumps(
        changed["a"]["event"], separators=(",", ":")
    )
    assert report["counts"]["MmioRead"]["a"] + report["counts"]["MmioWrite"]["a"] == 148


def test_only_so_many_places_are_shown(trace: Path, tmp_path: Path) -> None:
    def spoilt(events: list[Record]) -> list[Record]:
        for number in range(10, 140, 10):
            events[nth(events, number)]["pc"] = "0x1"
        return events

    bad = edited(trace, tmp_path / "bad.jsonl", spoilt)
    text = armvcpu("diff", "--max-hunks", "4", trace, bad).out.decode()
    assert text.count("\n@@ ") == 4
    assert "... 9 more places (--max-hunks)" in text
    assert armvcpu("diff", "--max-hunks", "0", trace, bad).out.decode().count("\n@@ ") == 13
    report = json.loads(armvcpu("diff", "--json", "--max-hunks", "4", trace, bad).out)
    assert (len(report["hunks"]), report["hunks_in_all"]) == (4, 13)


def test_different_machines_are_told_and_do_not_count(trace: Path, tmp_path: Path) -> None:
    lines = trace.read_text().splitlines(keepends=True)
    header = json.loads(lines[0])
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps({**header, "cpu": "cortex-a57", "devices": []}) + "\n" + "".join(lines[1:]))
    assert armvcpu("diff", trace, other).status == 0
    other.write_text(json.dumps({**header, "cpu": "cortex-a57", "devices": []}) + "\n" + "".join(lines[1:40]))
    text = armvcpu("diff", trace, other).out.decode()
    assert "cpu: cortex-a72 -> cortex-a57" in text
    assert "the traced machines have different devices" in text


def test_two_guests_are_compared_in_the_end(trace: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    armvcpu("trace", "--format", "jsonl", "-o", other, "-m", SAMPLES / "exits" / "exits.toml", sample("exits"))
    finished = armvcpu("diff", trace, other)
    assert finished.status == 1
    counts = {line.split()[0]: line.split()[1:] for line in finished.out.decode().splitlines() if line.startswith("  ")}
    assert counts["MmioRead"] == ["73", "1011", "+938"]
    assert counts["CpuUp"] == ["0", "2", "+2"]


def test_packed_and_piped_traces_are_compared_too(trace: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.gz"
    packed.write_bytes(gzip.compress(trace.read_bytes()))
    assert armvcpu("diff", "-", packed, stdin=trace.read_bytes()).status == 0


def test_a_trace_that_broke_off_differs_and_says_so(trace: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_bytes(trace.read_bytes()[:-600])
    finished = armvcpu("diff", trace, broken)
    assert finished.status == 1
    assert f"{broken}: is cut short after line" in finished.err


def test_colour_is_for_terminals_or_for_who_asks(trace: Path, tmp_path: Path) -> None:
    bad = edited(trace, tmp_path / "bad.jsonl", without_20)
    plain = armvcpu("diff", trace, bad).out
    assert b"\x1b" not in plain
    assert b"\x1b[31m-" in armvcpu("diff", "--color", trace, bad).out


def test_a_name_in_a_trace_cannot_move_the_cursor(trace: Path, tmp_path: Path) -> None:
    def hostile(events: list[Record]) -> list[Record]:
        events[nth(events, 20)] |= {"symbol": "\x1b[2J\n\ud800", "note": "\r" + "x" * 5000, "\x07": "\x07"}
        return events

    bad = edited(trace, tmp_path / "bad.jsonl", hostile)
    for arguments in ((), ("--by-symbol",), ("-q",)):
        finished = armvcpu("diff", *arguments, trace, bad)
        assert finished.status == 1
        assert all(line.isprintable() for line in finished.out.decode().splitlines())
        assert all(len(line) < 3000 for line in finished.out.decode().splitlines())


def test_a_character_that_cannot_be_printed_is_escaped(trace: Path, tmp_path: Path) -> None:
    def foreign(events: list[Record]) -> list[Record]:
        events[nth(events, 20)] |= {"symbol": "caf\u20ac"}
        return events

    bad = edited(trace, tmp_path / "bad.jsonl", foreign)
    finished = shell('PYTHONIOENCODING=latin-1 armvcpu diff "$1" "$2"', trace, bad)
    assert finished.status == 1
    assert rb"caf\u20ac" in finished.out
    finished = shell('PYTHONIOENCODING=latin-1 armvcpu stat --top 0 -i "$1"', bad)
    assert finished.status == 0
    assert rb"caf\u20ac" in finished.out


def test_nobody_has_to_read_all_of_it(trace: Path, tmp_path: Path) -> None:
    bad = edited(trace, tmp_path / "bad.jsonl", without_20)
    finished = shell('armvcpu diff "$1" "$2" | head -1', trace, bad)
    assert finished.out.startswith(b"--- ")
    assert "Traceback" not in finished.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("-", "-"), "only one of the traces can come from stdin"),
        (("missing.jsonl", "junk.txt"), "missing.jsonl: cannot be read: "),
        (("junk.txt", "junk.txt"), "junk.txt: line 1: expected a trace's header"),
        (("--window", "3", "junk.txt", "junk.txt"), "--window: expected at least 64"),
        (("--only", "colour", "junk.txt", "junk.txt"), "'colour' is not one of"),
        (("junk.txt",), "Missing argument"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
    (tmp_path / "junk.txt").write_text("hello\n")
    assert_refused(armvcpu("diff", *arguments, cwd=tmp_path), expected)


def test_damage_in_the_middle_is_status_2(trace: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    lines = trace.read_text().splitlines(keepends=True)
    bad.write_text("".join([*lines[:50], "damage\n", *lines[50:]]))
    finished = armvcpu("diff", trace, bad)
    assert finished.status == 2
    assert finished.last == f"armvcpu: error: {bad}: line 51: not JSON, expected one object per line, found 'damage'"
