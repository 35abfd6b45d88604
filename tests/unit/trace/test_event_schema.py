"""The published schema of traces: it accepts our sinks' output, and refuses anything that is not a trace."""

from __future__ import annotations

import io
import json
from typing import Any

import jsonschema
import pytest

from arm_vcpu_cli.axvcpu.exit import EXIT_REASONS
from arm_vcpu_cli.trace.event import EVENT_TYPES, SCHEMA, SCHEMA_VERSION
from arm_vcpu_cli.trace.event_schema import load_schema, property_names
from arm_vcpu_cli.trace.jsonlines import JsonLinesSink

from .jsonlines import END, HEADER, SUMMARY, event, exit_, read, write
from .traces import EVENTS, play

VALIDATOR = jsonschema.Draft202012Validator(load_schema())


def problems(record: dict[str, Any]) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(record)]


def test_it_is_a_schema_of_this_version() -> None:
    schema = load_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    header = schema["$defs"]["trace"]["properties"]
    assert header["schema"]["const"] == SCHEMA
    assert header["version"]["const"] == SCHEMA_VERSION


def test_it_has_every_type_and_every_reason() -> None:
    schema = load_schema()
    types = {case["if"]["properties"]["type"]["const"] for case in schema["allOf"]}
    assert types == {*EVENT_TYPES, "trace", "end", "summary"}
    reasons = {case["if"]["properties"]["reason"]["const"] for case in schema["$defs"]["exit"]["allOf"] if "if" in case}
    assert reasons == {reason.__name__ for reason in EXIT_REASONS}


def test_it_takes_what_our_sink_writes_and_knows_all_of_it() -> None:
    stream = io.StringIO()
    play(JsonLinesSink(stream), EVENTS)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert {line["type"] for line in lines} == {*EVENT_TYPES, "trace", "end", "summary"}
    for line in lines:
        assert problems(line) == [], line
        if line["type"] in EVENT_TYPES:
            assert set(line) - {"type"} <= set(property_names())


@pytest.mark.parametrize(
    "record",
    [
        dict(HEADER), dict(END), dict(SUMMARY), write("A", host_ns=5), read(0x90), exit_("Halt"),
        exit_("Halt", conduit="hvc", call="CPU_SUSPEND", entry_point="0x8000", arg="0x9"),
        exit_("SystemDown", conduit="smc", action="suspend", status=0, entry_point="0x8000", arg="0x9"),
        exit_("Teleport", to="0x1"), event("weather", cloudy=True), write("A", colour="red"),
        event("entry", pc="0x1", el=0),
    ],
    ids=lambda record: str(record.get("reason", record["type"])),
)  # fmt: skip
def test_it_takes_what_a_version_1_reader_has_to_take(record: dict[str, Any]) -> None:
    assert problems(record) == []


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"type": 1},
        {**HEADER, "version": 2},
        {**HEADER, "devices": [{"name": "uart0"}]},
        {**END, "status": 256},
        {**SUMMARY, "exits": {"Halt": -1}},
        exit_("Halt", pc=5),
        exit_("Halt", pc="0xG"),
        exit_("Halt", host_ns=-1),
        exit_("Halt", seq=1 << 64),
        exit_("Halt", extra={"nested": 1}),
        exit_("MmioWrite"),
        exit_("Hypercall", conduit="bus", nr="0x1", call="F"),
        {key: value for key, value in exit_("Halt").items() if key != "seq"},
        event("irq", action="lost", intid=3),
        event("entry", pc="0x1", el=0, virq="nmi"),
        event("state", state="Running"),
        event("access", device="d", offset="0x0", width=4, value="0x1", data="0x1"),
    ],
    ids=str,
)
def test_it_refuses_what_is_no_line_of_a_trace(record: dict[str, Any]) -> None:
    assert problems(record) != []
