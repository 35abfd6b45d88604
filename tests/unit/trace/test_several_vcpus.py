"""Every format with several vCPUs: the owner of an event, nested tracks, private interrupts."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as pb

from arm_vcpu_cli.trace.chrome import ChromeSink
from arm_vcpu_cli.trace.digest import digest
from arm_vcpu_cli.trace.event import Field, Hex, TraceEvent
from arm_vcpu_cli.trace.event_schema import load_schema
from arm_vcpu_cli.trace.ftrace import FtraceSink
from arm_vcpu_cli.trace.htmlpage import render
from arm_vcpu_cli.trace.jsonlines import JsonLinesSink
from arm_vcpu_cli.trace.perfetto import PerfettoSink
from arm_vcpu_cli.trace.reader import TraceReader
from arm_vcpu_cli.trace.sinks import TraceSink
from arm_vcpu_cli.trace.text import TextSink
from arm_vcpu_cli.trace.time_order import TimeOrder

from .jsonlines import event as record
from .jsonlines import exit_, trace
from .traces import COUNTS, END, HEADER, SGI1R_WRITE, WFI, event

VCPUS = 12
WINDOW = 1_300_000


def life(vcpu: int, start: int) -> list[TraceEvent]:
    """A vCPU that waits, is sent an SGI, takes it, and sends one to all others."""
    sgi = ("intid", 1), ("source_name", "SGI")
    ppi = ("intid", 1056), ("source_name", "PPI")
    to_all: tuple[Field, ...] = (
        ("ipi", "SGI 1 to all others"),
        ("target_cpu", Hex(0)),
        ("target_list", Hex(0)),
        ("send_to_all", True),
        ("send_to_self", False),
        ("vector", 1),
    )
    own = [
        event("state", "Running", start, ("from", "Ready")),
        event("entry", "", start),
        event("exit", "Halt", start + 100, esr=WFI),
        event("irq", "raised", start + 5_000, *sgi),
        event("irq", "raised", start + 5_000, *ppi),
        event("entry", "", start + 5_000, ("virq", "irq")),
        event("irq", "acknowledged", start + 5_100, *sgi, ("latency_ns", 100)),
        event("irq", "ended", start + 5_200, *sgi, ("latency_ns", 100)),
        event("exit", "SendIPI", start + 6_000, *to_all, esr=SGI1R_WRITE),
    ]
    return [each._replace(vcpu=vcpu) for each in own]


EVENTS = [each for vcpu in range(VCPUS) for each in life(vcpu, (VCPUS - vcpu) * 100_000)]
"""One vCPU after the other, each earlier than the one before."""


def play(sink: TraceSink) -> None:
    sink.header(replace(HEADER, vcpus=VCPUS))
    for each in EVENTS:
        sink.event(each)
    sink.end(END)
    sink.summary(COUNTS, 6)


def written(make: Callable[[Any], TraceSink]) -> str:
    stream = io.StringIO()
    play(make(stream))
    return stream.getvalue()


def test_text_has_columns_whatever_the_number_of_a_vcpu() -> None:
    head, *lines = written(TextSink).splitlines()
    assert f"{VCPUS} x cortex-a72" in head
    halts = [line for line in lines if " Halt " in line]
    assert [line.split()[1] for line in halts] == [f"cpu{vcpu}" for vcpu in range(VCPUS)]
    assert len({line.index(" Halt ") for line in halts}) == 1
    sent = [line for line in lines if " SendIPI " in line]
    assert len(sent) == VCPUS
    assert all(" SGI 1 to all others target_cpu=0x0 target_list=0x0 | ESR_EL2" in line for line in sent)


def test_text_of_one_vcpu_has_no_wider_column() -> None:
    stream = io.StringIO()
    sink = TextSink(stream)
    sink.header(HEADER)
    sink.event(EVENTS[0])
    assert re.match(r"# .* on virt, cortex-a72, clock: .*\n +1 cpu0 ", stream.getvalue())


def test_json_lines_are_valid_and_are_read(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(written(JsonLinesSink))
    validator = jsonschema.Draft202012Validator(load_schema())
    for line in path.read_text().splitlines():
        validator.validate(json.loads(line))
    with TraceReader(path) as reader:
        assert reader.header.vcpus == VCPUS
        assert [each["vcpu"] for each in reader.records()] == [each.vcpu for each in EVENTS]


def test_ftrace_is_in_the_order_of_time_with_the_cpu_of_each() -> None:
    text = written(lambda stream: TimeOrder(FtraceSink(stream), WINDOW))
    found = re.findall(r"^ *kvm-vcpu-(\d+)-(\d+) +\[(\d{3})\] \.{5} +(\d+\.\d{9}): (\w+):", text, re.MULTILINE)
    assert len(found) == len([line for line in text.splitlines() if not line.startswith("#")])
    assert {(int(vcpu), int(pid) - 1, int(cpu)) for vcpu, pid, cpu, *_ in found} == {(n, n, n) for n in range(VCPUS)}
    times = [float(each[3]) for each in found]
    assert times == sorted(times)
    for kind, count in (("kvm_exit", 2), ("kvm_entry", 2)):
        assert Counter(int(each[0]) for each in found if each[4] == kind) == dict.fromkeys(range(VCPUS), count)


def assert_nests(records: Sequence[tuple[object, str, int]]) -> None:
    """Of (track, begin or end or other, time): each track in order, each slice ended."""
    times: dict[object, int] = {}
    depth: Counter[object] = Counter()
    for track, what, time in records:
        assert time >= times.get(track, 0)
        times[track] = time
        depth[track] += {"begin": 1, "end": -1}.get(what, 0)
        assert depth[track] in (0, 1)
    assert not any(depth.values())


def test_perfetto_has_a_track_for_each_vcpu_and_each_of_its_own_interrupts() -> None:
    stream = io.BytesIO()
    play(TimeOrder(PerfettoSink(stream), WINDOW))
    found = pb.Trace()
    found.ParseFromString(stream.getvalue())
    tracks, records, parents, threads = {}, [], {}, {}
    kinds = {pb.TrackEvent.TYPE_SLICE_BEGIN: "begin", pb.TrackEvent.TYPE_SLICE_END: "end"}
    for packet in found.packet:
        if packet.HasField("track_descriptor"):
            told = packet.track_descriptor
            name = told.thread.thread_name or told.name
            tracks[told.uuid], parents[name] = name, told.parent_uuid
            if told.HasField("thread"):
                threads[name] = told.thread.tid
        elif packet.HasField("track_event"):
            shown = packet.track_event
            records.append((shown.track_uuid, kinds.get(shown.type, ""), packet.timestamp))
    assert_nests(records)
    assert list(threads) == [f"vCPU {vcpu}" for vcpu in range(VCPUS)]
    assert len(set(threads.values())) == VCPUS
    for vcpu in range(VCPUS):
        assert tracks[parents[f"vCPU {vcpu} state"]] == f"vCPU {vcpu}"
        assert {f"INTID 1 SGI of vCPU {vcpu}", f"INTID 1056 PPI of vCPU {vcpu}"} <= set(tracks.values())


def test_chrome_has_a_thread_for_each_vcpu() -> None:
    records = json.loads(written(lambda stream: TimeOrder(ChromeSink(stream), WINDOW)))
    named = [each for each in records if each["ph"] == "M" and each["name"] == "thread_name"]
    names = {(each["pid"], each["tid"]): each["args"]["name"] for each in named}
    slices = [((each["pid"], each["tid"]), {"B": "begin", "E": "end"}.get(each["ph"], ""), round(each["ts"] * 1000))
              for each in records if each["ph"] in "BEi"]  # fmt: skip
    assert_nests(slices)
    exits = Counter(names[each["pid"], each["tid"]] for each in records if "seq" in each.get("args", {}))
    assert exits == {f"vCPU {vcpu}": 2 for vcpu in range(VCPUS)}


def test_the_report_draws_all_vcpus_a_machine_can_have(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    events = [
        each
        for vcpu in range(64)
        for each in (
            record("state", 0, (64 - vcpu) * 1000, vcpu=vcpu, state="Running", **{"from": "Ready"}),
            exit_("Halt", 1, (64 - vcpu) * 1000 + 100, vcpu=vcpu),
            record("irq", 1, (64 - vcpu) * 1000 + 300, vcpu=vcpu, action="raised", intid=1, source_name="SGI"),
            record("entry", 1, (64 - vcpu) * 1000 + 300, vcpu=vcpu, pc="0x1"),
            exit_("SendIPI", 2, (64 - vcpu) * 1000 + 400, vcpu=vcpu, ipi=f"SGI 1 to cpu{vcpu ^ 1}"),
        )
    ]
    with TraceReader(trace(path, events, vcpus=64)) as reader:
        found = digest(reader)
    assert sorted(found.vcpus) == list(range(64))
    assert {sum(bins.rows["WFI"]) for bins in found.vcpus.values()} == {200}
    page = render(found)
    drawn = json.loads(re.findall(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)[0])
    assert [each["vcpu"] for each in drawn["vcpus"]] == list(range(64))
    for caption in ("Exits by vCPU", "Inter-processor interrupts", "Interrupts of each vCPU"):
        assert f"<caption>{caption}" in page


def test_the_report_of_one_vcpu_has_no_tables_by_vcpu(tmp_path: Path) -> None:
    with TraceReader(trace(tmp_path / "trace.jsonl", [exit_("Halt", 1, 10)])) as reader:
        page = render(digest(reader))
    assert "by vCPU" not in page
    assert "of each vCPU" not in page


def test_the_order_of_the_other_formats_is_that_of_what_happens() -> None:
    seen = [json.loads(line)["vcpu"] for line in written(JsonLinesSink).splitlines()[1:-2]]
    assert all(before <= after for before, after in pairwise(seen))


@pytest.mark.parametrize("vcpu", [0, 1])
def test_an_event_that_repeats_on_another_vcpu_is_told(vcpu: int) -> None:
    stream = io.StringIO()
    sink = TextSink(stream)
    sink.event(event("exit", "Halt", 1, esr=WFI))
    sink.event(event("exit", "Halt", 2, esr=WFI)._replace(vcpu=vcpu))
    sink.end(END)
    assert ("the same once more" in stream.getvalue()) is (vcpu == 0)
