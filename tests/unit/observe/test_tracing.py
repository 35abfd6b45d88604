"""The tracer: what it reports in which order, what it counts, and what a selection or a window drops."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.arm_vcpu.observer import El1ExceptionRecord, ExitObserver, ExitRecord
from arm_vcpu_cli.axvcpu.exit import (
    AccessFlags,
    AccessWidth,
    AxVCpuExitReason,
    ExternalInterrupt,
    Halt,
    MmioRead,
    MmioWrite,
    NestedPageFault,
    Nothing,
    SysRegRead,
)
from arm_vcpu_cli.axvcpu.vcpu import VCpuState
from arm_vcpu_cli.devices.bus import Bus
from arm_vcpu_cli.devices.regions import ReadAsZero
from arm_vcpu_cli.guest.symbol import Symbol
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.observe.describing import EventDescriber
from arm_vcpu_cli.observe.tracing import Tracer
from arm_vcpu_cli.observe.tracing_options import TraceOptions
from arm_vcpu_cli.trace.event import EVENT_TYPES, UNASKED_TYPES, TraceEnd, TraceEvent
from arm_vcpu_cli.trace.selection import Selection, Span
from arm_vcpu_cli.vm.endings import Ending, RunResult
from arm_vcpu_cli.vm.faults.armed_fault import Injection
from arm_vcpu_cli.vm.passthrough import PassedThrough
from tests.support.sink import Sink

CREATED, FREE, READY, RUNNING, BLOCKED = (
    VCpuState.CREATED,
    VCpuState.FREE,
    VCpuState.READY,
    VCpuState.RUNNING,
    VCpuState.BLOCKED,
)
HVC, SVC = 0x16 << 26, 0x15 << 26
UART = 0x0900_0000
OFF = RunResult(Ending.POWERED_OFF, 0, "the guest powered off", 5, 1.5)


class Clock:
    """Nanoseconds that pass when a test says so."""

    def __init__(self, now: int = 0) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def symbols() -> SymbolTable:
    return SymbolTable([Symbol("main", 0x1000, 0x100)])


def tracer(
    sink: Sink, clock: Callable[[], int] | None = None, *, describer: EventDescriber | None = None, **options: Any
) -> Tracer:
    """``options`` are those of a selection, or of a trace."""
    chosen = {name: options.pop(name) for name in list(options) if name in Selection.__dataclass_fields__}
    return Tracer(
        sink,
        EventDescriber(symbols(), Bus()) if describer is None else describer,
        TraceOptions(selection=Selection(**chosen), **options),
        clock=clock or Clock(),
    )


def told_exit(
    trace: Tracer, reason: AxVCpuExitReason | None = None, *, pc: int = 0x1010, esr: int | None = HVC
) -> None:
    """One exit from beginning to end."""
    trace.exit(ExitRecord(trace.now(), reason or Nothing(), esr, pc, 1))


def told_exception(trace: Tracer, esr: int | None = SVC, *, pc: int = 0x1010) -> None:
    trace.exception(El1ExceptionRecord(trace.now(), 0 if esr is not None else 1, esr, None, pc, 0, 0x8400, 64))


def types(*names: str) -> frozenset[str]:
    return frozenset(names)


def test_a_tracer_is_an_observer_that_asks_for_what_is_wanted() -> None:
    observer: ExitObserver = tracer(Sink(), types=types("exit"))
    assert (observer.wants_entries, observer.wants_exceptions, observer.timing) == (False, False, False)
    observer = tracer(Sink(), types=types("entry", "exception"), timing=True)
    assert (observer.wants_entries, observer.wants_exceptions, observer.timing) == (True, True, True)


def test_times_are_those_since_the_tracer_was_made() -> None:
    clock = Clock(1_000_000)
    trace = tracer(Sink(), clock)
    clock.now += 70
    assert trace.now() == 70


# Counting ----------------------------------------------------------------------------------------------------------


def test_what_a_choice_drops_is_counted_and_numbered() -> None:
    sink = Sink()
    trace = tracer(sink, reasons=types("Halt"))
    for reason in (Nothing(), Halt(), Nothing(), Halt()):
        told_exit(trace, reason)
    assert sink.told == ["exit Halt", "exit Halt"]
    assert sink.numbers == [2, 4]
    trace.close()
    assert (sink.counts, sink.total) == ({"Nothing": 2, "Halt": 2}, 4)
    assert list(trace.counts) == ["Nothing", "Halt"], "in the order in which they came"


@pytest.mark.parametrize(
    "options",
    [
        {"types": types("irq")},
        {"reasons": types("CpuUp")},
        {"pcs": (Span(0, 1),)},
        {"numbers": (Span(100, 200),)},
        {"first": 1},
        {"last": 1},
        {"start_at": (0x1000,)},
        {"start_on": b"never"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_no_choice_and_no_window_changes_the_counts(options: dict[str, Any]) -> None:
    sink = Sink()
    trace = tracer(sink, **options)
    for reason in (Halt(), Nothing(), Halt()):
        told_exit(trace, reason)
    trace.end(OFF)
    trace.close()
    assert (sink.counts, sink.total) == ({"Halt": 2, "Nothing": 1}, 3)


class NoDescriber:
    """Fails the test that has anything described."""

    def __getattr__(self, name: str) -> Any:
        def describe(*_arguments: object) -> TraceEvent:
            raise AssertionError(f"{name}: described, and nobody wants it")

        return describe


def everything_happens(trace: Tracer) -> None:
    """One event of each type that is asked for; what is not, a machine does not tell."""
    if trace.wants_states:
        trace.state(0, READY, RUNNING)
    if trace.wants_entries:
        trace.entry(0, 0x1000, 1, irq=False, fiq=False)
    told_exit(trace, MmioRead(UART, AccessWidth.WORD, 1, AccessWidth.DWORD))
    told_exception(trace)
    if trace.wants_interrupts:
        trace.interrupt("raised", 0, 27)
    trace.console(b"line\n")
    if trace.wants_accesses:
        trace.access(PassedThrough("plain", UART, ReadAsZero(), lambda: None), True, 0, 4, 1)
    if trace.wants_code:
        trace.code(0x1000, range(0x4000_0000, 0x4000_1000))
    if trace.wants_faults:
        trace.fault(Injection("upset", "flip", 1, 0, 0, 0x1000, "bit 0 of x0"))


def test_everything_is_told_to_who_wants_it_all() -> None:
    sink = Sink()
    everything_happens(tracer(sink))
    assert {event.type for event in sink.events} == set(EVENT_TYPES) - UNASKED_TYPES


def test_first_executions_are_told_to_who_names_them() -> None:
    sink = Sink()
    everything_happens(tracer(sink, types=frozenset({"code"})))
    (told,) = sink.events
    assert (told.type, told.seq, told.pc) == ("code", 1, 0x1000)
    assert told.fields == (("ipa", 0x4000_0000), ("size", 0x1000))


@pytest.mark.parametrize(
    "options",
    [
        {"types": frozenset()},
        {"reasons": types("Halt")},
        {"vcpus": frozenset({1})},
        {"times": (Span(10, 20),)},
        {"numbers": (Span(5, 9),)},
        {"start_at": (0x1000,)},
        {"start_on": b"never"},
        {"types": types("exit", "exception", "entry"), "classes": frozenset({1})},
        {"types": types("exit", "exception", "entry"), "pcs": (Span(0, 1),)},
        {"types": types("exit", "entry", "access"), "ipas": (Span(0, 1),)},
    ],
    ids=lambda options: " ".join(options),
)
def test_what_nobody_wants_is_never_described(options: dict[str, Any]) -> None:
    sink = Sink()
    trace = tracer(sink, describer=NoDescriber(), **options)  # type: ignore[arg-type]
    everything_happens(trace)
    trace.end(OFF)
    assert (sink.events, trace.counts) == ([], {"MmioRead": 1})


# Choosing ----------------------------------------------------------------------------------------------------------


def test_the_address_of_an_exit_is_that_of_its_access() -> None:
    sink = Sink()
    trace = tracer(sink, ipas=(Span(UART, UART + 0xFFF),))
    for reason in (
        MmioRead(UART + 0x18, AccessWidth.WORD, 1, AccessWidth.DWORD),
        MmioWrite(UART + 0x1000, AccessWidth.WORD, 1),
        MmioWrite(UART + 0xFFF, AccessWidth.BYTE, 1),
        NestedPageFault(UART, AccessFlags.READ),
        SysRegRead(UART, 1),
        Halt(),
    ):
        told_exit(trace, reason)
    assert sink.told == ["exit MmioRead", "exit MmioWrite", "exit NestedPageFault"]


def test_accesses_without_an_exit_are_chosen_by_their_address_too() -> None:
    sink = Sink()
    trace = tracer(sink, types=types("access"), ipas=(Span(UART, UART + 3),))
    device = PassedThrough("plain", UART, ReadAsZero(), lambda: None)
    for offset in (0, 4, 3):
        trace.access(device, True, offset, 1, 0)
    assert [dict(event.fields)["offset"] for event in sink.events] == [0, 3]


def test_exceptions_are_chosen_by_their_own_class_and_place() -> None:
    sink = Sink()
    trace = tracer(sink, types=types("exit", "exception"), classes=frozenset({0x15}), pcs=(Span(0x1000, 0x1FFF),))
    told_exception(trace)
    told_exception(trace, pc=0x2000)
    told_exception(trace, 0x24 << 26)
    told_exception(trace, None)
    told_exit(trace)
    assert sink.told == ["exception svc"]


def test_entries_have_a_place_and_a_number() -> None:
    sink = Sink()
    trace = tracer(sink, types=types("entry"), pcs=(Span(0x1000),), numbers=(Span(1, 2),))
    for pc in (0x1000, 0xFFF, 0x1004, 0x1008):
        trace.entry(0, pc, 1, irq=False, fiq=False)
        told_exit(trace)
    assert [(event.seq, event.pc) for event in sink.events] == [(2, 0x1004)]


def test_everything_else_is_chosen_by_time_and_number() -> None:
    sink, clock = Sink(), Clock()
    trace = tracer(sink, clock, types=types("irq", "console", "state"), times=(Span(10, 20),), reasons=types("Halt"))
    for now in (5, 10, 20, 25):
        clock.now = now
        trace.interrupt("raised", 0, 27)
        trace.console(b"x\n")
        trace.state(0, READY, BLOCKED)
    assert [event.time for event in sink.events] == [10, 10, 10, 20, 20, 20]


@given(first=st.integers(0, 30), count=st.integers(0, 30))
def test_the_first_are_told_and_no_more(first: int, count: int) -> None:
    sink = Sink()
    trace = tracer(sink, first=first)
    for _ in range(count):
        told_exit(trace)
    assert sink.numbers == list(range(1, min(first or count, count) + 1))


@given(last=st.integers(1, 30), count=st.integers(0, 40))
def test_the_last_are_told_at_the_end_in_order(last: int, count: int) -> None:
    sink = Sink()
    trace = tracer(sink, last=last)
    for _ in range(count):
        told_exit(trace)
    assert sink.events == []
    trace.end(OFF)
    assert sink.numbers == list(range(max(0, count - last) + 1, count + 1))
    assert len(sink.ends) == 1


def test_the_last_are_of_those_that_are_wanted() -> None:
    sink = Sink()
    trace = tracer(sink, reasons=types("Halt"), last=2)
    for reason in (Halt(), Halt(), Nothing(), Halt(), Nothing()):
        told_exit(trace, reason)
    trace.end(OFF)
    assert sink.numbers == [2, 4]


class CountingDescriber(EventDescriber):
    """Counts what it has described."""

    made = 0

    def exit(self, number: int, record: ExitRecord, caller: int = 0) -> TraceEvent:
        self.made += 1
        return super().exit(number, record, caller)


def test_what_only_the_ring_keeps_is_not_described_before_the_end() -> None:
    describer = CountingDescriber(symbols(), Bus())
    sink = Sink()
    trace = tracer(sink, describer=describer, last=3)
    for _ in range(100):
        told_exit(trace)
    assert describer.made == 0
    trace.end(OFF)
    assert (describer.made, sink.numbers) == (3, [98, 99, 100])


def test_the_caller_is_looked_for_when_the_exit_happens() -> None:
    sink = Sink()
    stack = [0x1000]
    trace = Tracer(
        sink,
        EventDescriber(symbols(), Bus()),
        TraceOptions(last=5),
        clock=Clock(),
        caller=lambda _pc, _lr, _fp: stack[0],
    )
    told_exit(trace)
    stack[0] = 0
    trace.end(OFF)
    assert sink.events[0].caller == "main"


# Windows -----------------------------------------------------------------------------------------------------------


def test_a_trace_that_starts_at_an_address_is_empty_until_then() -> None:
    sink = Sink()
    trace = tracer(sink, start_at=(0x1000,), stop_at=(0x2000,))
    told_exit(trace)
    trace.open()
    told_exit(trace)
    trace.shut()
    told_exit(trace)
    trace.open()
    told_exit(trace)
    assert sink.numbers == [2, 4]


def test_a_window_does_not_give_back_what_first_has_used_up() -> None:
    sink = Sink()
    trace = tracer(sink, start_at=(0x1000,), first=1)
    for _ in range(3):
        trace.open()
        told_exit(trace)
    assert sink.numbers == [1]


@pytest.mark.parametrize(
    ("chunks", "numbers"),
    [
        ([b"Run /init\n"], [2]),
        ([b"... Run /init ..."], [2]),
        ([b"Run ", b"/in", b"it\n"], [4]),
        ([b"R", b"u", b"n", b" ", b"/", b"i", b"n", b"i", b"t"], [10]),
        ([b"Run /ini", b"x", b"t"], []),
        ([b"Run /ini", b"Run /init"], [3]),
        ([], []),
    ],
)
def test_a_trace_starts_when_the_text_is_complete_however_it_comes(chunks: list[bytes], numbers: list[int]) -> None:
    sink = Sink()
    trace = tracer(sink, types=types("exit"), start_on=b"Run /init")
    told_exit(trace)
    for number, chunk in enumerate(chunks, 1):
        trace.console(chunk)
        told_exit(trace)
        if number < len(chunks):
            assert sink.events == []
    assert sink.numbers == numbers


@pytest.mark.parametrize(
    ("chunks", "is_open"),
    [
        ([b"go"], True),
        ([b"go", b"stop"], False),
        ([b"go stop"], False),
        ([b"stop go"], True),
        ([b"go stop go"], True),
        ([b"go", b"st", b"op", b"g", b"o"], True),
        ([b"go", b"st", b"op", b"x"], False),
        ([b"go", b"stop", b"x"], False),
        ([b"gost", b"opgo"], True),
    ],
)
def test_text_starts_and_stops_and_starts_again(chunks: list[bytes], is_open: bool) -> None:
    sink = Sink()
    trace = tracer(sink, types=types("exit"), start_on=b"go", stop_on=b"stop")
    for chunk in chunks:
        trace.console(chunk)
    told_exit(trace)
    assert bool(sink.events) is is_open


@given(
    text=st.text("ab", max_size=20).map(str.encode),
    cuts=st.lists(st.integers(0, 20), max_size=12),
    start=st.text("ab", min_size=1, max_size=5).map(str.encode),
    stop=st.text("ab", min_size=1, max_size=5).map(str.encode),
)
def test_how_the_text_is_cut_does_not_matter(text: bytes, cuts: list[int], start: bytes, stop: bytes) -> None:
    def is_open(chunks: list[bytes]) -> bool:
        sink = Sink()
        trace = tracer(sink, types=types("exit"), start_on=start, stop_on=stop)
        for chunk in chunks:
            trace.console(chunk)
        told_exit(trace)
        return bool(sink.events)

    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[first:last] for first, last in pairwise(places)]
    ends = [
        (at + len(wanted), opens)
        for wanted, opens in ((start, True), (stop, False))
        for at in range(len(text))
        if text.startswith(wanted, at)
    ]
    # Where both end at once, it stops.
    last = max(ends, key=lambda end: (end[0], not end[1]), default=(0, False))
    assert is_open(pieces) is last[1]


# Order -------------------------------------------------------------------------------------------------------------


def test_what_an_exit_brings_about_is_told_after_it() -> None:
    sink, clock = Sink(), Clock()
    trace = tracer(sink, clock)
    clock.now = 5
    began = trace.now()
    clock.now = 7
    trace.console(b"printed\n")
    trace.interrupt("raised", 0, 33)
    assert sink.events == []
    trace.exit(ExitRecord(began, Halt(), None, 0x1000, 1))
    assert sink.told == ["exit Halt", "console", "irq raised"]
    assert [(event.seq, event.time) for event in sink.events] == [(1, 5), (1, 7), (1, 7)]
    trace.interrupt("injected", 0, 33)
    assert sink.told[-1] == "irq injected", "between exits nothing waits"


def test_what_happens_inside_an_exit_that_nobody_wants_is_told_all_the_same() -> None:
    sink = Sink()
    trace = tracer(sink, types=types("console"))
    began = trace.now()
    trace.console(b"printed\n")
    trace.exit(ExitRecord(began, Halt(), None, 0x1000, 1))
    assert sink.told == ["console"]


def test_what_happens_inside_an_exception_is_told_after_it() -> None:
    sink = Sink()
    trace = tracer(sink, types=types("exception", "irq"))
    record = El1ExceptionRecord(trace.now(), 0, SVC, None, 0, 0, 0, 0)
    trace.interrupt("raised", 0, 33)
    trace.exception(record)
    assert sink.told == ["exception svc", "irq raised"]


def test_what_was_still_going_on_at_the_end_is_told() -> None:
    sink = Sink()
    trace = tracer(sink)
    trace.now()
    trace.console(b"last words\n")
    trace.end(OFF)
    assert sink.told == ["console"]


def test_an_exception_that_nobody_wants_does_not_hold_back_what_follows() -> None:
    sink = Sink()
    trace = tracer(sink, types=types("exit", "irq"))
    record = El1ExceptionRecord(trace.now(), 0, 0, None, 0, 0, 0, 0)
    trace.interrupt("raised", 0, 33)
    trace.exception(record)
    assert sink.told == ["irq raised"]


# Entries and states ------------------------------------------------------------------------------------------------


def test_an_entry_without_an_exit_before_it_is_told_once() -> None:
    sink = Sink()
    trace = tracer(sink, types=types("entry"))
    for _ in range(3):
        trace.entry(0, 0x1000, 1, irq=False, fiq=False)
    told_exit(trace)
    for _ in range(2):
        trace.entry(0, 0x1004, 0, irq=True, fiq=True)
    assert [(event.seq, event.pc, event.el, event.fields) for event in sink.events] == [
        (0, 0x1000, 1, ()),
        (1, 0x1004, 0, (("virq", "irq fiq"),)),
    ]


@pytest.mark.parametrize(
    ("irq", "fiq", "fields"),
    [
        (True, False, (("virq", "irq"),)),
        (False, True, (("virq", "fiq"),)),
        (False, False, ()),
    ],
)
def test_an_entry_says_what_is_pending(irq: bool, fiq: bool, fields: tuple[object, ...]) -> None:
    sink = Sink()
    tracer(sink, types=types("entry")).entry(0, 0, 1, irq=irq, fiq=fiq)
    assert sink.events[0].fields == fields


def life(trace: Tracer, *states: VCpuState) -> None:
    """These states one after another."""
    for before, after in pairwise(states):
        trace.state(0, before, after)


def test_the_states_of_a_guest_that_waits_are_told_in_order() -> None:
    sink, clock = Sink(), Clock()
    trace = tracer(sink, clock, types=types("state"))
    life(trace, FREE, READY, RUNNING)
    clock.now = 10
    life(trace, RUNNING, READY, BLOCKED)
    clock.now = 20
    life(trace, BLOCKED, READY, RUNNING)
    clock.now = 30
    life(trace, RUNNING, READY)
    clock.now = 40
    trace.end(OFF)
    assert [(event.time, event.fields[0][1], event.name) for event in sink.events] == [
        (0, "Free", "Ready"),
        (0, "Ready", "Running"),
        (10, "Running", "Ready"),
        (10, "Ready", "Blocked"),
        (20, "Blocked", "Ready"),
        (20, "Ready", "Running"),
        (30, "Running", "Ready"),
    ]


@pytest.mark.parametrize("exits", [0, 1])
def test_a_guest_that_is_stopped_for_a_moment_has_not_changed_its_state(exits: int) -> None:
    """When that happens may depend on the host."""
    sink = Sink()
    trace = tracer(sink, types=types("state"))
    life(trace, FREE, READY, RUNNING)
    for _ in range(3):
        for _ in range(exits):
            told_exit(trace, ExternalInterrupt(26))
        life(trace, RUNNING, READY, RUNNING)
    assert sink.told == ["state Ready", "state Running"]


# The console -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([b"one\n"], ["one\n"]),
        ([b"one\ntwo\n"], ["one\n", "two\n"]),
        ([b"on", b"e", b"\n"], ["one\n"]),
        ([b"one\r\n", b"two\r", b"\n"], ["one\r\n", "two\r\n"]),
        ([b"one\rtwo\n"], ["one\rtwo\n"]),
        ([b"one\ntw"], ["one\n", "tw"]),
        ([b"\n\n"], ["\n", "\n"]),
        ([b"gr\xc3", b"\xbc\n"], ["gr\xfc\n"]),
        ([b"\x0b\x0c\x1c\x85\n"], ["\x0b\x0c\x1c\\x85\n"]),
        ([], []),
    ],
)
def test_the_console_is_told_by_the_line_and_what_is_left_at_the_end(chunks: list[bytes], lines: list[str]) -> None:
    sink = Sink()
    trace = tracer(sink)
    for chunk in chunks:
        trace.console(chunk)
    trace.end(OFF)
    assert sink.lines == lines


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_no_byte_of_the_console_is_lost(chunks: list[bytes]) -> None:
    sink = Sink()
    trace = tracer(sink)
    for chunk in chunks:
        trace.console(chunk)
    trace.end(OFF)
    lines = io.BytesIO(b"".join(chunks)).readlines()
    assert sink.lines == [line.decode("utf-8", "backslashreplace") for line in lines]


def test_a_line_without_an_end_is_told_in_parts() -> None:
    sink = Sink()
    trace = tracer(sink)
    for _ in range(100):
        trace.console(b"x" * 100)
    assert 1 <= len(sink.lines) < 10
    trace.end(OFF)
    assert "".join(map(str, sink.lines)) == "x" * 10_000


def test_the_console_is_not_told_where_only_its_text_is_looked_for() -> None:
    sink = Sink()
    trace = tracer(sink, types=types("exit"), start_on=b"go")
    trace.console(b"go\n")
    trace.end(OFF)
    assert sink.events == []


# Interrupts --------------------------------------------------------------------------------------------------------


def test_the_latencies_of_an_interrupt() -> None:
    sink, clock = Sink(), Clock(1000)
    trace = tracer(sink, clock)
    for now, action in ((1010, "raised"), (1012, "injected"), (1030, "acknowledged"), (1100, "ended")):
        clock.now = now
        trace.interrupt(action, 0, 27)
    assert [(event.name, event.time, dict(event.fields).get("latency_ns")) for event in sink.events] == [
        ("raised", 10, None),
        ("injected", 12, 2),
        ("acknowledged", 30, 20),
        ("ended", 100, 70),
    ]


def test_interrupts_do_not_get_in_the_way_of_each_other() -> None:
    sink, clock = Sink(), Clock()
    trace = tracer(sink, clock)
    steps = [(1, "raised", 27), (3, "raised", 33), (4, "acknowledged", 33), (9, "ended", 33), (20, "acknowledged", 27)]
    for now, action, intid in steps:
        clock.now = now
        trace.interrupt(action, 0, intid)
    assert [dict(event.fields).get("latency_ns") for event in sink.events] == [None, None, 1, 5, 19]


@pytest.mark.parametrize("action", ["injected", "acknowledged", "ended"])
def test_what_nobody_saw_beginning_has_no_latency(action: str) -> None:
    sink = Sink()
    tracer(sink).interrupt(action, 0, 27)
    assert "latency_ns" not in dict(sink.events[0].fields)


def test_an_interrupt_is_measured_also_while_the_window_is_shut() -> None:
    sink, clock = Sink(), Clock()
    trace = tracer(sink, clock, start_at=(0,))
    trace.interrupt("raised", 0, 27)
    trace.open()
    clock.now = 50
    trace.interrupt("acknowledged", 0, 27)
    assert dict(sink.events[0].fields)["latency_ns"] == 50


def test_an_interrupt_that_is_taken_is_the_one_that_is_signalled() -> None:
    sink = Sink()
    trace = Tracer(
        sink,
        EventDescriber(symbols(), Bus()),
        TraceOptions(selection=Selection(types=types("exception"))),
        clock=Clock(),
        signalled=lambda _vcpu: 27,
    )
    told_exception(trace, None)
    told_exception(trace)
    assert [dict(event.fields).get("intid") for event in sink.events] == [27, None]


# The end -----------------------------------------------------------------------------------------------------------


def test_the_end_of_the_run_is_told() -> None:
    sink, clock = Sink(), Clock()
    trace = tracer(sink, clock)
    clock.now = 77
    trace.end(RunResult(Ending.LIMIT, 124, "stopped after 5 exits", 5, 1.5))
    assert sink.ends == [TraceEnd("limit", 124, "stopped after 5 exits", 5, 77)]


def test_who_looks_at_each_exit_is_called_before_it_is_told_and_whether_it_is_wanted_or_not() -> None:
    sink = Sink()
    trace = tracer(sink, reasons=types("Halt"))
    seen: list[int] = []
    trace.at_exit = lambda: seen.append(len(sink.events))
    for reason in (Halt(), Nothing(), Halt()):
        told_exit(trace, reason)
    assert seen == [0, 1, 1]


# Several vCPUs -----------------------------------------------------------------------------------------------------


class Clocks:
    """A time for each vCPU; the first has its turn unless a test gives it to another one."""

    def __init__(self, *times: int) -> None:
        self.times = list(times)
        self.current = 0

    def now(self) -> int:
        return self.times[self.current]

    def of(self, vcpu: int) -> int:
        return self.times[vcpu]

    def tracer(self, sink: Sink, **selection: Any) -> Tracer:
        return Tracer(
            sink,
            EventDescriber(symbols(), Bus()),
            TraceOptions(Selection(**selection)),
            clock=self.now,
            clock_of=self.of,
            vcpus=len(self.times),
            current=lambda: self.current,
        )


def moments(sink: Sink) -> list[tuple[int, int]]:
    return [(event.vcpu, event.time) for event in sink.events]


def test_an_interrupt_of_another_vcpu_is_at_the_time_of_that() -> None:
    sink, clocks = Sink(), Clocks(0, 0)
    trace = clocks.tracer(sink, types=types("irq"))
    clocks.times = [900, 500]
    trace.interrupt("raised", 1, 3)
    trace.interrupt("raised", 0, 3)
    clocks.times, clocks.current = [900, 530], 1
    trace.interrupt("acknowledged", 1, 3)
    assert moments(sink) == [(1, 500), (0, 900), (1, 530)]
    assert dict(sink.events[-1].fields)["latency_ns"] == 30


def test_an_interrupt_that_goes_nowhere_is_told_of_who_has_the_turn() -> None:
    sink, clocks = Sink(), Clocks(0, 0)
    trace = clocks.tracer(sink, types=types("irq"))
    clocks.times, clocks.current = [900, 500], 1
    trace.interrupt("raised", -1, 40)
    assert moments(sink) == [(1, 500)]


def test_a_shared_interrupt_that_another_takes_has_no_negative_latency() -> None:
    sink, clocks = Sink(), Clocks(0, 0)
    trace = clocks.tracer(sink, types=types("irq"))
    clocks.times = [900, 500]
    for action, vcpu in (("raised", 0), ("acknowledged", 1), ("ended", 0)):
        trace.interrupt(action, vcpu, 40)
    assert [dict(event.fields).get("latency_ns") for event in sink.events] == [None, 0, 400]


def test_an_extended_ppi_is_each_vcpus_own() -> None:
    sink, clocks = Sink(), Clocks(0, 0)
    trace = clocks.tracer(sink, types=types("irq"))
    trace.interrupt("raised", 0, 1056)
    clocks.times = [70, 70]
    trace.interrupt("acknowledged", 1, 1056)
    assert "latency_ns" not in dict(sink.events[-1].fields)


def test_a_state_is_at_the_time_of_its_vcpu() -> None:
    sink, clocks = Sink(), Clocks(0, 0)
    trace = clocks.tracer(sink, types=types("state"))
    clocks.times = [900, 500]
    trace.state(1, BLOCKED, READY)
    assert moments(sink) == [(1, 500)]


def test_the_end_is_that_of_the_vcpu_which_is_furthest_and_after_all_that_was_done_to_one() -> None:
    sink, clocks = Sink(), Clocks(0, 0, 0)
    trace = clocks.tracer(sink, types=types("state", "irq"))
    clocks.times, clocks.current = [100, 200, 300], 1
    trace.state(1, READY, RUNNING)
    trace.state(1, RUNNING, READY)
    clocks.times, clocks.current = [100, 250, 300], 0
    trace.interrupt("raised", 1, 3)
    trace.state(0, RUNNING, READY)
    clocks.times = [120, 250, 300]
    trace.end(OFF)
    assert sink.ends[0].time == 300
    assert moments(sink) == [(1, 200), (1, 250), (0, 100), (1, 250)]


def test_who_prints_the_end_of_a_line_has_printed_it() -> None:
    sink, clocks = Sink(), Clocks(0, 0)
    trace = clocks.tracer(sink, types=types("console"))
    trace.console(b"from the one")
    clocks.times, clocks.current = [900, 500], 1
    trace.console(b" and the other\n")
    assert moments(sink) == [(1, 500)]
    assert sink.lines == ["from the one and the other\n"]


def test_each_type_of_event_is_chosen_by_its_vcpu() -> None:
    sink, clocks = Sink(), Clocks(0, 0)
    trace = clocks.tracer(sink, types=frozenset(EVENT_TYPES), vcpus=frozenset({1}))
    for vcpu in (0, 1):
        clocks.current = vcpu
        trace.exit(ExitRecord(trace.now(), Nothing(), HVC, 0x1000, 1, vcpu=vcpu))
        trace.entry(vcpu, 0x1000, 1, irq=False, fiq=False)
        trace.exception(El1ExceptionRecord(trace.now(), 0, SVC, None, 0x1000, 0, 0x8400, 64, vcpu))
        trace.interrupt("raised", vcpu, 27)
        trace.state(vcpu, FREE, READY)
        trace.console(b"line\n")
        trace.access(PassedThrough("plain", UART, ReadAsZero(), lambda: None), True, 0, 4, 1)
        trace.code(0x1000, range(0x4000_0000, 0x4000_1000))
        trace.fault(Injection("upset", "flip", 1, vcpu, 0, 0x1000, "bit 0 of x0"))
    assert {event.type for event in sink.events} == set(EVENT_TYPES)
    assert {event.vcpu for event in sink.events} == {1}
    assert sink.numbers == [2] * 9, "what a choice drops is numbered"
