"""Trace events as JSON Lines: one object in each line, formatted exactly like the json module's output."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arch.syndrome.esr import describe_esr
from arm_vcpu_cli.trace.event import (
    EVENT_TYPES,
    EXCEPTION,
    EXIT,
    NAME_KEYS,
    Hex,
    TracedDevice,
    TraceEnd,
    TraceEvent,
    TraceHeader,
)
from arm_vcpu_cli.trace.jsonlines import JsonLinesSink
from arm_vcpu_cli.trace.sinks import TraceSink

from .traces import END, EVENTS, HEADER

HVC = 0x5A00_0000


def event(**changes: object) -> TraceEvent:
    values: dict[str, object] = {
        "type": EXIT,
        "seq": 3,
        "vcpu": 0,
        "time": 1_234_567,
        "name": "Hypercall",
        "pc": 0x4008_0010,
        "symbol": "main+0x10",
        "source": "main.c:7",
        "caller": "start",
        "el": 1,
        "esr": HVC,
        "fields": (("nr", Hex(0x8400_0000)), ("width", 4), ("call", "PSCI_VERSION"), ("all", True)),
        "note": "",
    }
    return TraceEvent(**{**values, **changes})  # type: ignore[arg-type]


def written(*events: TraceEvent) -> str:
    stream = io.StringIO()
    sink: TraceSink = JsonLinesSink(stream)
    for each in events:
        sink.event(each)
    # What it holds back until the entry after an exit comes at the latest with the end.
    sink.end(END)
    return stream.getvalue().rpartition('{"type":"end"')[0]


def lines(*events: TraceEvent) -> list[dict[str, object]]:
    return [json.loads(line) for line in written(*events).splitlines()]


def test_the_first_line_says_what_was_traced() -> None:
    stream = io.StringIO()
    devices = (TracedDevice("uart0", "pl011", 0x900_0000, 0x1000, 33), TracedDevice("gic", "", 0x800_0000, 1 << 16))
    header = TraceHeader("armvcpu 1", "a.elf", "virt", "max", "instructions", True, 2, devices)
    JsonLinesSink(stream).header(header)
    assert json.loads(stream.getvalue()) == {
        "type": "trace",
        "schema": "armvcpu-trace",
        "version": 1,
        "tool": "armvcpu 1",
        "guest": "a.elf",
        "machine": "virt",
        "cpu": "max",
        "clock": "instructions",
        "timing": True,
        "vcpus": 2,
        "devices": [
            {"name": "uart0", "type": "pl011", "base": "0x9000000", "size": "0x1000", "intid": 33},
            {"name": "gic", "type": "", "base": "0x8000000", "size": "0x10000"},
        ],
    }


def test_an_object_has_everything() -> None:
    assert lines(event(note="a note")) == [
        {
            "type": "exit",
            "seq": 3,
            "vcpu": 0,
            "time_ns": 1_234_567,
            "reason": "Hypercall",
            "pc": "0x40080010",
            "symbol": "main+0x10",
            "source": "main.c:7",
            "caller": "start",
            "el": 1,
            "esr": "0x5a000000",
            "esr_text": describe_esr(HVC),
            "nr": "0x84000000",
            "width": 4,
            "call": "PSCI_VERSION",
            "all": True,
            "note": "a note",
        }
    ]


def test_what_there_is_not_is_left_out() -> None:
    (record,) = lines(event(symbol="", source="", caller="", el=None, esr=None, fields=()))
    assert list(record) == ["type", "seq", "vcpu", "time_ns", "reason", "pc"]


def test_fields_are_written_as_what_they_are_whatever_is_equal_to_them() -> None:
    kinds = [(("value", value),) for value in (1, True, Hex(1))]
    found = [record["value"] for record in lines(*(event(fields=fields) for fields in kinds * 3))]
    assert [repr(value) for value in found] == ["1", "True", "'0x1'"] * 3


def test_fields_that_nobody_has_any_more_are_not_taken_for_later_ones() -> None:
    stream, count = io.StringIO(), 3 * 4096
    sink = JsonLinesSink(stream)
    for n in range(count):
        sink.event(event(fields=(("n", n),)))
    assert [json.loads(line)["n"] for line in stream.getvalue().splitlines()] == list(range(count))


@pytest.mark.parametrize(
    ("type_", "name", "expected"),
    [
        ("exit", "Halt", {"reason": "Halt"}),
        ("exception", "svc", {"exception": "svc"}),
        ("irq", "raised", {"action": "raised"}),
        ("state", "Ready", {"state": "Ready"}),
        ("entry", "", {}),
        ("console", "", {}),
        ("access", "", {}),
    ],
)
@pytest.mark.parametrize("pc", [None, 0x1000])
def test_the_name_of_an_event_has_the_key_of_its_type(
    type_: str, name: str, expected: dict[str, str], pc: int | None
) -> None:
    place = {} if pc is None else {"pc": "0x1000"}
    (record,) = lines(TraceEvent(type_, 1, 0, 2, name, pc))
    assert record == {"type": type_, "seq": 1, "vcpu": 0, "time_ns": 2, **expected, **place}


texts = st.text() | st.sampled_from(["", "main+0x10", 'quote " and \\ and \n', "\N{SNOWMAN}\ud800", "\x1b[31m\x7f"])
numbers = st.integers(0, 2**64 - 1)
values = st.builds(Hex, numbers) | numbers | st.booleans() | texts
events = st.builds(
    TraceEvent,
    type=st.sampled_from(EVENT_TYPES),
    seq=numbers,
    vcpu=st.integers(0, 7),
    time=numbers,
    name=texts,
    pc=st.none() | numbers,
    symbol=texts,
    source=texts,
    caller=texts,
    el=st.none() | st.integers(0, 3),
    esr=st.none() | numbers,
    fields=st.dictionaries(texts.map("field {}".format), values).map(lambda found: tuple(found.items())),
    note=texts,
)


def record_of(told: TraceEvent) -> dict[str, object]:
    """What a line says, by the definition of the schema."""
    record: dict[str, object] = {"type": told.type, "seq": told.seq, "vcpu": told.vcpu, "time_ns": told.time}
    if told.type in NAME_KEYS and (told.name or told.pc is not None):
        record[NAME_KEYS[told.type]] = told.name
    if told.pc is not None:
        record["pc"] = hex(told.pc)
        names = {"symbol": told.symbol, "source": told.source, "caller": told.caller}
        record |= {key: text for key, text in names.items() if text}
        if told.el is not None:
            record["el"] = told.el
        if told.esr is not None and told.type in (EXIT, EXCEPTION):
            record |= {"esr": f"{told.esr:#010x}", "esr_text": describe_esr(told.esr)}
    record |= {name: hex(value) if isinstance(value, Hex) else value for name, value in told.fields}
    if told.note:
        record["note"] = told.note
    return record


@given(st.lists(events, max_size=4))
def test_a_line_is_what_the_json_module_writes(many: list[TraceEvent]) -> None:
    many = [each if each.type in NAME_KEYS else each._replace(name="") for each in many]
    expected = "".join(json.dumps(record_of(each), separators=(",", ":")) + "\n" for each in many)
    assert written(*many) == expected


def test_every_type_of_event_is_what_the_json_module_writes() -> None:
    assert {each.type for each in EVENTS} == set(EVENT_TYPES)
    expected = "".join(json.dumps(record_of(each), separators=(",", ":")) + "\n" for each in EVENTS)
    assert written(*EVENTS) == expected


def test_one_and_true_are_told_apart_however_often_they_come() -> None:
    told = lines(*(event(fields=(("value", value),)) for value in (True, 1, False, 0, Hex(1), True, "1")))
    assert [repr(line["value"]) for line in told] == ["True", "1", "False", "0", "'0x1'", "True", "'1'"]


def test_every_repetition_is_kept() -> None:
    assert [line["seq"] for line in lines(*(event(seq=seq) for seq in range(100)))] == list(range(100))


def test_an_exit_waits_for_its_entry_and_is_not_lost_without_one() -> None:
    stream = io.StringIO()
    sink = JsonLinesSink(stream)
    sink.event(TraceEvent("entry", 0, 0, 0, "", 0x1000))
    before = stream.getvalue()
    sink.event(event(seq=1))
    assert stream.getvalue() == before
    sink.event(TraceEvent("console", 1, 0, 0, "", fields=(("text", "x"),)))
    assert stream.getvalue().count("\n") == 3
    sink.event(event(seq=2))
    sink.event(event(seq=3))
    sink.end(END)
    sink.summary({"Hypercall": 3}, 3)
    records = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [record["type"] for record in records] == ["entry", "exit", "console", "exit", "exit", "end", "summary"]


def test_without_entries_an_exit_is_written_at_once() -> None:
    stream = io.StringIO()
    JsonLinesSink(stream).event(event())
    assert stream.getvalue().endswith("}\n")


def test_a_whole_trace_has_a_beginning_an_end_and_the_counts() -> None:
    stream = io.StringIO()
    sink: TraceSink = JsonLinesSink(stream)
    sink.header(HEADER)
    for each in EVENTS:
        sink.event(each)
    sink.end(TraceEnd("fault", 122, "it broke", 7, 1_500_000_000))
    sink.summary({"Halt": 2, "MmioRead": 10}, 12)
    first, *_, end, summary = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["type"], first["guest"]) == ("trace", HEADER.guest)
    assert end == {
        "type": "end",
        "ending": "fault",
        "status": 122,
        "message": "it broke",
        "exits": 7,
        "time_ns": 1_500_000_000,
    }
    assert summary == {"type": "summary", "exits": {"Halt": 2, "MmioRead": 10}, "total": 12}
    assert all(line == json.dumps(json.loads(line), separators=(",", ":")) for line in stream.getvalue().splitlines())


def test_hex_prints_as_it_is_written_in_manuals() -> None:
    assert [str(Hex(value)) for value in (0, 0x1F, 2**64 - 1)] == ["0x0", "0x1f", "0xffffffffffffffff"]
