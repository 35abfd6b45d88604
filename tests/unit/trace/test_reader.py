"""Reading traces: what is accepted, what is refused with which message, compressed files, and broken runs."""

from __future__ import annotations

import gzip
import io
import json
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.errors import FileError
from arm_vcpu_cli.trace.eventline import is_plain, split
from arm_vcpu_cli.trace.reader import MAX_LINE, TraceFileError, TraceReader

from .jsonlines import END, HEADER, SUMMARY, event, exit_, line, trace, write


def records(path: Path) -> list[dict[str, Any]]:
    with TraceReader(path) as reader:
        return list(reader.records())


def refusal(path: Path) -> str:
    """What is said of a file that cannot be read, which is one line."""
    with pytest.raises(FileError) as refused, TraceReader(path) as reader:
        for each in reader.lines():
            reader.event(each)
    assert refused.value.exit_status == 2
    message = str(refused.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert message.isprintable()
    return message


def test_header_events_and_the_end_come_back(tmp_path: Path) -> None:
    events = [write("A", 1), exit_("Halt", 2), event("irq", 2, action="raised", intid=27)]
    path = trace(tmp_path / "t.jsonl", events)
    with TraceReader(path) as reader:
        assert reader.header.cpu == "cortex-a72"
        assert reader.header.timing is True
        [device] = reader.header.devices
        assert (device.name, device.base, device.size, device.intid) == ("uart0", 0x900_0000, 0x1000, 33)
        assert reader.end is None
        assert list(reader.records()) == events
        assert reader.end is not None
        assert (reader.end.ending, reader.end.exits) == ("powered off", 3)
        assert reader.totals == {"MmioWrite": 3}
        assert not reader.truncated


def test_lines_are_the_bytes_of_the_events_alone(tmp_path: Path) -> None:
    events = [write("A", 1), exit_("Halt", 2)]
    with TraceReader(trace(tmp_path / "t.jsonl", events)) as reader:
        assert list(reader.lines()) == [line(each).rstrip().encode() for each in events]
        assert reader.end is not None


def test_the_end_is_known_however_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(line(HEADER) + json.dumps(dict(reversed(list(END.items())))) + "\n" + json.dumps(SUMMARY) + "\n")
    with TraceReader(path) as reader:
        assert list(reader.lines()) == []
        assert reader.end is not None
        assert reader.totals is not None


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_compression_is_seen_by_the_content_not_the_name(tmp_path: Path, pack: Any) -> None:
    events = [write(chr(65 + n % 26), n, n * 1000) for n in range(5000)]
    plain = trace(tmp_path / "t.jsonl", events)
    packed = tmp_path / "t.bin"
    packed.write_bytes(pack(plain.read_bytes()))
    assert records(packed) == events


def test_packed_parts_one_after_another_are_one_trace(tmp_path: Path) -> None:
    data = trace(tmp_path / "t.jsonl", [write("A"), write("B")]).read_bytes()
    packed = tmp_path / "t.gz"
    packed.write_bytes(gzip.compress(data[:100]) + gzip.compress(data[100:]))
    assert len(records(packed)) == 2


def test_a_trace_may_come_from_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = gzip.compress(trace(tmp_path / "t.jsonl", [write("A")]).read_bytes())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))
    assert len(records(Path("-"))) == 1


@pytest.mark.parametrize("left", [1, 7, 60])
def test_a_last_line_that_breaks_off_is_left_out_and_told(tmp_path: Path, left: int) -> None:
    path = trace(tmp_path / "t.jsonl", [write("A", 1), write("B", 2)], closed=False)
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b'{"type"') + left])
    with TraceReader(path) as reader:
        assert [each["seq"] for each in reader.records()] == [1]
        assert reader.truncated
        assert reader.end is None


def test_a_last_line_without_its_end_is_complete(tmp_path: Path) -> None:
    path = trace(tmp_path / "t.jsonl", [write("A")])
    path.write_bytes(path.read_bytes().rstrip())
    with TraceReader(path) as reader:
        assert len(list(reader.records())) == 1
        assert reader.totals is not None
        assert not reader.truncated


