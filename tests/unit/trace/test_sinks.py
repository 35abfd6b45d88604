"""Trace events as text and as JSON Lines."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.trace.event import Hex, TraceEnd, TraceEvent
from arm_vcpu_cli.trace.sinks import JsonLinesSink, TextSink, TraceSink

HVC = 0x5A00_0000


def event(**changes: object) -> TraceEvent:
    values: dict[str, object] = {
        "seq": 3,
        "vcpu": 0,
        "time": 1_234_567,
        "reason": "Hypercall",
        "pc": 0x4008_0010,
        "symbol": "main+0x10",
        "el": 1,
        "esr": HVC,
        "fields": (("nr", Hex(0x8400_0000)), ("width", 4), ("call", "PSCI_VERSION"), ("all", True)),
        "note": "",
    }
    return TraceEvent(**{**values, **changes})  # type: ignore[arg-type]


def text(*events: TraceEvent) -> str:
    stream = io.StringIO()
    sink: TraceSink = TextSink(stream)
    for each in events:
        sink.event(each)
    return stream.getvalue()


def json_lines(*events: TraceEvent) -> list[dict[str, object]]:
    stream = io.StringIO()
    sink: TraceSink = JsonLinesSink(stream)
    for each in events:
        sink.event(each)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_text_line_has_everything_in_order() -> None:
    line = text(event(note="a note"))
    assert line.count("\n") == 1
    places = [
        line.index(part)
        for part in (
            "3 cpu0",
            "0.001235",
            "Hypercall",
            "EL1",
            "0x40080010 <main+0x10>",
            "nr=0x84000000 width=4 call=PSCI_VERSION all=True",
            "[a note]",
            "| ESR_EL2=0x5a000000 EC=0x16",
        )
    ]
    assert places == sorted(places)


def test_text_leaves_out_what_there_is_not() -> None:
    line = text(event(symbol="", esr=None, fields=()))
    assert "<" not in line
    assert "ESR" not in line
    assert "[" not in line
    assert line.rstrip("\n").endswith("0x40080010".ljust(32))


def test_a_json_object_has_everything() -> None:
    assert json_lines(event(note="a note")) == [
        {
            "type": "exit",
            "seq": 3,
            "vcpu": 0,
            "time_ns": 1_234_567,
            "reason": "Hypercall",
            "pc": "0x40080010",
            "symbol": "main+0x10",
            "el": 1,
            "esr": "0x5a000000",
            "esr_text": json_lines(event())[0]["esr_text"],
            "nr": "0x84000000",
            "width": 4,
            "call": "PSCI_VERSION",
            "all": True,
            "note": "a note",
        }
    ]
    assert str(json_lines(event())[0]["esr_text"]).startswith("EC=0x16")


def test_json_leaves_out_what_there_is_not_but_the_symbol() -> None:
    (record,) = json_lines(event(symbol="", esr=None, fields=()))
    assert record["symbol"] is None
    assert not {"esr", "esr_text", "note"} & set(record)


@given(name=st.text(), value=st.integers(0, 2**64 - 1), said=st.text())
def test_any_text_stays_on_its_line_of_json(name: str, value: int, said: str) -> None:
    stream = io.StringIO()
    JsonLinesSink(stream).event(event(symbol=name, pc=value, fields=(("value", Hex(value)), ("description", said))))
    assert stream.getvalue().count("\n") == 1
    record = json.loads(stream.getvalue())
    assert (record["symbol"], record["description"]) == (name or None, said)
    assert int(record["value"], 16) == int(record["pc"], 16) == value


@pytest.mark.parametrize("sink", [TextSink, JsonLinesSink])
def test_the_summary_is_the_end(sink: type[TextSink] | type[JsonLinesSink]) -> None:
    stream = io.StringIO()
    sink(stream).summary({"Halt": 2, "MmioRead": 10, "CpuUp": 2}, 14)
    if sink is JsonLinesSink:
        assert json.loads(stream.getvalue()) == {
            "type": "summary",
            "exits": {"Halt": 2, "MmioRead": 10, "CpuUp": 2},
            "total": 14,
        }
        return
    rows = [line.split() for line in stream.getvalue().splitlines() if line]
    assert rows == [["exits", "reason"], ["10", "MmioRead"], ["2", "CpuUp"], ["2", "Halt"], ["14", "total"]]


END = TraceEnd("fault", 122, "it broke", 7, 1_500_000_000)


def test_the_end_as_text() -> None:
    stream = io.StringIO()
    TextSink(stream).end(END)
    for part in ("it broke", "status 122", "1.500000 s"):
        assert part in stream.getvalue()


def test_the_end_as_json() -> None:
    stream = io.StringIO()
    JsonLinesSink(stream).end(END)
    assert json.loads(stream.getvalue()) == {
        "type": "end",
        "ending": "fault",
        "status": 122,
        "message": "it broke",
        "exits": 7,
        "time_ns": 1_500_000_000,
    }


def test_hex_prints_as_it_is_written_in_manuals() -> None:
    assert [str(Hex(value)) for value in (0, 0x1F, 2**64 - 1)] == ["0x0", "0x1f", "0xffffffffffffffff"]
