"""``armvcpu trace`` in the formats of other tools, of a real guest."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as pb

from tests.integration.command import SAMPLES, armvcpu

GUEST = SAMPLES / "exits" / "exits.elf"
MACHINE = SAMPLES / "exits" / "exits.toml"


def traced(path: Path, format_: str) -> Path:
    done = armvcpu("trace", "--format", format_, "-o", path, "-m", MACHINE, GUEST)
    assert done.status == 0, done.err
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    return path


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> Counter[str]:
    """Exits by reason, from JSON Lines."""
    path = traced(tmp_path_factory.mktemp("jsonl") / "trace.jsonl.gz", "jsonl")
    with gzip.open(path, "rt") as stream:
        records = [json.loads(line) for line in stream]
    return Counter(each["reason"] for each in records if each["type"] == "exit")


def test_perfetto_has_every_exit_on_the_track_of_its_vcpu(tmp_path: Path, counts: Counter[str]) -> None:
    trace = pb.Trace()
    trace.ParseFromString(traced(tmp_path / "trace.pftrace", "perfetto").read_bytes())
    names: dict[int, str] = {}
    shown: Counter[str] = Counter()
    vcpu = None
    for packet in trace.packet:
        names.update((each.iid, each.name) for each in packet.interned_data.event_names)
        if packet.track_descriptor.thread.thread_name == "vCPU 0":
            vcpu = packet.track_descriptor.uuid
        if packet.HasField("track_event") and packet.track_event.track_uuid == vcpu:
            shown[names.get(packet.track_event.name_iid, "")] += 1
    assert {reason: shown[reason] for reason in counts} == dict(counts)


def test_chrome_has_every_exit(tmp_path: Path, counts: Counter[str]) -> None:
    records = json.loads(traced(tmp_path / "trace.json", "chrome").read_text())
    shown = Counter(each["name"] for each in records if "seq" in each.get("args", {}))
    assert shown == counts


def test_ftrace_has_what_kvm_would_tell(tmp_path: Path, counts: Counter[str]) -> None:
    text = traced(tmp_path / "trace.txt", "ftrace").read_text()
    shown = Counter(re.findall(r"^ +kvm-vcpu-0-1 .*?\d: (\w+): ", text, re.MULTILINE))
    assert shown["kvm_exit"] == sum(counts.values())
    assert shown["kvm_sys_access"] == counts["SysRegRead"] + counts["SysRegWrite"] + counts["SendIPI"]
    assert text.count("kvm_mmio: mmio write") == counts["MmioWrite"]
    # One is of an address where nothing is: nobody has a value for it.
    assert text.count("kvm_mmio: mmio unsatisfied-read") == counts["MmioRead"]
    assert text.count("kvm_mmio: mmio read") == counts["MmioRead"] - 1
    assert shown["kvm_entry"] > 0


@pytest.mark.parametrize(
    ("name", "format_"),
    [
        ("a.jsonl", "jsonl"),
        ("a.jsonl.gz", "jsonl"),
        ("a.pftrace", "perfetto"),
        ("a.perfetto-trace", "perfetto"),
        ("a.json", "chrome"),
        ("a.ftrace", "ftrace"),
        ("a.log", "text"),
        ("a", "text"),
    ],
)
def test_the_suffix_of_the_file_chooses_the_format(tmp_path: Path, name: str, format_: str) -> None:
    asked, chosen = tmp_path / f"asked-{name}", tmp_path / name
    assert armvcpu("trace", "--format", format_, "-o", asked, SAMPLES / "hello" / "hello.elf").status == 0
    assert armvcpu("trace", "-o", chosen, SAMPLES / "hello" / "hello.elf").status == 0
    assert chosen.read_bytes() == asked.read_bytes()


def test_a_format_that_is_asked_for_wins_over_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    assert armvcpu("trace", "--format", "text", "-o", path, SAMPLES / "hello" / "hello.elf").status == 0
    assert path.read_text().startswith("# hello.elf on virt")
