"""The exits of a guest as tests see them, and as a trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from arm_vcpu_cli.pytest_plugin.exit_log import ExitLog
from arm_vcpu_cli.trace.event import CONSOLE, ENTRY, EXIT, Hex, TraceEnd, TraceEvent, TraceHeader
from arm_vcpu_cli.trace.reader import TraceReader

HEADER = TraceHeader("armvcpu 1", "guest.elf", "virt", "cortex-a72", "instructions")
WRITE = TraceEvent(EXIT, 1, 0, 10, "MmioWrite", 0x4000, fields=(("device", "uart0"), ("data", Hex(0x41))))
BACK = TraceEvent(ENTRY, 1, 0, 11, "", 0x4004, el=1)
LINE = TraceEvent(CONSOLE, 1, 0, 12, "", fields=(("text", "A"),))
OFF = TraceEvent(EXIT, 2, 1, 20, "SystemDown", 0x4008, fields=(("action", "off"),))


@pytest.fixture
def log() -> ExitLog:
    log = ExitLog()
    log.header(HEADER)
    for event in (WRITE, BACK, LINE, OFF):
        log.event(event)
    return log


def test_events_are_those_of_json_lines(log: ExitLog) -> None:
    assert len(log) == 4
    assert log[0] == {
        "type": "exit", "seq": 1, "vcpu": 0, "time_ns": 10, "reason": "MmioWrite", "pc": "0x4000",
        "device": "uart0", "data": "0x41",
    }  # fmt: skip
    assert (
        [event["type"] for event in log] == [event["type"] for event in log[:]] == ["exit", "entry", "console", "exit"]
    )
    assert log[-1]["action"] == "off"
    with pytest.raises(IndexError):
        log[4]


def test_some_of_them(log: ExitLog) -> None:
    assert log.counts == {"MmioWrite": 1, "entry": 1, "console": 1, "SystemDown": 1}
    assert log.only("SystemDown", "console") == [log[2], log[3]]
    assert log.only("exit", vcpu=1) == log.only(action="off") == [log[3]]
    assert log.only("exit", device="uart1") == []
    assert repr(log) == "<4 events: 1 MmioWrite, 1 entry, 1 console, ...>"
    assert repr(ExitLog()) == "<no events>"


def test_equality(log: ExitLog) -> None:
    other = ExitLog()
    assert log != other
    for event in (WRITE, BACK, LINE, OFF):
        other.event(event)
    assert log == other == [*log]
    assert log != "a text"
    with pytest.raises(TypeError):
        hash(log)


@pytest.mark.parametrize("ended", [False, True])
def test_a_trace_that_others_read(log: ExitLog, ended: bool, tmp_path: Path) -> None:
    if ended:
        log.end(TraceEnd("powered off", 0, "the guest powered off", 2, 21))
        log.summary({"MmioWrite": 1, "SystemDown": 1}, 2)
    file = tmp_path / "exits.jsonl"
    file.write_text(log.text())
    with TraceReader(file) as trace:
        assert trace.header.guest == "guest.elf"
        assert [*trace.records()] == [*log]
        assert (trace.end is not None, trace.totals is not None, trace.truncated) == (ended, ended, False)


def test_only_what_is_wanted_is_written(log: ExitLog) -> None:
    lines = log.text(lambda kind, name, vcpu: name == "SystemDown" and vcpu == 1).splitlines()
    assert [line.partition('"reason":"')[2].partition('"')[0] for line in lines] == ["", "SystemDown"]
