"""Conversations with a guest on its console: awaited text, sent text, and limits of guest time."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from arm_vcpu_cli.api import Machine
from arm_vcpu_cli.errors import UsageError
from arm_vcpu_cli.host import console
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.observe.attaching import attach_tracer
from arm_vcpu_cli.observe.tracing_options import TraceOptions
from arm_vcpu_cli.trace.jsonlines import JsonLinesSink
from arm_vcpu_cli.vm.conversation import ExpectationError
from arm_vcpu_cli.vm.endings import Ending
from tests.integration.command import sample
from tests.integration.test_library import POWER_OFF, program
from tests.support.saying_guest import End, saying


@pytest.fixture
def echo() -> Iterator[Machine]:
    with Machine.open(sample("echo")) as machine:
        yield machine


def test_the_guest_stops_behind_the_byte_that_completes_the_match(echo: Machine) -> None:
    assert echo.expect(r"Type (\w+);").group(1) == "lines"
    assert echo.console == b"Type lines;"
    echo.send("hello\n")
    assert echo.expect("HEL").group() == "HEL"
    assert echo.run(guest_timeout=1).console.endswith(b"ends.\nHELLO\n")


def test_input_is_answered_and_the_guest_ends(echo: Machine) -> None:
    for word in ("one", "two"):
        echo.send(f"{word}\n")
        echo.expect(f"^{word.upper()}$")
    echo.send(b"quit\n")
    assert int(echo.expect(r"(\d+) lines").group(1)) == 3
    assert echo.run().message == "the guest powered off"
    assert echo.run().message == "the guest powered off"
    with pytest.raises(ExpectationError, match=r"^the console does not show 'more': the guest powered off\n"):
        echo.expect("more")


def test_what_was_printed_before_is_searched_first_and_only_once() -> None:
    with Machine.open(sample("hello")) as machine:
        machine.run()
        exits = machine.parts.exits
        assert machine.expect("Hello from EL(.)").group(1) == "1"
        assert machine.expect(re.compile("MIDR_EL1 (0x[0-9A-F]+)", re.IGNORECASE)).group(1) == "0x410fd083"
        assert machine.parts.exits == exits
        with pytest.raises(ExpectationError):
            machine.expect("Hello")


def test_text_over_several_lines() -> None:
    with Machine.open(sample("hello")) as machine:
        assert machine.expect(r"Hello from EL1!\nCurrentEL 0x4  M").group().endswith("M")


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [("1.*$", "123 abc4"), (r"1\d+", "123"), (r"[A-Z]+\d", "ABC4"), (r"\w+", "123"), ("^1.*C4", "123 ABC4")],
)
def test_a_match_is_complete(echo: Machine, pattern: str, matched: str) -> None:
    echo.expect("ends.\n")
    echo.send("123 abc4\n")
    assert echo.expect(pattern).group() == matched.upper()


def test_the_end_of_a_line_that_is_not_complete(echo: Machine) -> None:
    echo.send("de")
    assert echo.expect("DE$", timeout=1).group() == "DE"
    assert echo.parts.timeline.now() > 1_000_000_000, "nothing shows before the limit that the line ends here"


def test_what_is_missing_is_told_with_the_last_lines(echo: Machine) -> None:
    echo.send("".join(f"line {number}\n" for number in range(20)))
    with pytest.raises(ExpectationError) as caught:
        echo.expect("never", timeout=0.5)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("the console does not show 'never': stopped after 0.5 s of guest time at 0x4008")
    assert lines[1] == "the last 10 of 21 lines since the last match:"
    assert (lines[2], lines[-1]) == ("  | LINE 10", "  | LINE 19")
    assert caught.value.result.ending is Ending.LIMIT
    echo.send("quit\n")
    assert echo.run().ending is Ending.POWERED_OFF


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("(", "is no regular expression"), (re.compile(b"x"), "for text"), (3, "found int")],
)
def test_what_is_no_pattern(echo: Machine, pattern: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        echo.expect(pattern)


def test_a_console_of_the_callers_takes_no_input(tmp_path: Path) -> None:
    with (
        (tmp_path / "out").open("wb") as file,
        Machine.open(sample("echo"), console=Console(file.fileno(), None)) as machine,
    ):
        machine.expect("Type")
        with pytest.raises(UsageError, match="own console"):
            machine.send("x")


def test_guest_time_ends_a_loop_at_the_same_place_each_time() -> None:
    loop = (0x9100_0400, 0x9100_0821, 0x17FF_FFFE)  # add x0, x0, #1; add x1, x1, #2; b .-8
    ends = []
    for _ in range(2):
        with Machine.open(program(*loop, *POWER_OFF)) as machine:
            first, second = machine.run(guest_timeout=0.001), machine.run(guest_timeout=0.001)
            assert first.ending is second.ending is Ending.LIMIT
            assert first.message.startswith("stopped after 0.001 s of guest time at 0x4008000")
            ends.append((first.registers[0]["x0"], second.registers[0]["x0"]))
    assert ends[0] == ends[1]
    assert 0 < ends[0][0] < ends[0][1]


def test_guest_time_ends_a_wait_in_time() -> None:
    """Three ticks, a hundred a second."""
    with Machine.open(sample("ticks")) as machine:
        result = machine.run(guest_timeout=0.015)
        assert (result.ending, result.console) == (Ending.LIMIT, b"tick 1\n")
        assert 15_000_000 <= machine.parts.timeline.now() < 15_001_000
        assert machine.run(guest_timeout=1).console == b"tick 1\ntick 2\ntick 3\n"


@pytest.mark.parametrize("clock", ["instructions", "host"])
def test_a_guest_that_polls_in_vain_goes_on_when_it_gets_input(clock: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "STALLED_SECONDS", 0.2)
    with Machine.open(sample("echo"), {"clock": {"source": clock}}) as machine:
        for word in ("one", "two"):
            begun = machine.parts.timeline.now()
            result = machine.run()
            assert result.ending is Ending.NO_PROGRESS
            assert result.message.startswith("the guest waits for input, and the input has ended, at 0x4008")
            assert machine.parts.timeline.now() - begun > 200_000_000
            machine.send(f"{word}\n")
            assert machine.expect(f"^{word.upper()}$")
        machine.send("quit\n")
        assert machine.run().ending is Ending.POWERED_OFF


def test_a_guest_that_waits_in_vain_is_told_at_once_in_spite_of_the_limit() -> None:
    wait = (0xD503_207F, 0x17FF_FFFF)  # wfi; b .-4
    with Machine.open(program(*wait)) as machine:
        assert machine.run(guest_timeout=100).ending is Ending.NO_PROGRESS
        assert machine.parts.timeline.now() < 1_000_000


def test_a_panic_is_one_wherever_the_guest_is_stopped_in_it(tmp_path: Path) -> None:
    reason = "Kernel panic - not syncing: no init"
    panics = saying(tmp_path / "panics.elf", f"{reason}\n---[ end {reason} ]---\n", end=End.COMPUTE)
    with Machine.open(panics) as machine:
        for text in ("Kernel", "syncing", "end Kernel"):
            machine.expect(text)
        result = machine.run(timeout=60)
    assert (result.ending, result.message) == (Ending.PANIC, "the guest's kernel panicked: no init")


def test_a_reset_goes_back_to_the_start_and_not_to_the_last_stop() -> None:
    writes = (
        0xD2A1_2001,  # mov x1, #0x09000000
        0xB940_2423,  # ldr w3, [x1, #0x24]: UARTIBRD, 0 after a reset
        0x5280_0024,  # mov w4, #1
        0xB900_2424,  # str w4, [x1, #0x24]
        0x1101_0463,  # add w3, w3, #'A'
        0x3900_0023,  # strb w3, [x1]
        0x5280_0120,  # mov w0, #9
        0x72B0_8000,  # movk w0, #0x8400, lsl #16
        0xD400_0002,  # hvc #0: SYSTEM_RESET
    )
    with Machine.open(program(*writes), reboot=True) as machine:
        for _ in range(3):
            assert machine.expect("A|B").group() == "A"


@pytest.mark.parametrize("name", ["smp", "ticks"])
def test_a_conversation_leaves_no_mark_in_the_trace(name: str) -> None:
    traces = []
    for talks in (False, True):
        stream = io.StringIO()
        with Machine.open(sample(name), cpus=4) as machine:
            attach_tracer(machine.parts, JsonLinesSink(stream), TraceOptions())
            if talks:
                for pattern in ("[a-z]", "[0-9]", "\n", "[0-9]", "\n"):
                    machine.expect(pattern)
            machine.run()
        traces.append(stream.getvalue())
    assert traces[0].count("\n") > 50
    assert traces[0] == traces[1]
