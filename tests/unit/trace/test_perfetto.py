"""Perfetto traces, read back with Perfetto's own message classes."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import pytest
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import given
from hypothesis import strategies as st
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as pb

from arm_vcpu_cli.trace import protobuf
from arm_vcpu_cli.trace.event import Hex, TraceEvent
from arm_vcpu_cli.trace.perfetto import PerfettoSink

from .traces import EVENTS, HEADER, event, play

BEGIN, END, INSTANT, COUNTER = (
    pb.TrackEvent.TYPE_SLICE_BEGIN,
    pb.TrackEvent.TYPE_SLICE_END,
    pb.TrackEvent.TYPE_INSTANT,
    pb.TrackEvent.TYPE_COUNTER,
)


@dataclass
class Shown:
    """An event as Perfetto resolves it."""

    time: int
    type: int
    name: str
    args: dict[str, object]
    value: int = 0


@dataclass
class Row:
    """A track."""

    name: str
    parent: int
    events: list[Shown] = field(default_factory=list)

    def slices(self) -> list[tuple[int, int, str]]:
        """(begin, end, name), matched as a stack."""
        done, open_ = [], []
        for each in self.events:
            if each.type == BEGIN:
                open_.append(each)
            elif each.type == END:
                begun = open_.pop()
                done.append((begun.time, each.time, begun.name))
        assert not open_
        return done

    def instants(self) -> list[str]:
        return [each.name for each in self.events if each.type == INSTANT]


def encoded(*events: TraceEvent) -> bytes:
    stream = io.BytesIO()
    play(PerfettoSink(stream), events or EVENTS)
    return stream.getvalue()


def resolve(data: bytes) -> dict[str, Row]:
    """What an importer makes of a trace: tracks by name, with their events."""
    trace = pb.Trace()
    trace.ParseFromString(data)
    rows: dict[int, Row] = {}
    names: dict[str, dict[int, str]] = {"event": {}, "key": {}, "string": {}}
    cleared = False
    for packet in trace.packet:
        assert not len(UnknownFieldSet(packet))
        assert not len(UnknownFieldSet(packet.track_event))
        assert packet.trusted_packet_sequence_id == 1
        cleared |= bool(packet.sequence_flags & pb.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED)
        for table, entries in (
            ("event", packet.interned_data.event_names),
            ("key", packet.interned_data.debug_annotation_names),
        ):
            names[table].update((entry.iid, entry.name) for entry in entries)
        strings = packet.interned_data.debug_annotation_string_values
        names["string"].update((entry.iid, entry.str.decode()) for entry in strings)
        if packet.HasField("track_descriptor"):
            told = packet.track_descriptor
            assert told.uuid not in rows
            assert not told.parent_uuid or told.parent_uuid in rows
            name = told.name or told.thread.thread_name or told.process.process_name
            rows[told.uuid] = Row(name, told.parent_uuid)
        if packet.HasField("track_event"):
            assert cleared
            assert packet.sequence_flags & pb.TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
            shown = packet.track_event
            args = dict(_annotation(each, names) for each in shown.debug_annotations)
            name = shown.name or (names["event"][shown.name_iid] if shown.name_iid else "")
            rows[shown.track_uuid].events.append(Shown(packet.timestamp, shown.type, name, args, shown.counter_value))
    assert len({row.name for row in rows.values()}) == len(rows)
    return {row.name: row for row in rows.values()}


def _annotation(annotation: Any, names: dict[str, dict[int, str]]) -> tuple[str, object]:
    key = annotation.name or names["key"][annotation.name_iid]
    kind = annotation.WhichOneof("value")
    value = getattr(annotation, kind)
    return key, names["string"][value] if kind == "string_value_iid" else (kind, value)


@pytest.fixture(scope="module")
def tracks() -> dict[str, Row]:
    return resolve(encoded())


def test_there_is_a_track_for_each_thing(tracks: dict[str, Row]) -> None:
    assert {f"guest {HEADER.guest}", "vCPU 0", "vCPU 0 state", "uart0", "rtc", "console", "run"} <= tracks.keys()
    assert {"INTID 27 virtual timer", "INTID 33 uart0", "MmioWrite exits per ms"} <= tracks.keys()


def test_exits_are_instants_by_reason_with_what_is_known(tracks: dict[str, Row]) -> None:
    exits = [each for each in tracks["vCPU 0"].events if "seq" in each.args]
    assert [(each.name, each.time) for each in exits] == [
        ("MmioWrite", 100),
        ("MmioRead", 1_500_000),
        ("WFI", 2_000_000),
        ("SysRegWrite", 4_000_000),
        ("Hypercall", 4_500_000),
        ("SystemDown", 4_999_999),
    ]
    args = exits[0].args
    assert args["seq"] == ("int_value", 1)
    assert args["pc"] == ("pointer_value", 0x4008_0154)
    assert args["va"] == ("pointer_value", 0xFFFF_0000_0900_0000)
    assert args["register"] == "PL011.UARTDR"
    assert args["host_ns"] == ("int_value", 12_000)
    assert str(args["esr_text"]).startswith("EC=0x24")


def test_wfi_lasts_until_the_vcpu_goes_on(tracks: dict[str, Row]) -> None:
    assert tracks["vCPU 0"].slices() == [(2_000_000, 3_000_000, "WFI")]


def test_an_interrupt_has_the_states_of_the_gic(tracks: dict[str, Row]) -> None:
    assert tracks["INTID 27 virtual timer"].slices() == [
        (3_000_000, 3_000_100, "pending"),
        (3_000_100, 3_000_200, "active"),
        (3_000_200, 3_000_300, "active and pending"),
        (3_000_300, 5_000_000, "pending"),
    ]
    assert tracks["INTID 27 virtual timer"].instants() == ["injected"]


def test_devices_show_what_was_read_and_written(tracks: dict[str, Row]) -> None:
    assert tracks["uart0"].instants() == ["UARTDR <- 'A'", "UARTFR -> 0x90", "UARTDR <- 0x42"]


def test_the_rest_is_there(tracks: dict[str, Row]) -> None:
    assert tracks["console"].instants() == ['A </script><b>&"']
    assert tracks["vCPU 0 state"].slices() == [(0, 5_000_000, "Running")]
    assert tracks["run"].instants() == ["powered off"]
    assert tracks[f"guest {HEADER.guest}"].events[0].args["cpu"] == "cortex-a72"
    counter = tracks["host time in exits, vCPU 0"].events
    assert [(each.time, each.value) for each in counter][-1] == (4_500_000, 39_000)


def test_exits_are_counted_by_the_millisecond() -> None:
    writes = tuple(event("exit", "MmioWrite", time) for time in (10, 20, 1_000_000, 4_000_000))
    counter = resolve(encoded(*writes))["MmioWrite exits per ms"].events
    assert [(each.time, each.value) for each in counter] == [
        (0, 2),
        (1_000_000, 1),
        (2_000_000, 0),
        (4_000_000, 1),
    ]


@pytest.mark.parametrize("events", [1, 7, 12, len(EVENTS)])
def test_an_interrupted_trace_is_one(events: int) -> None:
    stream = io.BytesIO()
    sink = PerfettoSink(stream)
    sink.header(HEADER)
    for each in EVENTS[:events]:
        sink.event(each)
    trace = pb.Trace()
    trace.ParseFromString(stream.getvalue())
    assert len(trace.packet) > events


def test_each_event_is_one_write() -> None:
    written: list[bytes] = []

    class Stream(io.BytesIO):
        def write(self, data: Any, /) -> int:
            written.append(bytes(data))
            return len(data)

    sink = PerfettoSink(Stream())
    sink.header(HEADER)
    for each in EVENTS:
        before = len(written)
        sink.event(each)
        assert len(written) == before + 1
        pb.Trace().ParseFromString(written[-1])


@given(st.integers(-(2**63), 2**64 - 1))
def test_a_varint_is_that_of_the_library(value: int) -> None:
    message = pb.DebugAnnotation()
    field_number = pb.DebugAnnotation.DESCRIPTOR.fields_by_name["uint_value"].number
    message.ParseFromString(protobuf.integer(field_number, value))
    assert message.uint_value == value % 2**64


@given(
    st.text(),
    st.integers(-(2**63), 2**63 - 1) | st.builds(Hex, st.integers(0, 2**64 - 1)) | st.booleans() | st.text(),
)
def test_any_argument_comes_back(name: str, value: int | str) -> None:
    shown = resolve(encoded(event("exit", "Nothing", 5, (f"field {name}", value))))["vCPU 0"].events[0]
    told = shown.args[f"field {name}"]
    if isinstance(value, str):
        assert told == value
    else:
        kind = {Hex: "pointer_value", bool: "bool_value", int: "int_value"}[type(value)]
        assert told == (kind, value)


def test_equal_values_of_different_kinds_stay_apart() -> None:
    shown = resolve(encoded(event("exit", "Nothing", 5, ("a", 1), ("b", True), ("c", Hex(1)))))["vCPU 0"].events[0]
    fields = [event("exit", "Nothing", 6, ("x", value)) for value in (1, True, Hex(1))]
    kinds = [each.args["x"] for each in resolve(encoded(*fields))["vCPU 0"].events]
    assert kinds == [("int_value", 1), ("bool_value", True), ("pointer_value", 1)]
    assert shown.args["b"] == ("bool_value", True)