def test_compressed_data_that_breaks_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    events = [write(chr(65 + n % 26), n, n * 977) for n in range(3000)]
    data = gzip.compress(trace(tmp_path / "t.jsonl", events).read_bytes())
    path = tmp_path / "t.gz"
    path.write_bytes(data[: len(data) // 2])
    with TraceReader(path) as reader:
        got = list(reader.records())
        assert reader.truncated
    assert 0 < len(got) < len(events)
    assert got == events[: len(got)]


def test_compressed_data_that_breaks_off_between_two_lines_is_told_too(tmp_path: Path) -> None:
    compressor = zlib.compressobj(wbits=31)
    data = compressor.compress((line(HEADER) + line(write("A"))).encode()) + compressor.flush(zlib.Z_FULL_FLUSH)
    path = tmp_path / "t.gz"
    path.write_bytes(data)
    with TraceReader(path) as reader:
        assert len(list(reader.records())) == 1
        assert reader.truncated


def test_unknown_types_properties_and_reasons_are_passed_on(tmp_path: Path) -> None:
    events = [event("weather", 1, cloudy=True), exit_("Teleport", 2, to="0x1"), write("A", 3, colour="red", gone=None)]
    assert records(trace(tmp_path / "t.jsonl", events)) == events


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"version": 2, "tool": "armvcpu 9.9"}, "version 2 of the schema, expected at most 1: a newer armvcpu"),
        ({"version": "1"}, '"version" of the header: expected a number'),
        ({"version": True}, '"version" of the header: expected a number'),
        ({"schema": "perf"}, "expected a trace's header"),
        ({"devices": {}}, '"devices" of the header: expected a list'),
        ({"devices": [1]}, '"devices" of the header: expected an object'),
        ({"devices": [{"name": "u", "type": "t", "base": 1, "size": "0x1"}]}, '"base" of an event'),
        ({"devices": [{"name": "u", "type": "t", "base": "0x", "size": "0x1"}]}, "expected a hexadecimal string"),
        ({"vcpus": -1}, '"vcpus"'),
        ({"guest": 7}, '"guest"'),
    ],
)
def test_a_header_that_is_wrong_is_refused(tmp_path: Path, header: dict[str, Any], expected: str) -> None:
    message = refusal(trace(tmp_path / "t.jsonl", [], **header))
    assert "line 1: " in message
    assert expected in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty, expected a trace's header"),
        (b'{"type":"tra', "the file ends within its first line, expected a trace's header"),
        (b"hello\nworld\n", "line 1: expected a trace's header"),
        (line(write("A")).encode(), "line 1: expected a trace's header"),
        (b"\x7fELF\x02\x01\x01" + bytes(2000), "expected a trace's header"),
        (b'{"type":"trace"}\n', "expected a trace's header"),
        (b"[" * 100_000 + b"\n", "line 1: expected a trace's header"),
        (b"\x1f\x8b\x08\x00garbage" * 20, "damaged compressed data"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 200, "damaged compressed data"),
    ],
)
def test_what_is_no_trace_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(content)
    assert expected in refusal(path)


