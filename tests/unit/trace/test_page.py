"""The contents of the HTML report, and the escaping of the guest's text."""

from __future__ import annotations

import html
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.trace.bins import BINS, MAX_ROWS, OTHER, Bins
from arm_vcpu_cli.trace.digest import KEPT_EVENTS, Digest, digest
from arm_vcpu_cli.trace.htmltable import duration, number, text
from arm_vcpu_cli.trace.jsonlines import JsonLinesSink
from arm_vcpu_cli.trace.reader import TraceReader
from arm_vcpu_cli.trace.text import event_line

from .traces import EVENTS, event, play

times = st.integers(0, 2**40)


@pytest.fixture
def gathered(tmp_path: Path) -> Digest:
    path = tmp_path / "trace.jsonl"
    with path.open("w") as stream:
        play(JsonLinesSink(stream))
    with TraceReader(path) as reader:
        return digest(reader)


@given(st.lists(st.tuples(times, st.integers(1, 5))))
def test_no_amount_is_lost(amounts: list[tuple[int, int]]) -> None:
    bins = Bins()
    for time, amount in amounts:
        bins.add("row", time, amount)
    if amounts:
        row = bins.rows["row"]
        assert len(row) == BINS
        assert sum(row) == sum(amount for _, amount in amounts)
        last = max(time for time, _ in amounts)
        assert row[last >> bins.shift]
        assert bins.shift == 0 or last >> bins.shift >= BINS // 2


@given(st.lists(st.tuples(times, times)))
def test_spans_have_their_length_in_the_bins_that_they_cross(spans: list[tuple[int, int]]) -> None:
    bins = Bins()
    for start, end in spans:
        bins.add_span("row", start, end)
    row = bins.rows.get("row", [])
    assert sum(row) == sum(max(0, end - start) for start, end in spans)
    for index, amount in enumerate(row):
        low, high = index << bins.shift, index + 1 << bins.shift
        assert amount == sum(max(0, min(end, high) - max(start, low)) for start, end in spans)


def test_there_are_not_more_rows_than_can_be_drawn() -> None:
    bins = Bins()
    for index in range(5 * MAX_ROWS):
        bins.add(f"row {index}", index)
    assert len(bins.rows) == MAX_ROWS + 1
    assert sum(bins.rows[OTHER]) == 4 * MAX_ROWS


def test_a_vcpu_waits_from_its_halt_until_it_goes_on(gathered: Digest) -> None:
    assert gathered.waited == 1_000_000
    rows = {name: sum(row) for name, row in gathered.vcpus[0].rows.items()}
    assert rows == {"WFI": 1_000_000, "Running": 5_000_000}


def test_everything_is_counted(gathered: Digest) -> None:
    assert gathered.events == len(EVENTS)
    assert gathered.left_out == 0
    assert gathered.duration == 5_000_000
    assert {name: sum(row) for name, row in gathered.exits.rows.items()}["MmioWrite"] == 1
    assert sum(gathered.interrupts.rows["27 virtual timer"]) == 1
    assert [line.text for line in gathered.begin] == ['A </script><b>&"']
    assert gathered.exits.shift == gathered.vcpus[0].shift == gathered.interrupts.shift


def test_an_event_reads_as_in_a_text_trace(gathered: Digest) -> None:
    shown = next(each for each in gathered.first if each.name == "MmioWrite")
    assert (shown.type, shown.place, shown.time) == ("exit", "EL1 0x40080154 <uart_init+0x24> uart.c:12", 100)
    line = next(event_line(each) for each in EVENTS if each.name == "MmioWrite")
    assert line.endswith(shown.details)
    assert shown.details.startswith("PL011.UARTDR <- ")
    assert "| ESR_EL2=0x" in shown.details


def test_events_that_make_no_sense_are_shown_too(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    header = {"type": "trace", "schema": "armvcpu-trace", "version": 1, "vcpus": 1, "guest": "", "devices": []}
    odd = {"pc": "nowhere", "symbol": "", "el": "one", "esr": "0xzz", "what": "long", "note": 1, "source": True}
    records = [
        {"type": "irq", "seq": 1, "vcpu": 0, "time_ns": 2, "action": "raised", "intid": 3, **odd},
        {"type": "news", "seq": 1, "vcpu": 0, "time_ns": 3, **odd},
    ]
    path.write_text("".join(json.dumps(each) + "\n" for each in (header, *records)))
    with TraceReader(path) as reader:
        found = digest(reader)
    assert [each.place for each in found.first] == ["", ""]
    assert [each.details for each in found.first] == ["INTID 3", "what=long"]


def test_the_first_and_the_last_events_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    with path.open("w") as stream:
        play(JsonLinesSink(stream), tuple(event("exit", "Nothing", time, seq=time) for time in range(3 * KEPT_EVENTS)))
    with TraceReader(path) as reader:
        found = digest(reader)
    assert [each.seq for each in found.first] == list(range(KEPT_EVENTS))
    assert [each.seq for each in found.last] == list(range(2 * KEPT_EVENTS, 3 * KEPT_EVENTS))
    assert found.left_out == KEPT_EVENTS


@given(st.text())
def test_any_text_is_text(said: str) -> None:
    shown = text(said)
    assert not set(shown) & set("<>\"'\x00\x1b\n\u202e")
    shown.encode()
    assert html.unescape(text("<b>&amp;</b>")) == "<b>&amp;</b>"
    json.dumps(shown)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1bMx", "x"),
        ("a\x07b", "a\N{SYMBOL FOR BELL}b"),
        ("tab\there", "tab\there"),
        ("a\x1b", "a\N{SYMBOL FOR ESCAPE}"),
    ],
)
def test_a_terminal_is_not_spoken_to(said: str, shown: str) -> None:
    assert text(said) == shown


@pytest.mark.parametrize(
    ("nanoseconds", "shown"),
    [
        (0, "0 ns"),
        (7, "7 ns"),
        (999, "999 ns"),
        (1_000, "1.00 \N{MICRO SIGN}s"),
        (12_345, "12.3 \N{MICRO SIGN}s"),
        (123_456_789, "123 ms"),
        (1_234_567_890, "1.23 s"),
        (98_765_432_109, "98.8 s"),
    ],
)
def test_a_duration_has_three_digits(nanoseconds: int, shown: str) -> None:
    assert duration(nanoseconds) == shown


def test_numbers_are_grouped() -> None:
    assert number(1234567) == "1\N{THIN SPACE}234\N{THIN SPACE}567"
