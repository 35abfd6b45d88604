"""``armvcpu trace``: the log in text and JSON Lines, the counts, and an unchanged guest and console."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.integration.command import SAMPLES, Finished, armvcpu, guest, sample, shell
from tests.integration.test_linux import arguments
from tests.integration.test_terminal import terminal

EXITS_MACHINE = ("-m", SAMPLES / "exits" / "exits.toml")
LINE = re.compile(
    r" *(\d+) cpu0 +(\d+\.\d{9}) (\w+(?: [a-z]\w*)?(?: Ready| Running| Blocked)?) +"
    r"(?:EL([01]) (0x[0-9a-f]+)(?: <([^>]+)>)? +)?(.*)"
)
ESCAPE = "\x1b["


def parse(log: str) -> list[dict[str, Any]]:
    """The objects of a log; what else is on stderr is no line of it."""
    return [json.loads(line) for line in log.splitlines() if line.startswith("{")]


def events(log: str) -> list[dict[str, Any]]:
    """The events without the first line and the last two."""
    records = parse(log)
    assert [records[n]["type"] for n in (0, -2, -1)] == ["trace", "end", "summary"]
    return records[1:-2]


def exits(log: str) -> list[dict[str, Any]]:
    return [event for event in events(log) if event["type"] == "exit"]


def counts(finished: Finished) -> dict[str, int]:
    """The table behind the last empty line of a text log."""
    rows = finished.err.rsplit("\n\n", 1)[1].splitlines()
    assert rows[0].split() == ["exits", "reason"]
    return {reason: int(count) for count, reason in (row.split() for row in rows[1:])}


@cache
def untraced(name: str) -> Finished:
    """A sample without a trace."""
    return armvcpu("run", "--regs", *(EXITS_MACHINE if name == "exits" else ()), sample(name))


# The guest ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["exits", "hello", "paging", "ticks", "exit", "crash"])
@pytest.mark.parametrize(
    "options", [("--format", "jsonl", "--el1"), ("--events", "all"), ("--last", "5"), ("--timing",)]
)
def test_a_traced_guest_is_an_untraced_one(name: str, options: tuple[str, ...]) -> None:
    machine = EXITS_MACHINE if name == "exits" else ()
    plain = untraced(name)
    traced = armvcpu("trace", "--regs", *options, *machine, sample(name))
    assert (traced.out, traced.status) == (plain.out, plain.status)
    how_many = re.compile(r"\((\d+) exits to EL2, ")
    assert how_many.findall(traced.last) == how_many.findall(plain.last) != []


@pytest.mark.parametrize(
    "options",
    [
        ("--format", "jsonl", "--el1", "--events", "all"),
        ("--el1",),
        ("--last", "10", "--el1"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("name", ["ticks", "paging"])
def test_two_traces_are_the_same_to_the_byte(name: str, options: tuple[str, ...]) -> None:
    first, second = (armvcpu("trace", *options, sample(name)) for _ in range(2))
    assert first.err == second.err != ""


@pytest.mark.parametrize("options", ["--format jsonl --events all", "--events all"])
def test_when_the_input_ends_leaves_no_mark_in_a_trace(options: str) -> None:
    """The guest computes for some hundred milliseconds; it is stopped for a moment when its input ends."""
    early = shell(f"armvcpu trace {options} $1 </dev/null", sample("compute"))
    late = shell(f"sleep 0.5 | armvcpu trace {options} $1", sample("compute"))
    assert (early.status, early.out) == (0, late.out)
    assert early.err == late.err


# Text --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exits_log() -> Finished:
    return armvcpu("trace", *EXITS_MACHINE, sample("exits"))


def test_each_event_has_its_line_and_the_exits_agree_with_the_counts(exits_log: Finished) -> None:
    header, *body = exits_log.err.partition("\n\nended: ")[0].splitlines()
    assert header == "# exits.elf on exits, cortex-a72, clock: instructions"
    matches = [LINE.fullmatch(line) for line in body]
    assert [line for line, match in zip(body, matches, strict=True) if match is None] == []
    lines = [match for match in matches if match is not None]
    numbers = [int(line[1]) for line in lines if line[4]]
    assert numbers == list(range(1, len(numbers) + 1))
    times = [float(line[2]) for line in lines]
    assert times == sorted(times)
    assert counts(exits_log) == {**Counter(line[3] for line in lines if line[4]), "total": len(numbers)}
    assert {line[3] for line in lines if line[4]} == {
        "MmioRead", "MmioWrite", "Hypercall", "SysRegRead", "SysRegWrite", "SendIPI", "NestedPageFault", "CpuUp",
        "SystemDown",
    }  # fmt: skip
    assert {line[3] for line in lines if not line[4]} == {"state Ready", "state Running", "irq raised", "console"}


@pytest.mark.parametrize(
    ("reason", "pattern"),
    [
        ("MmioWrite", r"PL011\.UARTDR <- 'M' ipa=0x9000000 width=4 \| ESR_EL2=0x9383"),
        ("MmioWrite", r"PL011\.UARTLCR_H <- 0x60 \(WLEN=3 \(8 bits\)\) ipa=0x900002c"),
        (
            "MmioRead",
            r"PL011\.UARTFR -> 0xffffffffffffff90 \(TXFE=1 RXFE=1\) ipa=0x9000018 width=1 reg=x\d+ \| ESR_EL2=0x\w{8}$",
        ),
        ("MmioRead", r"ipa=0x20000000 va=0x20000000 width=4 reg=w\d+ \[external abort into the guest\] \|"),
        ("SysRegRead", r"ID_AA64PFR0_EL1 -> 0x1000011 \(GIC=1 .*\) reg=x\d+ \| ESR_EL2=0x\w+$"),
        ("SysRegWrite", r"CONTEXTIDR_EL1 <- 0x1234abcd \| ESR_EL2=0x\w+$"),
        ("Hypercall", r"conduit=hvc nr=0x84000000 call=PSCI_VERSION (x\d=0x\w+ )*result=0x10001 \|"),
        ("Hypercall", r"conduit=smc nr=0xc20000ff call=.* result=0xffffffffffffffff error=NOT_SUPPORTED \|"),
        ("CpuUp", r"conduit=hvc call=CPU_ON target_cpu=0x5 .*result=0xfffffffffffffffe error=INVALID_PARAMETERS \|"),
        ("CpuUp", r"conduit=hvc call=CPU_ON target_cpu=0x0 .* error=ALREADY_ON \|"),
        ("NestedPageFault", r"ipa=0x10000000 .*access=write \[external abort into the guest\] \|.*permission fault"),
        ("SystemDown", r"conduit=hvc action=off status=0 \| ESR_EL2=0x5a000000 EC=0x16 \("),
        ("console", r"'PSCI             VERSION 0x10001\\n'"),
        ("irq raised", r"INTID 1 \(SGI\)"),
    ],
)
def test_a_line_tells_what_there_is_to_tell(exits_log: Finished, reason: str, pattern: str) -> None:
    lines = [match for match in map(LINE.match, exits_log.err.splitlines()) if match is not None]
    assert any(line[3] == reason and re.search(pattern, line[7]) for line in lines)


def test_text_says_how_it_ended_between_the_events_and_the_counts() -> None:
    finished = armvcpu("trace", sample("exit"))
    assert re.search(
        r"\n\nended: the guest exited with status 7 \(status 7, \d+\.\d{6} s\)\n\n +exits  reason\n", finished.err
    )
    assert finished.last == "armvcpu: the guest exited with status 7"


# JSON Lines --------------------------------------------------------------------------------------------------------


def test_json_lines_has_a_header_then_events_then_the_ending_then_the_counts(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    finished = armvcpu("trace", "--format", "jsonl", "-o", log, sample("hello"))
    assert (finished.status, finished.err) == (0, "")
    header, *_, end, summary = parse(log.read_text())
    assert (header["schema"], header["version"], header["guest"]) == ("armvcpu-trace", 1, "hello.elf")
    assert {"name": "uart0", "type": "pl011", "base": "0x9000000", "size": "0x1000", "intid": 33} in header["devices"]
    told = exits(log.read_text())
    assert [event["seq"] for event in told] == list(range(1, len(told) + 1))
    data = [event for event in told if event.get("register") == "PL011.UARTDR"]
    assert bytes(int(event["data"], 16) for event in data) == finished.out
    last = told[-1]
    assert last["reason"] == "SystemDown"
    assert last["symbol"].startswith("psci_system_off+")
    assert last["source"].startswith("common/smccc.c:")
    assert int(last["pc"], 16) > 0x4008_0000
    assert last["esr"] == "0x5a000000"
    assert (end["ending"], end["status"], end["message"]) == ("powered off", 0, "the guest powered off")
    assert end["exits"] == summary["total"] == len(told)
    assert end["time_ns"] >= last["time_ns"]
    assert summary["exits"] == Counter(event["reason"] for event in told)


def test_every_line_is_what_the_json_module_would_write() -> None:
    finished = armvcpu("trace", "--format", "jsonl", "--el1", "--events", "all", "--timing", sample("paging"))
    assert finished.err.count("\n") > 1000
    for line in finished.err.splitlines():
        assert line == json.dumps(json.loads(line), separators=(",", ":"))


def test_each_exit_but_the_last_is_followed_by_an_entry_behind_it_or_at_it() -> None:
    finished = armvcpu("trace", "--format", "jsonl", "--events", "exit,entry", sample("hello"))
    first, *pairs = events(finished.err)
    assert (first["type"], first["seq"], first["pc"]) == ("entry", 0, "0x40080000")
    assert [event["type"] for event in pairs] == ["exit", "entry"] * (len(pairs) // 2) + ["exit"]
    for exit_, entry in zip(pairs[::2], pairs[1::2], strict=False):
        assert (entry["seq"], entry["el"]) == (exit_["seq"], 1)
        assert int(entry["pc"], 16) - int(exit_["pc"], 16) == 4
        assert entry["time_ns"] >= exit_["time_ns"]


def test_the_time_of_the_host_is_told_of_exits_if_it_is_wanted_and_changes_nothing_else() -> None:
    plain = armvcpu("trace", "--format", "jsonl", "--events", "all", sample("ticks"))
    timed = armvcpu("trace", "--format", "jsonl", "--events", "all", "--timing", sample("ticks"))
    found = events(timed.err)
    for event in found:
        assert ("host_ns" in event) == (event["type"] == "exit")
        assert event.pop("host_ns", 1) >= 0
    assert found == events(plain.err)
    assert (parse(plain.err)[0]["timing"], parse(timed.err)[0]["timing"]) == (False, True)


def test_the_console_is_told_as_it_is_written() -> None:
    for name in ("exits", "ticks"):
        finished = armvcpu("trace", "--format", "jsonl", "--events", "console", sample(name))
        assert "".join(event["text"] for event in events(finished.err)).encode() == finished.out
    unterminated = armvcpu("trace", "--format", "jsonl", "--events", "console", "--max-exits", "10", guest("flood"))
    assert [event["text"] for event in events(unterminated.err)] == ["0123456789"]


def test_callers_are_told_and_are_functions() -> None:
    finished = armvcpu("trace", "--format", "jsonl", "--device", "uart0", sample("exits"))
    callers = Counter((event["symbol"].partition("+")[0], event.get("caller")) for event in exits(finished.err))
    assert callers["put_number", "uart_printf"] > 100
    assert callers["uart_init", "main"] == 2


# Endings -----------------------------------------------------------------------------------------------------------


def test_the_ending_of_a_guest_that_dies_is_in_the_log_and_on_stderr(tmp_path: Path) -> None:
    log = tmp_path / "log"
    finished = armvcpu("trace", "--format", "jsonl", "-o", log, sample("crash"))
    end = parse(log.read_text())[-2]
    assert (finished.status, end["status"], end["ending"]) == (122, 122, "fault")
    assert finished.last == f"armvcpu: {end['message']}"
    assert "<inner+0x8>" in end["message"]


def test_a_limit_is_in_the_log_and_no_exit_beyond_it() -> None:
    finished = armvcpu("trace", "--format", "jsonl", "--max-exits", "10", guest("flood"))
    *_, end, summary = parse(finished.err)
    assert len(exits(finished.err)) == end["exits"] == summary["total"] == 10
    assert end["status"] == finished.status == 124
    assert finished.out == b"0123456789"
    assert finished.last.startswith("armvcpu: stopped after 10 exits at 0x")


def test_a_semihosting_call_counts_as_an_exit() -> None:
    finished = armvcpu("trace", "--format", "jsonl", "--regs", sample("exit"))
    told = exits(finished.err)
    *_, end, summary = parse(finished.err)
    assert end["exits"] == summary["total"] == len(told)
    assert (told[-1]["reason"], told[-1]["conduit"], told[-1]["status"]) == ("SystemDown", "semihosting", 7)
    assert f"({len(told)} exits to EL2," in finished.last


def test_a_log_is_not_touched_when_the_guest_cannot_be_loaded(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("of yesterday")
    finished = armvcpu("trace", "-o", log, tmp_path / "missing.elf")
    assert finished.status == 2
    assert log.read_text() == "of yesterday"


# Colour ------------------------------------------------------------------------------------------------------------


def test_there_is_no_colour_where_there_is_no_terminal_unless_it_is_asked_for(tmp_path: Path) -> None:
    assert ESCAPE not in armvcpu("trace", sample("hello")).err
    coloured = armvcpu("trace", "--color", sample("hello")).err
    assert ESCAPE in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == armvcpu("trace", sample("hello")).err
    armvcpu("trace", "--color", "--format", "jsonl", "-o", tmp_path / "log", sample("hello"))
    assert ESCAPE not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("variables", "options", "coloured"),
    [
        ({"NO_COLOR": "", "TERM": "xterm"}, (), True),
        ({"NO_COLOR": "1", "TERM": "xterm"}, (), False),
        ({"NO_COLOR": "", "TERM": "dumb"}, (), False),
        ({"NO_COLOR": "", "TERM": "xterm"}, ("--no-color",), False),
        ({"NO_COLOR": "1", "TERM": "xterm"}, ("--color",), True),
    ],
)
def test_colour_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], options: tuple[str, ...], coloured: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with terminal("trace", "--events", "exit", "--clock", "instructions", *options, sample("hello")) as screen:
        assert screen.end() == 0
        assert (ESCAPE.encode() in screen.seen) is coloured
        assert b"PL011.UARTDR" in screen.seen


def test_lines_of_the_guest_stand_between_those_of_the_trace() -> None:
    """The two share a terminal, on which the guest's console is otherwise written byte by byte."""
    with terminal("trace", "--no-color", "--events", "exit", sample("hello")) as screen:
        assert screen.end() == 0
        lines = screen.seen.decode().split("\r\n")
    assert lines.index("Hello from EL1!") > 30
    told = lines[1 : lines.index("")]
    printed = armvcpu("run", sample("hello")).out.decode().splitlines()
    assert [line for line in told if LINE.fullmatch(line) is None] == printed


