"""Counting exits: histograms and their precision, counts over time, tables, limits, and the statistics of traces."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.trace import statistics as statistics_module
from arm_vcpu_cli.trace import tally as tally_module
from arm_vcpu_cli.trace.exitkey import CALL, CALLER, DEVICE, EL, REASON, REGISTER, SYMBOL, SYSREG, VCPU, ExitKey
from arm_vcpu_cli.trace.histogram import PRECISION, Durations, bounds_of, bucket_of
from arm_vcpu_cli.trace.overtime import BINS, MAX_ROWS, OTHER, OverTime
from arm_vcpu_cli.trace.reader import TraceFileError, TraceReader
from arm_vcpu_cli.trace.statistics import UNKNOWN, Row, Statistics
from arm_vcpu_cli.trace.tally import tally

from .jsonlines import event, exit_, read, trace, write

NANOSECONDS = st.integers(0, (1 << 64) - 1)


def counted(rows: list[Row]) -> dict[str, int]:
    return {row.label: row.count for row in rows}


def summed_up(path: Path) -> Statistics:
    with TraceReader(path) as reader:
        return tally(reader)


# Histograms -------------------------------------------------------------------------------------------------------


@given(NANOSECONDS)
def test_a_value_lies_in_its_bucket_and_near_its_middle(value: int) -> None:
    low, high = bounds_of(bucket_of(value))
    assert low <= value < high
    assert abs((low + high - 1) / 2 - value) <= value * PRECISION


def test_buckets_follow_each_other_without_gaps() -> None:
    bounds = [bounds_of(bucket) for bucket in range(500)]
    assert bounds[0][0] == 0
    assert all(this[1] == following[0] for this, following in pairwise(bounds))


@given(st.lists(NANOSECONDS, min_size=1, max_size=60), st.floats(0, 1))
def test_quantiles_are_near_and_the_rest_is_exact(values: list[int], fraction: float) -> None:
    durations = Durations()
    for value in values:
        durations.add(value)
    assert (durations.count, durations.total) == (len(values), sum(values))
    assert (durations.minimum, durations.maximum) == (min(values), max(values))
    exact = sorted(values)[max(1, -int(-fraction * len(values) // 1)) - 1]
    assert abs(durations.quantile(fraction) - exact) <= exact * PRECISION


@given(st.lists(NANOSECONDS), st.lists(NANOSECONDS))
def test_merging_is_adding_all(first: list[int], second: list[int]) -> None:
    parts = Durations(), Durations(), Durations()
    for value in first:
        parts[0].add(value)
    for value in second:
        parts[1].add(value)
    for value in first + second:
        parts[2].add(value)
    parts[0].merge(parts[1])
    for fraction in (0, 0.25, 0.5, 0.99, 1):
        assert parts[0].quantile(fraction) == parts[2].quantile(fraction)
    assert (parts[0].count, parts[0].total, parts[0].minimum) == (parts[2].count, parts[2].total, parts[2].minimum)


def test_powers_of_two_have_all_values_between_them() -> None:
    durations = Durations()
    for value in (0, 1, 2, 3, 63, 64, 127, 128, 1 << 40):
        durations.add(value)
    assert durations.by_power() == {-1: 1, 0: 1, 1: 2, 5: 1, 6: 2, 7: 1, 40: 1}


def test_nothing_has_no_quantile() -> None:
    assert (Durations().quantile(0.5), Durations().mean, dict(Durations().by_power())) == (0, 0.0, {})


# Over time --------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 1 << 60), max_size=40))
def test_no_count_is_lost_when_intervals_grow(times: list[int]) -> None:
    over_time = OverTime()
    for time in times:
        over_time.add("a", time)
    assert sum(over_time.row("a")) == len(times)
    assert len(over_time.row("a")) == BINS
    width = 1 << over_time.shift
    expected = Counter(time // width for time in times)
    assert {place: count for place, count in enumerate(over_time.row("a")) if count} == expected


def test_rows_share_their_intervals_and_keep_their_lists() -> None:
    over_time = OverTime()
    row = over_time.row("a")
    over_time.add("a", 0)
    over_time.add("b", 1 << 40)
    assert over_time.row("a") is row
    assert over_time.resampled("a", 8)[0] == 1
    assert len(over_time.resampled("a", 8)) == len(over_time.resampled("b", 8)) <= 8
    assert over_time.resampled("b", 8)[-1] == 1


def test_there_are_never_more_than_so_many_rows() -> None:
    over_time = OverTime()
    for number in range(MAX_ROWS + 50):
        over_time.add(f"row {number}", 0)
    assert over_time.row(OTHER)[0] == 50


# Statistics -------------------------------------------------------------------------------------------------------


def test_exits_are_counted_by_everything_they_have(tmp_path: Path) -> None:
    events = [
        write("A", 1, 1000, host_ns=100),
        write("B", 2, 2000, host_ns=300),
        read(0x90, 3, 3000, host_ns=200, symbol="uart_getc", caller="shell+0x10", el=0, vcpu=1),
        exit_("SysRegWrite", 4, 4000, sysreg="CNTV_CTL_EL0", value="0x1"),
        exit_("Hypercall", 5, 5000, conduit="hvc", nr="0x84000000", call="PSCI_VERSION", result="0x10001"),
        exit_("NestedPageFault", 6, 6000, ipa="0x10000abc", access="write", symbol=None, pc="0x40"),
        exit_("SystemDown", 7, 7000, conduit="hvc", action="off", status=0, caller=""),
        exit_("Halt", 8, 2_000_007_000),
    ]
    statistics = summed_up(trace(tmp_path / "t.jsonl", events))
    assert statistics.exits == 8
    assert statistics.seconds == pytest.approx(2.000006)
    assert counted(statistics.by(REASON)) == {
        "MmioWrite": 2, "MmioRead": 1, "SysRegWrite": 1, "Hypercall": 1, "NestedPageFault": 1, "SystemDown": 1,
        "Halt": 1,
    }  # fmt: skip
    assert counted(statistics.by(REGISTER)) == {
        "PL011.UARTDR write": 2, "PL011.UARTFR read": 1, "IPA 0x10000000 write": 1,
    }  # fmt: skip
    assert counted(statistics.by(DEVICE)) == {"uart0": 3}
    assert counted(statistics.by(SYSREG)) == {"CNTV_CTL_EL0 write": 1}
    assert counted(statistics.by(CALL)) == {"PSCI_VERSION": 1, "system off": 1}
    assert counted(statistics.by(SYMBOL)) == {"uart_putc": 6, "uart_getc": 1, "0x40": 1}
    assert counted(statistics.by(CALLER)) == {"main": 6, "shell": 1, UNKNOWN: 1}
    assert counted(statistics.by(EL)) == {"EL1": 7, "EL0": 1}
    assert counted(statistics.by(VCPU)) == {"cpu0": 7, "cpu1": 1}
    first = statistics.by(REASON)[0]
    assert (first.label, first.durations.count, first.durations.total) == ("MmioWrite", 2, 400)
    assert statistics.durations().total == 600


def test_a_register_without_a_name_is_told_by_its_offset(tmp_path: Path) -> None:
    events = [exit_("MmioRead", ipa="0xa000010", device="ram0", offset="0x10", width=4, reg="x1")]
    assert counted(summed_up(trace(tmp_path / "t.jsonl", events)).by(REGISTER)) == {"ram0+0x10 read": 1}


def test_the_same_exit_of_two_vcpus_is_counted_for_each(tmp_path: Path) -> None:
    events = [write("A") | {"vcpu": vcpu} for vcpu in (0, 1, 1, 0, 1)]
    assert counted(summed_up(trace(tmp_path / "t.jsonl", events)).by(VCPU)) == {"cpu1": 3, "cpu0": 2}


def test_two_devices_with_the_same_register_are_told_apart(tmp_path: Path) -> None:
    events = [write("A"), write("A"), write("A") | {"device": "uart1"}]
    rows = summed_up(trace(tmp_path / "t.jsonl", events)).by(REGISTER)
    assert counted(rows) == {"PL011.UARTDR write (uart0)": 2, "PL011.UARTDR write (uart1)": 1}


def test_many_registers_alike_are_one_row_and_a_few_are_not(tmp_path: Path) -> None:
    def gic(name: str) -> dict[str, Any]:
        return exit_("MmioWrite", ipa="0x8000000", device="gic", register=name, offset="0x0", width=4, data="0x0")

    events = [gic(f"GICD_IROUTER{number}") for number in range(32, 132)]
    events += [gic(f"GICD_IPRIORITYR{number}[15:8]") for number in range(20)]
    events += [gic(f"GICD_ISENABLER{number}") for number in range(4)]
    rows = summed_up(trace(tmp_path / "t.jsonl", events)).by(REGISTER)
    assert counted(rows) == {
        "GICD_IROUTER<n> write": 100, "GICD_IPRIORITYR<n> write": 20,
        **{f"GICD_ISENABLER{number} write": 1 for number in range(4)},
    }  # fmt: skip


def test_reasons_have_their_counts_over_time(tmp_path: Path) -> None:
    events = [write("A", n, n * 1_000_000) for n in range(100)] + [exit_("Halt", 101, 99_000_000)]
    rows = summed_up(trace(tmp_path / "t.jsonl", events)).by(REASON, width=10)
    assert sum(rows[0].over_time) == 100
    assert len(rows[0].over_time) <= 10
    assert [bool(count) for count in rows[1].over_time] == [False] * (len(rows[1].over_time) - 1) + [True]


def test_interrupts_have_what_happened_to_them_and_how_long_it_took(tmp_path: Path) -> None:
    timer = {"intid": 27, "source_name": "virtual timer"}
    events = [
        event("irq", 0, 100, action="raised", **timer),
        event("irq", 0, 100, action="injected", **timer, latency_ns=0),
        event("irq", 1, 150, action="acknowledged", **timer, latency_ns=50),
        event("irq", 2, 450, action="ended", **timer, latency_ns=300),
        event("irq", 2, 500, action="raised", intid=33, source_name="uart0"),
    ]
    interrupts = summed_up(trace(tmp_path / "t.jsonl", events)).interrupts()
    assert [(each.intid, each.source) for each in interrupts] == [(27, "virtual timer"), (33, "uart0")]
    assert interrupts[0].actions == {"raised": 1, "injected": 1, "acknowledged": 1, "ended": 1}
    assert (interrupts[0].pending.total, interrupts[0].active.total) == (50, 300)
    assert interrupts[1].actions == {"raised": 1}


def test_exceptions_and_other_events_are_counted_apart_from_exits(tmp_path: Path) -> None:
    events = [event("exception", 0, n, exception="svc", pc="0x1", el=0, vector="0x2") for n in range(3)]
    events += [event("exception", 0, 9, exception="data abort", pc="0x1", el=0, vector="0x2"), event("entry", pc="0x1")]
    statistics = summed_up(trace(tmp_path / "t.jsonl", events))
    assert statistics.exits == 0
    assert counted(statistics.exceptions()) == {"svc": 3, "data abort": 1}
    assert statistics.events == {"exception": 4, "entry": 1}


@pytest.mark.parametrize("kind", ["exit", "irq", "exception", "weather"])
def test_a_hostile_trace_has_bounded_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    for name in ("MAX_KEYS", "MAX_NAMES"):
        monkeypatch.setattr(statistics_module, name, 10)
    monkeypatch.setattr(tally_module, "_MAX_CACHED", 10)
    makers: dict[str, Callable[[int], dict[str, Any]]] = {
        "exit": lambda n: exit_(f"Reason{n}", symbol=f"f{n}", pc=hex(n)),
        "irq": lambda n: event("irq", action=f"a{n}", intid=n),
        "exception": lambda n: event("exception", exception=f"e{n}"),
        "weather": lambda n: event(f"weather{n}"),
    }
    statistics = summed_up(trace(tmp_path / "t.jsonl", [makers[kind](n) for n in range(200)]))
    assert statistics.exits + sum(statistics.events.values()) == 200
    assert len(statistics.by(REASON)) + len(statistics.by(SYMBOL)) <= 60
    assert len(statistics.events) + len(statistics.exceptions()) + len(statistics.interrupts()) <= 25
    if kind == "exit":
        assert sum(row.count for row in statistics.by(REASON)) == 200
        assert statistics.folded == 190


def test_a_property_of_the_wrong_type_is_refused(tmp_path: Path) -> None:
    for wrong in ({"symbol": 7}, {"caller": True}, {"el": "1"}, {"register": 1}, {"ipa": 5}, {"ipa": "nine"}):
        with pytest.raises(TraceFileError, match="line 2: "):
            summed_up(trace(tmp_path / "t.jsonl", [write("A") | wrong]))


# The fast way and the sure way ------------------------------------------------------------------------------------

TEXTS = st.sampled_from(["", "main", 'a"b', "é", "\\", ',"value":"0x1"', "PL011.UARTDR", "0x10"])
EXITS = st.builds(
    lambda reason, time, more: exit_(reason, 1, time) | more,
    st.sampled_from(["MmioRead", "MmioWrite", "SysRegRead", "Halt", "Hypercall"]),
    st.integers(0, 1 << 40),
    st.dictionaries(st.sampled_from(["symbol", "caller", "register", "call", "device", "meaning", "note"]), TEXTS)
    | st.dictionaries(st.sampled_from(["value", "data"]), st.sampled_from(["0x1", "0x2"]))
    | st.dictionaries(st.sampled_from(["host_ns", "latency_ns", "vcpu"]), st.integers(0, 5)),
)


def everything(statistics: Statistics) -> Mapping[str, object]:
    tables = {
        dimension: [
            (row.label, row.count, row.durations.count, row.durations.total) for row in statistics.by(dimension)
        ]
        for dimension in (REASON, DEVICE, REGISTER, SYSREG, CALL, SYMBOL, CALLER, EL, VCPU)
    }
    return {**tables, "times": (statistics.first, statistics.last), "events": dict(statistics.events)}


@given(st.lists(EXITS, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_lines_that_are_not_decoded_count_the_same(
    tmp_path_factory: pytest.TempPathFactory, exits: list[dict[str, Any]], chance: random.Random
) -> None:
    path = tmp_path_factory.mktemp("tally") / "t.jsonl"
    events = [each | {"time_ns": chance.randrange(1 << 40)} for each in exits for _ in range(3)]
    fast = summed_up(trace(path, events))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tally_module, "split", lambda _line: None)
        sure = summed_up(path)
    assert everything(fast) == everything(sure)


def test_exits_of_a_running_guest_and_of_a_trace_go_into_the_same_tables() -> None:
    statistics = Statistics()
    statistics.exit(statistics.cell(ExitKey("Halt", symbol="idle")), 5, 7)
    statistics.exit(statistics.cell(ExitKey("Halt", symbol="idle")), 3)
    [row] = statistics.by(SYMBOL)
    assert (row.label, row.count, row.durations.count) == ("idle", 2, 1)
    assert (statistics.first, statistics.last) == (3, 5)
