"""The selection of ``armvcpu trace``: criteria, windows, the first and the last events, and refusals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.command import SAMPLES, armvcpu, assert_refused, guest, sample
from tests.integration.test_trace import EXITS_MACHINE, events, parse

Event = dict[str, Any]


def traced(*options: object, name: str = "exits") -> list[Event]:
    """The events of a sample, and that neither the counts nor the guest are touched by a choice."""
    machine = EXITS_MACHINE if name == "exits" else ()
    finished = armvcpu("trace", "--format", "jsonl", *options, *machine, sample(name))
    assert finished.status == 0, finished.err
    *_, end, summary = parse(finished.err)
    assert end["exits"] == summary["total"] == sum(summary["exits"].values())
    return events(finished.err)


@pytest.fixture(scope="module")
def everything() -> list[Event]:
    return traced("--events", "all")


def at(event: Event, key: str) -> int:
    return int(event.get(key, "-1"), 16)


def is_exit(event: Event) -> bool:
    return bool(event["type"] == "exit")


CRITERIA: dict[str, tuple[tuple[str, ...], Callable[[Event], bool]]] = {
    "a reason": (("--only", "MmioRead"), lambda event: event.get("reason") == "MmioRead"),
    "a reason in any case": (("--only", "cpuup"), lambda event: event.get("reason") == "CpuUp"),
    "two reasons": (
        ("--only", "SysRegRead", "--only", "CPUUP"),
        lambda event: event.get("reason") in ("SysRegRead", "CpuUp"),
    ),
    "a class by name": (("--ec", "smc64"), lambda event: is_exit(event) and at(event, "esr") >> 26 == 0x17),
    "a class by number": (("--ec", "0x18"), lambda event: is_exit(event) and at(event, "esr") >> 26 == 0x18),
    "an address": (("--ipa", "0x9000018"), lambda event: event.get("ipa") == "0x9000018"),
    "addresses": (
        ("--ipa", "0x10000000:0x20000000"),
        lambda event: 0x1000_0000 <= at(event, "ipa") <= 0x2000_0000,
    ),
    "addresses from one on": (("--ipa", "0x9000030:"), lambda event: at(event, "ipa") >= 0x900_0030),
    "a device": (("--device", "uart0"), lambda event: event.get("device") == "uart0"),
    "a function": (
        ("--symbol", "smccc_hvc"),
        lambda event: is_exit(event) and event["symbol"].partition("+")[0] == "smccc_hvc",
    ),
    "two functions": (
        ("--symbol", "smccc_hvc", "--symbol", "uart_init"),
        lambda event: is_exit(event) and event["symbol"].partition("+")[0] in ("smccc_hvc", "uart_init"),
    ),
    "numbers": (
        ("--seq", "100:200", "--events", "exit"),
        lambda event: is_exit(event) and 100 <= event["seq"] <= 200,
    ),
    "times": (
        ("--time", "0.000002:0.000005", "--events", "all"),
        lambda event: 2000 <= event["time_ns"] <= 5000,
    ),
    "a vCPU": (("--vcpu", "0", "--events", "all"), lambda event: True),
    "types": (("--events", "console,irq"), lambda event: event["type"] in ("console", "irq")),
    "reason and device": (
        ("--only", "MmioWrite", "--device", "uart0"),
        lambda event: event.get("reason") == "MmioWrite" and event.get("device") == "uart0",
    ),
    "class, function and number": (
        ("--ec", "HVC64", "--symbol", "smccc_hvc", "--seq", "700:1000"),
        lambda event: (
            is_exit(event)
            and at(event, "esr") >> 26 == 0x16
            and event["symbol"].startswith("smccc_hvc")
            and 700 <= event["seq"] <= 1000
        ),
    ),
    "what cannot be": (("--only", "Hypercall", "--device", "uart0"), lambda event: False),
}


@pytest.mark.parametrize("name", CRITERIA)
def test_what_is_told_is_what_meets_all_criteria(name: str, everything: list[Event]) -> None:
    options, wanted = CRITERIA[name]
    expected = [event for event in everything if wanted(event)]
    assert expected or name == "what cannot be"
    assert traced(*options) == expected


def test_without_a_choice_everything_is_told_but_what_happens_inside_the_guest(everything: list[Event]) -> None:
    told = traced()
    assert told == [event for event in everything if event["type"] != "exception"]
    assert {event["type"] for event in told} == {"exit", "entry", "irq", "state", "console"}


def test_text_leaves_out_the_entries_unless_they_are_asked_for() -> None:
    assert " entry " not in armvcpu("trace", sample("hello")).err
    assert " entry " in armvcpu("trace", "--events", "exit,entry", sample("hello")).err


def test_el1_adds_the_exceptions_of_the_guest() -> None:
    kinds = Counter(event.get("exception") for event in traced("--el1", name="paging"))
    assert kinds["svc"] == 8
    assert kinds["data abort"] == 2
    assert kinds["instruction abort"] == 1
    assert all(event["type"] == "exception" for event in traced("--events", "exception", name="paging"))
    assert {event["type"] for event in traced("--events", "exit", "--el1", name="paging")} == {"exit", "exception"}


@pytest.mark.parametrize(
    ("options", "exception", "count"),
    [
        (("--el1", "--ec", "SVC64"), "svc", 8),
        (("--el1", "--ec", "0x24"), "data abort", 2),
        (("--el1", "--symbol", "user_main"), None, 10),
    ],
)
def test_exceptions_can_be_chosen_too(options: tuple[str, ...], exception: str | None, count: int) -> None:
    told = [event for event in traced(*options, name="paging") if event["type"] == "exception"]
    assert len(told) == count
    assert exception is None or {event["exception"] for event in told} == {exception}


@pytest.mark.parametrize("count", [1, 7])
def test_the_first_and_the_last_of_those_that_are_wanted(count: int, everything: list[Event]) -> None:
    wanted = [event for event in everything if event.get("reason") == "MmioRead"]
    assert traced("--only", "MmioRead", "--first", count) == wanted[:count]
    assert traced("--only", "MmioRead", "--last", count) == wanted[-count:]


def test_more_than_there_are_is_all_there_are(everything: list[Event]) -> None:
    wanted = [event for event in everything if event.get("reason") == "CpuUp"]
    assert traced("--only", "CpuUp", "--last", 1000) == traced("--only", "CpuUp", "--first", 1000) == wanted


def test_the_last_of_a_guest_that_dies_is_what_it_died_of() -> None:
    finished = armvcpu("trace", "--format", "jsonl", "--events", "exit", "--last", "3", sample("crash"))
    told = events(finished.err)
    assert [event["reason"] for event in told] == ["NestedPageFault", "NestedPageFault", "FailEntry"]
    assert told[-1]["seq"] == parse(finished.err)[-1]["total"]


# Windows -----------------------------------------------------------------------------------------------------------


def test_a_trace_from_a_function_on(everything: list[Event]) -> None:
    told = traced("--start-at", "main", "--events", "exit")
    assert told == [event for event in everything if is_exit(event)]
    later = traced("--start-at", "smccc_smc", "--events", "exit")
    assert 0 < len(later) < len(told)
    assert later == told[-len(later) :]
    first = next(event for event in told if event["symbol"].startswith("smccc_smc"))
    assert later[0] == first


def test_a_trace_up_to_a_function(everything: list[Event]) -> None:
    told = traced("--stop-at", "smccc_smc", "--events", "exit")
    rest = traced("--start-at", "smccc_smc", "--events", "exit")
    assert told + rest == [event for event in everything if is_exit(event)]


def test_a_trace_between_two_functions_as_often_as_they_come() -> None:
    told = traced("--start-at", "smccc_hvc", "--stop-at", "uart_printf", "--events", "exit")
    assert Counter(event["reason"] for event in told) == {"Hypercall": 8, "CpuUp": 2}


def test_an_address_will_do(everything: list[Event]) -> None:
    place = next(event["pc"] for event in everything if event.get("reason") == "SysRegRead")
    told = traced("--start-at", place, "--events", "exit")
    assert told[0]["pc"] == place


def test_a_trace_from_what_the_guest_prints_on() -> None:
    told = traced(
        "--start-on",
        "PSCI             FEATURES(SMCCC_VERSION)",
        "--stop-on",
        "CPU_ON(self)",
        "--events",
        "exit,console",
    )
    lines = [event["text"] for event in told if event["type"] == "console"]
    assert lines[0].startswith("PSCI             FEATURES(SMCCC_VERSION)")
    assert [event["call"] for event in told if "call" in event] == ["AFFINITY_INFO_64", "MIGRATE_INFO_TYPE", "CPU_ON"]


def test_what_is_never_printed_starts_nothing() -> None:
    assert traced("--start-on", "no guest prints this") == []


# What is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--only", "Mmio"), ("'Mmio'", "MmioRead, MmioWrite")),
        (("--ec", "HVC"), ("--ec HVC: ", "0x3f", "HVC64")),
        (("--ec", "0x40"), ("--ec 0x40: ", "0x3f")),
        (("--ec", "-1"), ("--ec -1: ",)),
        (("--ec", ""), ("--ec : ",)),
        (("--device", "uart9"), ("--device uart9: ", "gic, gic-redistributors, uart0, rtc")),
        (("--symbol", "mian"), ("--symbol mian: ", "did you mean main")),
        (("--symbol", "0x40080000"), ("--symbol 0x40080000: ",)),
        (("--start-at", "uart_putz"), ("--start-at uart_putz: ", "uart_puts")),
        (("--stop-at", "nothing at all"), ("--stop-at nothing at all: ",)),
        (("--ipa", "zz"), ("--ipa zz: ", "0x9000000:0x9000fff")),
        (("--ipa", "2:1"), ("--ipa 2:1: ",)),
        (("--ipa", ""), ("--ipa : ",)),
        (("--ipa", "1:2:3"), ("--ipa 1:2:3: ",)),
        (("--pc", "-1"), ("--pc -1: ",)),
        (("--seq", "x"), ("--seq x: ", "1000:2000")),
        (("--time", "1"), ("--time 1: ", "0.5:1.2")),
        (("--time", "nan:1"), ("--time nan:1: ",)),
        (("--time", "inf:"), ("--time inf:: ",)),
        (("--time", "2:1"), ("--time 2:1: ",)),
        (("--time", "-1:1"), ("--time -1:1: ",)),
        (("--events", "exit,exits"), ("--events: exits: ", "exit, entry, exception, irq, state, console, access")),
        (("--events", ""), ("--events: nothing: ",)),
        (("--events", ","), ("--events: nothing: ",)),
        (("--first", "-1"), ("--first", "'-1'")),
        (("--last", "x"), ("--last", "'x'")),
        (("--first", "1", "--last", "1"), ("--first and --last",)),
        (("--start-on", ""), ("--start-on: ",)),
        (("--stop-on", ""), ("--stop-on: ",)),
        (("--vcpu", "x"), ("--vcpu", "'x'")),
        (("--vcpu", "1"), ("--vcpu 1", "1 vCPU")),
        (("--el1", "--only", "MmioRead"), ("--el1", "--only")),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(options: tuple[str, ...], parts: tuple[str, ...]) -> None:
    assert_refused(armvcpu("trace", *options, sample("hello")), *parts)


def test_what_is_refused_costs_nobody_an_earlier_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("of yesterday")
    assert_refused(armvcpu("trace", "-o", log, "--symbol", "mian", sample("hello")), "mian")
    assert log.read_text() == "of yesterday"


def test_a_guest_without_symbols_is_told_how_to_get_some(tmp_path: Path) -> None:
    raw = tmp_path / "raw.bin"
    raw.write_bytes(bytes(64))
    assert_refused(armvcpu("trace", "--symbol", "main", raw), "--symbol main: ", "--symbols")


@pytest.mark.parametrize("text", ["0:inf", ":1e300", "0:1e18", "0:"])
def test_times_may_be_as_long_as_anybody_likes(text: str) -> None:
    told = events(armvcpu("trace", "--format", "jsonl", "--time", text, "--events", "exit", sample("hello")).err)
    assert len(told) == 149


def test_a_device_that_is_passed_through_can_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "machine.toml"
    path.write_text('base = "virt"\n[device.uart0]\npassthrough = true\n')
    finished = armvcpu("trace", "--format", "jsonl", "-m", path, "--device", "uart0", sample("hello"))
    told = events(finished.err)
    assert {event["type"] for event in told} == {"access"}
    written = bytes(int(event["data"], 16) for event in told if event.get("register") == "PL011.UARTDR")
    assert written == finished.out
    assert (
        events(
            armvcpu(
                "trace", "--format", "jsonl", "-m", path, "--device", "rtc", "--events", "access", sample("hello")
            ).err
        )
        == []
    )


@pytest.mark.parametrize("options", [("--only", "MmioWrite"), ("--last", "5"), ("--start-on", "9"), ("--el1",)])
def test_a_limit_holds_whatever_is_chosen(options: tuple[str, ...]) -> None:
    finished = armvcpu("trace", "--format", "jsonl", *options, "--max-exits", "25", guest("flood"))
    assert finished.status == 124
    assert parse(finished.err)[-1]["total"] == 25


def test_the_examples_of_the_help_are_options_that_there_are() -> None:
    text = armvcpu("trace", "--help").out.decode()
    examples = [line.split("   ")[0].split() for line in text.splitlines() if line.startswith("    armvcpu trace ")]
    assert len(examples) >= 5
    known = {word for line in text.splitlines() for word in line.split() if word.startswith("--")}
    for example in examples:
        assert {word for word in example if word.startswith("--")} <= known
    assert (SAMPLES / "exits" / "exits.elf").exists()