def test_a_guest_that_waits_for_input_has_shown_its_prompt() -> None:
    with terminal("trace", "--only", "Halt", guest("keys")) as screen:
        screen.expect(b"ready\r\n")
        screen.type(b"q")
        assert screen.expect(b"\r\n") == b"71"
        assert screen.end() == 0


def test_a_file_is_not_coloured_though_the_command_is_on_a_terminal(tmp_path: Path) -> None:
    with terminal("trace", "-o", tmp_path / "log", sample("hello")) as screen:
        assert screen.end() == 0
    assert ESCAPE not in (tmp_path / "log").read_text()


# Linux -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def linux(tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, list[dict[str, Any]]]:
    """A boot, and its trace with everything in it."""
    log = tmp_path_factory.mktemp("linux") / "trace.jsonl"
    finished = armvcpu("trace", "--format", "jsonl", "--el1", "-o", log, *arguments("poweroff"))
    assert finished.status == 0, finished.err
    return finished, events(log.read_text())


def test_the_console_of_linux_is_the_console_of_its_trace(linux: tuple[Finished, list[dict[str, Any]]]) -> None:
    finished, told = linux
    lines = [event["text"] for event in told if event["type"] == "console"]
    assert "".join(lines).encode() == finished.out
    assert all(line.endswith("\n") for line in lines)
    assert any("Linux version" in line for line in lines)


