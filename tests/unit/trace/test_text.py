"""Trace events as text: the contents and wording of a line, collapsed lines, and colour."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.axvcpu.exit import EXIT_REASONS
from arm_vcpu_cli.trace.event import EXIT, Field, Hex, TraceEnd, TraceEvent, TraceHeader
from arm_vcpu_cli.trace.sinks import TraceSink
from arm_vcpu_cli.trace.text import ROLES, TextSink, event_line

from .traces import EVENTS

HVC, WRITE = 0x5A00_0000, 0x9300_0046
END = TraceEnd("fault", 122, "it broke", 7, 1_500_000_000)
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def event(**changes: object) -> TraceEvent:
    values: dict[str, object] = {
        "type": EXIT,
        "seq": 3,
        "vcpu": 0,
        "time": 1_234_567,
        "name": "Hypercall",
        "pc": 0x4008_0010,
        "symbol": "main+0x10",
        "source": "main.c:7",
        "el": 1,
        "esr": HVC,
        "fields": (("conduit", "hvc"), ("nr", Hex(0x8400_0000)), ("call", "PSCI_VERSION")),
    }
    return TraceEvent(**{**values, **changes})  # type: ignore[arg-type]


def access(name: str, *fields: Field) -> str:
    """What a line says behind the place of an access, up to the syndrome."""
    line = event_line(event(name=name, source="", esr=None, fields=fields))
    return line.partition("<main+0x10>")[2].strip()


def text(*events: TraceEvent) -> str:
    stream = io.StringIO()
    sink: TraceSink = TextSink(stream)
    for each in events:
        sink.event(each)
    return stream.getvalue()


# Lines -------------------------------------------------------------------------------------------------------------


def test_a_line_has_everything_in_order() -> None:
    line = text(event(note="a note"))
    assert line.count("\n") == 1
    parts = (
        "      3 cpu0   0.001234567 Hypercall",
        "EL1 0x40080010 <main+0x10>",
        "main.c:7",
        "conduit=hvc nr=0x84000000 call=PSCI_VERSION",
        "[a note]",
        "| ESR_EL2=0x5a000000 EC=0x16",
    )
    places = [line.index(part) for part in parts]
    assert places == sorted(places)


def test_what_there_is_not_is_left_out() -> None:
    line = text(event(symbol="", source="", esr=None, fields=()))
    assert not set("<[|") & set(line)
    assert line.endswith("0x40080010\n")


def test_columns_stand_under_each_other() -> None:
    lines = [event_line(event(name=name, fields=())) for name in ("Halt", "MmioRead", "NestedPageFault")]
    assert len({line.index("EL1") for line in lines}) == 1
    assert len({line.index("main.c") for line in lines}) == 1


def test_an_exception_has_the_syndrome_of_el1() -> None:
    line = event_line(event(type="exception", name="svc", esr=0x5600_0000, fields=(("imm", 0),)))
    assert "exception svc" in line
    assert "| ESR_EL1=0x56000000 EC=0x15" in line


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        (
            "MmioWrite",
            (
                ("ipa", Hex(0x900_0000)),
                ("va", Hex(0xFFFF_0000)),
                ("device", "uart0"),
                ("register", "PL011.UARTDR"),
                ("offset", Hex(0)),
                ("width", 4),
                ("data", Hex(0x41)),
                ("meaning", "'A'"),
            ),
            "PL011.UARTDR <- 'A' ipa=0x9000000 width=4",
        ),
        (
            "MmioWrite",
            (
                ("ipa", Hex(0x800_0104)),
                ("device", "gic"),
                ("register", "GICD_ISENABLER1"),
                ("offset", Hex(0x104)),
                ("width", 4),
                ("data", Hex(2)),
                ("meaning", "INTID 33"),
            ),
            "GICD_ISENABLER1 <- 0x2 (INTID 33) ipa=0x8000104 width=4",
        ),
        (
            "MmioRead",
            (
                ("ipa", Hex(0xA00_0008)),
                ("device", "plain"),
                ("offset", Hex(8)),
                ("width", 8),
                ("reg", "x3"),
                ("value", Hex(5)),
            ),
            "plain+0x8 -> 0x5 ipa=0xa000008 width=8 reg=x3",
        ),
        (
            "MmioRead",
            (("ipa", Hex(0xA00_0008)), ("device", "plain"), ("offset", Hex(8)), ("width", 8), ("reg", "x3")),
            "plain+0x8 ipa=0xa000008 width=8 reg=x3",
        ),
        (
            "MmioRead",
            (("ipa", Hex(0xB00_0000)), ("width", 8), ("reg", "xzr"), ("value", Hex(0))),
            "ipa=0xb000000 width=8 reg=xzr value=0x0",
        ),
        (
            "SysRegRead",
            (("sysreg", "ICC_IAR1_EL1"), ("reg", "x0"), ("value", Hex(27)), ("meaning", "INTID=0x1b")),
            "ICC_IAR1_EL1 -> 0x1b (INTID=0x1b) reg=x0",
        ),
        ("SysRegWrite", (("sysreg", "CNTVCT_EL0"), ("value", Hex(2))), "CNTVCT_EL0 <- 0x2"),
        (
            "NestedPageFault",
            (("ipa", Hex(0x1234)), ("va", Hex(0x1234)), ("access", "execute")),
            "ipa=0x1234 va=0x1234 access=execute",
        ),
        (
            "CpuUp",
            (("conduit", "hvc"), ("call", "CPU_ON"), ("result", Hex(2**64 - 4)), ("error", "ALREADY_ON")),
            "conduit=hvc call=CPU_ON result=0xfffffffffffffffc error=ALREADY_ON",
        ),
        ("ExternalInterrupt", (("vector", 26), ("host_ns", 1200)), "vector=26 host_ns=1200"),
        ("Halt", (), ""),
    ],
)
def test_what_is_said_of_an_exit(name: str, fields: tuple[Field, ...], said: str) -> None:
    assert access(name, *fields) == said


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (TraceEvent("irq", 5, 0, 0, "raised", fields=(("intid", 27), ("source_name", "virtual timer"))),
         "irq raised INTID 27 (virtual timer)"),
        (TraceEvent("irq", 5, 0, 0, "injected", fields=(("intid", 3), ("latency_ns", 999))),
         "irq injected INTID 3 after 999 ns"),
        (TraceEvent("irq", 5, 0, 0, "ended", fields=(("intid", 3), ("latency_ns", 1500))),
         "irq ended INTID 3 after 1.5 us"),
        (TraceEvent("irq", 5, 0, 0, "ended", fields=(("intid", 3), ("latency_ns", 2_500_000))),
         "irq ended INTID 3 after 2.500 ms"),
        (TraceEvent("state", 5, 0, 0, "Blocked", fields=(("from", "Ready"),)), "state Blocked from Ready"),
        (TraceEvent("console", 5, 0, 0, "", fields=(("text", "hello\r\n"),)), r"console 'hello\r\n'"),
        (TraceEvent("entry", 5, 0, 0, "", 0x1000, el=0), "entry EL0 0x1000"),
        (TraceEvent("entry", 5, 0, 0, "", 0x1000, el=1, fields=(("virq", "irq fiq"),)), "virq=irq fiq"),
        (
            TraceEvent(
                "access", 5, 0, 0, "",
                fields=(
                    ("ipa", Hex(0x900_0000)), ("device", "uart0"), ("register", "PL011.UARTDR"), ("offset", Hex(0)),
                    ("width", 1), ("data", Hex(0x41)), ("meaning", "'A'"),
                ),
            ),
            "access PL011.UARTDR <- 'A' ipa=0x9000000 width=1",
        ),
    ],
)  # fmt: skip
def test_what_is_said_of_everything_else(told: TraceEvent, said: str) -> None:
    line = event_line(told)
    assert line.startswith("      5 cpu0   0.000000000 ")
    assert " ".join(line.split()).endswith(" ".join(said.split()))


# Nothing of the guest's reaches the terminal raw -------------------------------------------------------------------


@given(st.text() | st.sampled_from(["\x1b[31mred", "a\rb", "\x9b2J", "\x07", "\u202etxt", "\ud800", "\n"]))
def test_a_line_of_the_console_controls_no_terminal(said: str) -> None:
    line = event_line(TraceEvent("console", 1, 0, 0, "", fields=(("text", said),)))
    assert line.isprintable()


def test_the_name_of_the_guest_controls_no_terminal() -> None:
    stream = io.StringIO()
    TextSink(stream).header(TraceHeader("t", "\x1b[2Jevil\n.elf", "virt", "max", "instructions"))
    assert stream.getvalue() == "# \\x1b[2Jevil\\x0a.elf on virt, max, clock: instructions\n"


# Repetitions -------------------------------------------------------------------------------------------------------


def repeated(count: int, first: int = 1, **changes: object) -> list[TraceEvent]:
    return [event(seq=first + n, time=1000 * n, **changes) for n in range(count)]


def test_what_comes_again_and_again_is_told_once_and_the_rest_is_counted() -> None:
    lines = text(*repeated(1000), event(seq=1001, name="Halt")).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("      1 cpu0 ")
    assert lines[1].strip() == "... the same 999 times more"
    assert lines[2].startswith("   1001 cpu0 ")


def test_a_single_repetition_is_told_too() -> None:
    assert text(*repeated(2), event(seq=3, pc=0)).splitlines()[1].strip() == "... the same once more"


@pytest.mark.parametrize(
    "change",
    [
        {"type": "exception"},
        {"vcpu": 1},
        {"name": "Halt"},
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
    said = text(*repeated(3), *repeated(4, name="Halt"), *repeated(1)).splitlines()
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


# The beginning and the end -----------------------------------------------------------------------------------------


def test_the_first_line_says_what_runs_where() -> None:
    stream = io.StringIO()
    TextSink(stream).header(TraceHeader("t", "hello.elf", "virt", "cortex-a72", "instructions"))
    assert stream.getvalue() == "# hello.elf on virt, cortex-a72, clock: instructions\n"


def test_the_end_says_how_it_ended() -> None:
    stream = io.StringIO()
    TextSink(stream).end(END)
    assert stream.getvalue() == "(no event met all criteria)\n\nended: it broke (status 122, 1.500000 s)\n"


def test_the_counts_are_a_table_with_the_most_frequent_first() -> None:
    stream = io.StringIO()
    TextSink(stream).summary({"Halt": 2, "MmioRead": 10, "CpuUp": 2}, 14)
    rows = [line.split() for line in stream.getvalue().splitlines() if line]
    assert rows == [["exits", "reason"], ["10", "MmioRead"], ["2", "CpuUp"], ["2", "Halt"], ["14", "total"]]


# Colour ------------------------------------------------------------------------------------------------------------


def marked(part: str, role: str) -> str:
    """A style that can be seen."""
    return f"{{{role}:{part}}}"


def test_without_a_style_there_is_no_escape_sequence() -> None:
    stream = io.StringIO()
    sink = TextSink(stream)
    sink.header(TraceHeader("t", "hello.elf", "virt", "cortex-a72", "instructions"))
    for each in EVENTS:
        sink.event(each)
    sink.end(END)
    sink.summary({"Halt": 1}, 1)
    assert not CONTROL.search(stream.getvalue())


@pytest.mark.parametrize("told", EVENTS, ids=lambda told: f"{told.type} {told.name}".strip())
def test_a_style_changes_nothing_but_looks(told: TraceEvent) -> None:
    bare = re.sub(r"\{[a-z]+:([^}]*)\}", r"\1", event_line(told, marked))
    assert bare.split() == event_line(told).split()


def test_each_part_is_styled_as_what_it_is() -> None:
    line = event_line(event(name="MmioWrite", esr=WRITE), marked)
    for role in ("write", "place", "syndrome"):
        assert f"{{{role}:" in line
    assert "{irq:irq raised" in event_line(TraceEvent("irq", 1, 0, 0, "raised"), marked)
    assert "{exception:exception svc" in event_line(TraceEvent("exception", 1, 0, 0, "svc"), marked)


def test_every_exit_reason_looks_like_something() -> None:
    assert set(ROLES) == {reason.__name__ for reason in EXIT_REASONS}
