"""``armvcpu stat``: the counts of a guest and of a trace, and their output."""

from __future__ import annotations

import gzip
import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from arm_vcpu_cli.guest.loader import load_guest
from tests.integration.command import (
    COMMAND,
    GUARD_SECONDS,
    GUESTS,
    SAMPLES,
    Finished,
    armvcpu,
    assert_refused,
    environment,
    guest,
    sample,
    shell,
)

EXITS = ("-m", SAMPLES / "exits" / "exits.toml", sample("exits"))
ROW = re.compile(r" *(\d+) +[\d.]+ % .*?  ((?:\S+ ?)+)(?:  .*)?")


def table(text: str, title: str) -> dict[str, int]:
    """The rows of a table: what is counted, and how often."""
    lines = text.splitlines()
    start = lines.index(title)
    rows = {}
    for line in lines[start + 2 :]:
        cells = re.split(r"  +", line.strip())
        if len(cells) < 3:
            break
        rows[next(cell for cell in cells if not re.match(r"[\d-]", cell))] = int(cells[0])
    return rows


def traced(tmp_path: Path, *arguments: object) -> list[dict[str, Any]]:
    path = tmp_path / "trace.jsonl"
    armvcpu("trace", "--format", "jsonl", "-o", path, *arguments)
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_guest_runs_as_without_and_the_counts_are_those_of_its_trace(tmp_path: Path) -> None:
    plain = armvcpu("run", *EXITS)
    finished = armvcpu("stat", "--top", "0", *EXITS)
    assert finished.out == plain.out
    assert finished.status == plain.status == 0
    exits = [event for event in traced(tmp_path, *EXITS) if event["type"] == "exit"]
    assert finished.err.startswith(f"exits.elf: {len(exits)} exits in 0.0000")
    assert table(finished.err, "exits by reason") == Counter(exit_["reason"] for exit_ in exits)
    registers = table(finished.err, "exits by device register")
    assert registers["PL011.UARTDR write"] == sum(exit_.get("register") == "PL011.UARTDR" for exit_ in exits)
    assert table(finished.err, "exits by system register")["ID_AA64PFR0_EL1 read"] == 1
    assert table(finished.err, "calls to the hypervisor")["PSCI_VERSION"] == 1
    functions = Counter(exit_["symbol"].partition("+")[0] for exit_ in exits)
    assert table(finished.err, "exits by function") == functions


@pytest.mark.parametrize("name", ["exits", "ticks"])
def test_a_trace_has_the_figures_of_the_run_that_it_is_of(tmp_path: Path, name: str) -> None:
    path = tmp_path / "trace.jsonl"
    machine = SAMPLES / name / f"{name}.toml"
    arguments = (*(("-m", machine) if machine.exists() else ()), sample(name))
    names = ("reason", "register", "sysreg", "call", "symbol", "caller", "el", "interrupt", "exception")
    options = ("--json", "--top", "0", *(word for name in names for word in ("--by", name)))
    armvcpu("trace", "--events", "all", "--format", "jsonl", "-o", path, *arguments)
    live = json.loads(armvcpu("stat", *options, *arguments).err)
    offline = json.loads(armvcpu("stat", *options, "-i", path).out)
    assert live["exits"] == offline["exits"] > 0
    for told in (live, offline):
        for rows in told["tables"].values():
            for row in rows:
                row.pop("host_ns", None)
    assert live["tables"] == offline["tables"]