def test_the_timer_of_linux_interrupts_it(linux: tuple[Finished, list[dict[str, Any]]]) -> None:
    _, told = linux
    steps = [event for event in told if event["type"] == "irq" and event["intid"] == 27]
    assert {event["source_name"] for event in steps} == {"virtual timer"}
    names = Counter(event["action"] for event in steps)
    assert names["raised"] == names["injected"] == names["acknowledged"] == names["ended"] > 50
    taken = [event for event in told if event["type"] == "exception" and event["exception"] == "irq"]
    assert len(taken) == sum(event["type"] == "irq" and event["action"] == "acknowledged" for event in told)
    assert {int(event["vector"], 16) & 0x7FF for event in taken} <= {0x280, 0x480}
    assert all(0 <= event["latency_ns"] < 10_000_000 for event in steps if event["action"] != "raised")


def test_what_programs_ask_of_linux_is_seen(linux: tuple[Finished, list[dict[str, Any]]]) -> None:
    _, told = linux
    calls = [event for event in told if event["type"] == "exception" and event["exception"] == "svc"]
    assert len(calls) > 50
    assert {event["el"] for event in calls} == {0}
    numbers = {event["nr"] for event in calls}
    assert {64, 142} <= numbers, "write and reboot"
    assert all(event["imm"] == 0 and event["nr"] < 500 for event in calls)
    faults = [event for event in told if event["type"] == "exception" and "abort" in event["exception"]]
    assert faults
    assert all(event["far"].startswith("0x") and event["esr"] for event in faults)


def test_times_and_numbers_never_go_back(linux: tuple[Finished, list[dict[str, Any]]]) -> None:
    _, told = linux
    numbers = [event["seq"] for event in told]
    assert numbers == sorted(numbers)
    times = [event["time_ns"] for event in told]
    assert times == sorted(times)
