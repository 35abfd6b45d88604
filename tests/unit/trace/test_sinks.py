"""Trace events as text and as JSON Lines."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arch.esr import describe_esr
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


texts = st.text() | st.sampled_from(["", "main+0x10", 'quote " and \\ and \n', "\N{SNOWMAN}\ud800"])
numbers = st.integers(0, 2**64 - 1)
values = st.builds(Hex, numbers) | numbers | st.booleans() | texts


@given(
    changes=st.fixed_dictionaries(
        {
            "seq": numbers,
            "time": numbers,
            "reason": texts,
            "pc": numbers,
            "symbol": texts,
            "el": st.integers(0, 3),
            "esr": st.none() | numbers,
            "fields": st.dictionaries(texts.map("field {}".format), values).map(lambda found: tuple(found.items())),
            "note": texts,
        }
    ),
)
def test_a_line_is_what_the_json_module_writes(changes: dict[str, object]) -> None:
    told = event(**changes)
    record: dict[str, object] = {
        "type": "exit",
        "seq": told.seq,
        "vcpu": told.vcpu,
        "time_ns": told.time,
        "reason": told.reason,
        "pc": hex(told.pc),
        "symbol": told.symbol or None,
        "el": told.el,
    }
    if told.esr is not None:
        record |= {"esr": f"{told.esr:#010x}", "esr_text": describe_esr(told.esr)}
    record |= {name: hex(value) if isinstance(value, Hex) else value for name, value in told.fields}
    if told.note:
        record["note"] = told.note
    stream = io.StringIO()
    JsonLinesSink(stream).event(told)
    assert stream.getvalue() == json.dumps(record, separators=(",", ":")) + "\n"


def test_one_and_true_are_told_apart_however_often_they_come() -> None:
    lines = json_lines(*(event(fields=(("value", value),)) for value in (True, 1, False, 0, Hex(1), True, "1")))
    assert [repr(line["value"]) for line in lines] == ["True", "1", "False", "0", "'0x1'", "True", "'1'"]


# Repetitions ---------------------------------------------------------------------------------------------------


def repeated(count: int, first: int = 1, **changes: object) -> list[TraceEvent]:
    return [event(seq=first + n, time=1000 * n, **changes) for n in range(count)]


def test_text_tells_what_comes_again_and_again_once_and_counts_the_rest() -> None:
    lines = text(*repeated(1000), event(seq=1001, reason="Halt")).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("      1 cpu0 ")
    assert lines[1].strip() == "... the same 999 times more"
    assert lines[2].startswith("   1001 cpu0 ")


def test_a_single_repetition_is_told_too() -> None:
    assert text(*repeated(2), event(seq=3, pc=0)).splitlines()[1].strip() == "... the same once more"


@pytest.mark.parametrize(
    "change",
    [
        {"vcpu": 1},
        {"reason": "Halt"},
        {"pc": 4},
        {"el": 0},
        {"esr": None},
        {"fields": (("nr", Hex(1)),)},
        {"note": "not completed"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_differs_in_anything_but_number_and_time_is_no_repetition(change: dict[str, object]) -> None:
    assert len(text(event(), event(**change), event(), event(**change)).splitlines()) == 4


def test_each_run_of_repetitions_is_counted_by_itself() -> None:
    said = text(*repeated(3), *repeated(4, reason="Halt"), *repeated(1)).splitlines()
    assert [line.strip() for line in said if "..." in line] == [
        "... the same 2 times more",
        "... the same 3 times more",
    ]
    assert len(said) == 5


@pytest.mark.parametrize("ending", ["end", "summary"])
def test_a_repetition_that_lasts_to_the_end_is_told_before_it(ending: str) -> None:
    stream = io.StringIO()
    sink = TextSink(stream)
    for each in repeated(5):
        sink.event(each)
    assert "same" not in stream.getvalue()
    if ending == "end":
        sink.end(END)
    sink.summary({"Hypercall": 5}, 5)
    assert stream.getvalue().splitlines()[1].strip() == "... the same 4 times more"
    assert stream.getvalue().count("the same") == 1


def test_json_keeps_every_repetition() -> None:
    assert [line["seq"] for line in json_lines(*repeated(100))] == list(range(1, 101))


# The end -------------------------------------------------------------------------------------------------------


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