def test_times_are_those_of_the_trace(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    armvcpu("trace", "--timing", "--format", "jsonl", "-o", path, *EXITS)
    times = [json.loads(line)["host_ns"] for line in path.read_text().splitlines() if '"type":"exit"' in line]
    told = json.loads(armvcpu("stat", "--json", "--histogram", "-i", path).out)
    assert (told["host_ns"]["count"], told["host_ns"]["total"]) == (len(times), sum(times))
    assert (told["host_ns"]["min"], told["host_ns"]["max"]) == (min(times), max(times))
    median = sorted(times)[(len(times) - 1) // 2]
    assert told["host_ns"]["median"] == pytest.approx(median, rel=1 / 64)
    for bar in told["histogram"]:
        assert bar["count"] == sum(bar["from_ns"] <= each < bar["to_ns"] for each in times)


def test_a_trace_without_times_has_no_columns_for_them(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    armvcpu("trace", "--format", "jsonl", "-o", path, *EXITS)
    finished = armvcpu("stat", "--histogram", "-i", path)
    assert "median" not in finished.out.decode().partition("interrupts")[0]
    assert "histogram: none of the exits says how long it took" in finished.out.decode()
    assert "median" in armvcpu("stat", *EXITS).err


def test_tables_and_rows_can_be_chosen() -> None:
    finished = armvcpu("stat", "--by", "el", "--by", "register", "--top", "1", *EXITS)
    assert table(finished.err, "exits by exception level") == {"EL1": 2039}
    assert len(table(finished.err, "exits by device register")) == 1
    assert re.search(r"^\(\d+ more rows, \d+ in all: --top\)$", finished.err, re.MULTILINE)
    assert "exits by reason" not in finished.err


@pytest.mark.parametrize("order", ["count", "time"])
def test_rows_can_be_sorted(order: str) -> None:
    rows = json.loads(armvcpu("stat", "--json", "--sort", order, *EXITS).err)["tables"]["reason"]
    values = [row["count"] if order == "count" else row["host_ns"]["total"] for row in rows]
    assert values == sorted(values, reverse=True)


def test_the_histogram_is_drawn_with_the_counts_of_all_exits() -> None:
    text = armvcpu("stat", "--by", "reason", "--histogram", *EXITS).err
    lines = text.partition("time of the host to handle an exit")[2].partition("the same by reason")[0].splitlines()
    rows = [line.split() for line in lines if re.match(r" *[\d.]+ [num]s ", line)]
    assert sum(int(row[4]) for row in rows) == 2039
    bars = {int(row[4]): len(row[7]) for row in rows if len(row) > 7}
    assert bars[max(bars)] == 40


def test_a_terminal_that_has_no_blocks_gets_other_characters() -> None:
    finished = shell('PYTHONIOENCODING=ascii armvcpu stat --histogram "$1"', sample("hello"))
    assert finished.status == 0
    assert finished.err.isascii()
    assert "####" in finished.err


def test_the_summary_goes_to_a_file_where_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "summary.txt"
    finished = armvcpu("stat", "-o", path, *EXITS)
    assert finished.err == ""
    assert path.read_text().startswith("exits.elf: 2039 exits")


def test_the_exit_status_is_that_of_the_guest() -> None:
    finished = armvcpu("stat", "--max-exits", "5", *EXITS)
    assert finished.status == 124
    assert finished.err.startswith("exits.elf: 5 exits in ")
    assert finished.last.startswith("armvcpu: stopped after 5 exits at 0x")


def test_ctrl_c_still_prints_the_summary(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with out.open("wb") as console, subprocess.Popen(
        [*COMMAND, "stat", str(guest("spin"))], stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.PIPE,
        env=environment(),
    ) as process:  # fmt: skip
        deadline = time.monotonic() + GUARD_SECONDS
        while b"spinning" not in out.read_bytes():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=GUARD_SECONDS)
    assert process.returncode == 130
    assert re.match(r"spin.elf: \d+ exits in ", err.decode())
    assert "armvcpu: interrupted at 0x" in err.decode()


def test_a_trace_from_a_pipe_and_a_packed_one_are_the_same(tmp_path: Path) -> None:
    path, packed = tmp_path / "t.jsonl", tmp_path / "t.jsonl.gz"
    armvcpu("trace", "--format", "jsonl", "-o", path, sample("hello"))
    packed.write_bytes(gzip.compress(path.read_bytes()))
    plain = armvcpu("stat", "-i", path)
    assert plain.status == 0
    assert armvcpu("stat", "-i", packed).out == plain.out
    assert armvcpu("stat", "-i", "-", stdin=path.read_bytes()).out == plain.out


def test_a_broken_off_trace_is_counted_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    armvcpu("trace", "--format", "jsonl", "-o", path, sample("hello"))
    path.write_bytes(path.read_bytes()[:5000])
    finished = armvcpu("stat", "-i", path)
    assert finished.status == 0
    assert re.search(rb"hello.elf: \d+ exits", finished.out)
    assert "is cut short after line" in finished.err
    assert finished.err.count("\n") == 1


def test_nobody_has_to_read_all_of_it() -> None:
    finished = shell('armvcpu stat "$1" 2>&1 >/dev/null | head -1', sample("hello"))
    assert finished.out.startswith(b"hello.elf: 149 exits")
    assert "Traceback" not in finished.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), ("GUEST", "-i TRACE")),
        (("-i", "trace.jsonl", "guest.elf"), ("-i: ", "GUEST does not go with it")),
        (("-i", "trace.jsonl", "--append", "x"), ("--append does not go with it",)),
        (("-i", "trace.jsonl", "--max-exits", "0"), ("--max-exits does not go with it",)),
        (("-i", "trace.jsonl", "--live"), ("--live does not go with it",)),
        (("-i", "missing.jsonl"), ("missing.jsonl: cannot be read: ",)),
        (("-i", "junk.txt"), ("junk.txt: line 1: expected a trace's header",)),
        (("--by", "colour", "guest.elf"), ("'colour' is not one of 'reason'",)),
        (("--top", "-1", "guest.elf"), ("--top",)),
        (("--live", "guest.elf"), ("--live needs a terminal on stderr",)),
        (("missing.elf",), ("missing.elf",)),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, arguments: tuple[str, ...], expected: tuple[str, ...]) -> None:
    (tmp_path / "junk.txt").write_text("hello\n")
    assert_refused(armvcpu("stat", *arguments, cwd=tmp_path), *expected)