NUMBERED = '{"type":"exit","seq":1,"vcpu":0,"time_ns":1,'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"nonsense", "not JSON, expected one object per line, found 'nonsense'"),
        (b'"text"', "not an object"),
        (b"[1,2]", "not an object"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "nested too deeply"),
        (f'{NUMBERED}"reason":"Halt","x":NaN}}'.encode(), "not JSON"),
        (f'{NUMBERED}"reason":"Halt","x":-Infinity}}'.encode(), "not JSON"),
        (f'{NUMBERED}"reason":"Halt","x":{{"a":1}}}}'.encode(), "a nested event"),
        (f'{NUMBERED}"reason":7}}'.encode(), '"reason" of an event of type "exit": expected a string'),
        (f"{NUMBERED}".encode()[:-1] + b"}", '"reason" of an event of type "exit"'),
        (b'{"seq":1,"vcpu":0,"time_ns":1}', 'without a "type"'),
        (b'{"type":["exit"],"seq":1,"vcpu":0,"time_ns":1}', 'without a "type"'),
        (b'{"type":"entry","vcpu":0,"time_ns":1}', '"seq"'),
        (b'{"type":"entry","seq":-1,"vcpu":0,"time_ns":1}', '"seq"'),
        (b'{"type":"entry","seq":1.5,"vcpu":0,"time_ns":1}', '"seq"'),
        (b'{"type":"entry","seq":true,"vcpu":0,"time_ns":1}', '"seq"'),
        (b'{"type":"entry","seq":1,"vcpu":"0","time_ns":1}', '"vcpu"'),
        (b'{"type":"entry","seq":1,"vcpu":0,"time_ns":4722366482869645213696}', '"time_ns"'),
        (b'{"type":"entry","seq":1,"vcpu":0,"time_ns":1e999}', '"time_ns"'),
        (b'{"type":"entry","seq":1,"vcpu":0,"time_ns":' + b"9" * 60_000 + b"}", "expected"),
        (f'{NUMBERED}"reason":"Halt","host_ns":"1"}}'.encode(), '"host_ns"'),
        (b'{"type":"end","ending":1}', '"ending"'),
        (b'{"type":"summary","exits":[]}', '"exits" of a summary'),
        (b'{"type":"summary","exits":{"Halt":"1"}}', '"Halt"'),
        (b'{"type":"\\u001b[2J","seq":"x"}', '"seq" of an event of type'),
    ],
)
def test_a_damaged_line_is_refused_with_its_number(tmp_path: Path, text: bytes, expected: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(line(HEADER).encode() + (line(write("A")) * 2).encode() + text + b"\n" + line(END).encode())
    message = refusal(path)
    assert "line 4: " in message
    assert expected in message


def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with path.open("wb") as file:
        file.write(line(HEADER).encode() + b'{"type":"')
        file.truncate(1 << 32)
    assert f"line 2: longer than {MAX_LINE} bytes" in refusal(path)


@pytest.mark.parametrize("name", ["missing.jsonl", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    assert "cannot be read: " in refusal(tmp_path / name)


def test_an_error_knows_its_line(tmp_path: Path) -> None:
    path = trace(tmp_path / "t.jsonl", [event("exit")])
    with pytest.raises(TraceFileError) as refused:
        records(path)
    assert refused.value.line == 2


# Lines taken apart without decoding ------------------------------------------------------------------------------

TEXTS = st.text(max_size=6) | st.sampled_from(["'A'", '"', "\\", ',"value":"0x1"', '"vcpu":', "é", "}"])
NAMES = st.sampled_from(["reason", "pc", "value", "data", "meaning", "host_ns", "latency_ns", "note", "reg", "vcpu"])
VALUES = TEXTS | st.integers(0, 99) | st.sampled_from(["0x0", "0xffff800008000000"]) | st.booleans()
RECORDS = st.builds(lambda seq, time, more: event("exit", seq, time) | more, st.integers(0, 9), st.integers(0, 99),
                    st.dictionaries(NAMES, VALUES))  # fmt: skip


@given(RECORDS, RECORDS, st.booleans())
def test_lines_with_the_same_common_text_have_the_same_properties(
    first: Mapping[str, Any], second: Mapping[str, Any], values: bool
) -> None:
    dropped = {"seq", "time_ns", "host_ns", "latency_ns"} | (set() if values else {"value", "data", "meaning"})
    parts = [split(line(each).rstrip().encode(), values=values) for each in (first, second)]
    one, other = parts
    if one is not None:
        assert one[3] == first["time_ns"]
    if one is None or other is None or not is_plain(one[2]) or one[:3] != other[:3]:
        return
    for each, part in ((first, one), (second, other)):
        assert part[4] == each.get("host_ns")
        assert part[5] == each.get("latency_ns")
    kept = [{name: value for name, value in each.items() if name not in dropped} for each in (first, second)]
    assert kept[0] == kept[1]


def test_a_line_of_our_own_sink_is_taken_apart() -> None:
    parts = split(line(write("A", 3, 77, host_ns=1234)).rstrip().encode())
    assert parts is not None
    assert parts[:2] == (b"exit", b"0")
    assert parts[3:] == (77, 1234, None)
    assert b"UARTDR" in parts[2]
    assert b"0x41" not in parts[2]
    assert is_plain(parts[2])


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"exit","seq":01,"vcpu":0,"time_ns":1,"reason":"Halt"}',
        '{"type":"exit","seq":1,"vcpu":0,"time_ns":-1,"reason":"Halt"}',
        '{"type":"exit","seq":1,"vcpu":0,"time_ns":1,"reason":"Halt","host_ns":5,"note":"x"}',
        '{"type":"exit","seq":1,"vcpu":0,"time_ns":1,"reason":"Halt"',
        '{"type":"exit","seq":1,"vcpu":0,"time_ns":1,"reason":"Halt","value":"0x1","x":2}',
        ' {"type":"exit","seq":1,"vcpu":0,"time_ns":1,"reason":"Halt"}',
    ],
)
def test_a_line_of_any_other_form_is_left_to_the_decoder(text: str) -> None:
    assert split(text.encode()) is None
