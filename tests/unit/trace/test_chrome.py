"""Traces in Chrome's JSON."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.trace.chrome import ChromeSink
from arm_vcpu_cli.trace.event import Hex, TraceEvent

from .traces import EVENTS, HEADER, event, play

Record = dict[str, Any]


def written(*events: TraceEvent) -> str:
    stream = io.StringIO()
    play(ChromeSink(stream), events or EVENTS)
    return stream.getvalue()


def tracks(records: list[Record]) -> dict[str, list[Record]]:
    """The events of each thread, by its name."""
    names = {(each["pid"], each["tid"]): each["args"]["name"] for each in records if each["name"] == "thread_name"}
    found: dict[str, list[Record]] = defaultdict(list)
    for each in records:
        if each["ph"] in "iBE" and each["tid"]:
            found[names[each["pid"], each["tid"]]].append(each)
    return found


def records(text: str) -> list[Record]:
    return [{"name": "", **each} for each in json.loads(text)]


def test_a_whole_trace_is_json() -> None:
    shown = tracks(records(written()))
    assert {"vCPU 0", "vCPU 0 state", "uart0", "console", "INTID 27 virtual timer", "run"} <= shown.keys()
    assert [each["name"] for each in shown["uart0"]] == ["UARTDR <- 'A'", "UARTFR -> 0x90", "UARTDR <- 0x42"]
    first = next(each for each in shown["vCPU 0"] if each["name"] == "MmioWrite")
    assert first["ts"] == 0.1
    assert first["args"]["pc"] == "0x40080154"
    assert first["args"]["host_ns"] == 12_000


def test_slices_are_balanced_on_every_track() -> None:
    for name, shown in tracks(records(written())).items():
        depth = 0
        for each in shown:
            depth += {"B": 1, "E": -1, "i": 0}[each["ph"]]
            assert 0 <= depth <= 1, name
        assert depth == 0, name


def test_groups_are_processes_with_names() -> None:
    names = {each["args"]["name"] for each in records(written()) if each["name"] == "process_name"}
    assert f"{HEADER.guest}: vCPUs" in names
    assert f"{HEADER.guest}: devices" in names


@pytest.mark.parametrize("count", [0, 1, 9, len(EVENTS)])
def test_only_the_bracket_is_missing_from_an_interrupted_trace(count: int) -> None:
    stream = io.StringIO()
    sink = ChromeSink(stream)
    sink.header(HEADER)
    for each in EVENTS[:count]:
        sink.event(each)
    assert len(json.loads(stream.getvalue() + "]")) > count


def test_a_sink_without_events_is_json() -> None:
    stream = io.StringIO()
    sink = ChromeSink(stream)
    sink.summary({}, 0)
    assert json.loads(stream.getvalue()) == []


@given(
    name=st.text(),
    value=st.builds(Hex, st.integers(0, 2**64 - 1)) | st.integers(0, 2**64 - 1) | st.booleans() | st.text(),
    time=st.integers(0, 2**62),
)
def test_any_argument_comes_back(name: str, value: int | str, time: int) -> None:
    shown = tracks(records(written(event("exit", "Nothing", time, (f"field {name}", value)))))["vCPU 0"]
    told = shown[0]["args"][f"field {name}"]
    assert told == (hex(value) if isinstance(value, Hex) else value)
    assert type(told) is (str if isinstance(value, Hex) else type(value))


def test_times_are_exact() -> None:
    text = written(event("exit", "Nothing", 2**60 + 7))
    assert f'"ts":{(2**60 + 7) // 1000}.{(2**60 + 7) % 1000:03d}' in text