def on_terminal(*arguments: object, stdout: int | None = None, columns: int = 100) -> Finished:
    """The command with stderr on a pseudo terminal."""
    master, slave = pty.openpty()
    env = {**environment(), "COLUMNS": str(columns), "LINES": "40", "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if stdout is None else slave, stderr=slave, env=env,
    )  # fmt: skip
    os.close(slave)
    seen = b""
    deadline = time.monotonic() + GUARD_SECONDS
    while True:
        assert time.monotonic() < deadline, seen
        if not select.select([master], [], [], 1)[0]:
            continue
        try:
            seen += os.read(master, 65536)
        except OSError:
            break
    os.close(master)
    return Finished(process.wait(), b"", seen.decode())


@pytest.mark.parametrize("columns", [80, 97, 133, 200])
def test_tables_fit_on_a_terminal_with_their_figures_whole(columns: int) -> None:
    finished = on_terminal("stat", "--top", 0, *EXITS, columns=columns)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", finished.err).splitlines()
    start = lines.index("exits by reason")
    counted = armvcpu("stat", "--json", "--top", 0, *EXITS)
    wanted = json.loads(counted.err)["tables"]["reason"]
    rows = [line.split() for line in lines[start + 3 : start + 3 + len(wanted)]]
    assert sorted(int(row[0]) for row in rows) == sorted(row["count"] for row in wanted)
    assert max(map(len, lines[start:])) <= columns
    assert "\N{HORIZONTAL ELLIPSIS}" not in finished.err


def test_the_live_view_comes_and_goes_and_the_summary_stays() -> None:
    finished = on_terminal("stat", "--live", "--timeout", "2", guest("spin"))
    assert finished.status == 124
    # The alternate screen of xterm, with the tables on it, and what stays behind it.
    shown, left, after = finished.err.rpartition("\x1b[?1049l")
    assert left
    assert "\x1b[?1049h" in shown
    assert "spin.elf: " in shown
    assert "exits by reason" in shown
    assert "spin.elf: " in after
    assert "stopped after 2 s" in after


def test_the_live_view_does_not_mix_with_the_console() -> None:
    finished = on_terminal("stat", "--live", sample("hello"), stdout=1)
    assert finished.status == 2
    assert "redirect stdout to a file" in finished.err
    assert "Hello" not in finished.err


def test_the_live_view_has_a_row_for_each_vcpu_that_exits(tmp_path: Path) -> None:
    """Two CPUs play ping-pong for longer than anybody looks."""
    original = GUESTS / "smp" / "wfi.elf"
    image = load_guest(original, ram_base=0x4000_0000)
    address = image.symbols.lookup("round_trips")
    assert address is not None
    segment = next(each for each in image.segments if 0 <= address - each.address < len(each.data))
    content = bytearray(original.read_bytes())
    at = content.index(segment.data) + address - segment.address
    content[at : at + 4] = (1 << 30).to_bytes(4, "little")
    guest = tmp_path / "wfi.elf"
    guest.write_bytes(content)
    finished = on_terminal("stat", "--live", "--smp", 2, "--timeout", "3", "--by", "vcpu", guest)
    assert finished.status == 124
    shown = finished.err.rpartition("\x1b[?1049l")[0]
    assert "exits by vCPU" in shown
    assert set(re.findall(r"cpu\d+", shown)) == {"cpu0", "cpu1"}
