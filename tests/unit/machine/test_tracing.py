"""From exits to trace events: what is told of each reason, what is counted, what a filter drops."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from arm_vcpu_cli.arm_vcpu.observer import ExitObserver, ExitRecord
from arm_vcpu_cli.axvcpu.exit import (
    EXIT_REASONS,
    AccessFlags,
    AccessWidth,
    AxVCpuExitReason,
    CpuDown,
    CpuUp,
    ExternalInterrupt,
    FailEntry,
    Halt,
    Hypercall,
    IoRead,
    IoWrite,
    MmioRead,
    MmioWrite,
    NestedPageFault,
    Nothing,
    PowerAction,
    SendIPI,
    SysRegRead,
    SysRegWrite,
    SystemDown,
)
from arm_vcpu_cli.devices.bus import Bus
from arm_vcpu_cli.devices.regions import ReadAsZero
from arm_vcpu_cli.guest.symbols import Symbol, SymbolTable
from arm_vcpu_cli.machine.runner import Ending, RunResult
from arm_vcpu_cli.machine.tracing import FIELDS, Tracer
from arm_vcpu_cli.trace.event import TraceEnd, TraceEvent

HVC, SMC = 0x16 << 26, 0x17 << 26
CNTPCT_ISS = 3 << 20 | 1 << 17 | 3 << 14 | 14 << 10
UART = 0x0900_0000


@dataclass
class Sink:
    """Keeps what it is given."""

    events: list[TraceEvent] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    total: int = -1
    ends: list[TraceEnd] = field(default_factory=list)

    def end(self, end: TraceEnd) -> None:
        self.ends.append(end)

    def event(self, event: TraceEvent) -> None:
        self.events.append(event)

    def summary(self, counts: Mapping[str, int], total: int) -> None:
        self.counts, self.total = dict(counts), total


def tracer(sink: Sink, *, only: tuple[str, ...] | None = None) -> Tracer:
    bus = Bus()
    bus.add("uart0", UART, 0x1000, ReadAsZero())
    ticks = iter(range(1000, 100_000, 10))
    symbols = SymbolTable([Symbol("main", 0x1000, 0x100)])
    return Tracer(sink, symbols, bus, only=only, clock=lambda: next(ticks))


def told(reason: AxVCpuExitReason, *, esr: int | None = HVC, value: int | None = None) -> dict[str, str]:
    """The fields of an exit, as text."""
    sink = Sink()
    tracer(sink).exit(ExitRecord(5, reason, esr, 0x1010, 1, value))
    return {name: str(text) for name, text in sink.events[0].fields}


def test_a_tracer_is_an_observer() -> None:
    observer: ExitObserver = tracer(Sink())
    assert observer.now() == 10


def test_every_reason_that_has_fields_is_told() -> None:
    with_fields = {reason for reason in EXIT_REASONS if dataclasses.fields(reason)}
    assert set(FIELDS) == with_fields


@pytest.mark.parametrize(
    ("reason", "value", "fields"),
    [
        (
            MmioRead(UART + 0x18, AccessWidth.BYTE, 3, AccessWidth.DWORD),
            0x90,
            {"addr": "0x9000018", "device": "uart0", "offset": "0x18", "width": "1", "reg": "w3", "value": "0x90"},
        ),
        (
            MmioRead(0xA00_0000, AccessWidth.QWORD, 31, AccessWidth.QWORD),
            None,
            {"addr": "0xa000000", "width": "8", "reg": "xzr"},
        ),
        (
            MmioWrite(UART, AccessWidth.DWORD, 0x41),
            None,
            {"addr": "0x9000000", "device": "uart0", "offset": "0x0", "width": "4", "data": "0x41"},
        ),
        (SysRegRead(CNTPCT_ISS, 5), 0x77, {"sysreg": "CNTPCT_EL0", "reg": "x5", "value": "0x77"}),
        (SysRegWrite(CNTPCT_ISS + (1 << 17), 2), None, {"sysreg": "CNTVCT_EL0", "value": "0x2"}),
        (IoRead(0x3F8, AccessWidth.BYTE), None, {"port": "0x3f8", "width": "1"}),
        (IoWrite(0x3F8, AccessWidth.WORD, 7), None, {"port": "0x3f8", "width": "2", "data": "0x7"}),
        (ExternalInterrupt(27), None, {"vector": "27"}),
        (NestedPageFault(0x1234, AccessFlags.EXECUTE), None, {"addr": "0x1234", "access": "execute"}),
        (CpuDown(0), None, {"conduit": "hvc", "call": "CPU_OFF", "state": "0"}),
        (SystemDown(PowerAction.RESET), None, {"conduit": "hvc", "action": "reset", "status": "0"}),
        (
            CpuUp(1, 0x8000, 9),
            2**64 - 4,
            {
                "conduit": "hvc",
                "call": "CPU_ON",
                "target_cpu": "0x1",
                "entry_point": "0x8000",
                "arg": "0x9",
                "result": "-4 (ALREADY_ON)",
            },
        ),
        (
            SendIPI(0x100, 0b11, False, False, 7),
            None,
            {
                "target_cpu": "0x100",
                "target_list": "0x3",
                "send_to_all": "False",
                "send_to_self": "False",
                "vector": "7",
            },
        ),
        (FailEntry(12, "why"), None, {"code": "12", "description": "why"}),
        (Halt(), None, {}),
        (Nothing(), None, {}),
    ],
    ids=lambda each: type(each).__name__ if not isinstance(each, (dict, int, type(None))) else "",
)
def test_the_fields_of_each_reason(reason: AxVCpuExitReason, value: int | None, fields: dict[str, str]) -> None:
    assert told(reason, value=value) == fields


@pytest.mark.parametrize(
    ("number", "esr", "value", "expected"),
    [
        (0x8400_0000, HVC, 0x1_0001, {"conduit": "hvc", "call": "PSCI_VERSION", "result": "0x10001"}),
        (0x8400_0000, SMC, 0x1_0001, {"conduit": "smc", "call": "PSCI_VERSION", "result": "0x10001"}),
        (0x8400_0013, HVC, 2**64 - 1, {"call": "MEM_PROTECT", "result": "-1 (NOT_SUPPORTED)"}),
        (0xC400_0004, HVC, 2**64 - 2, {"call": "AFFINITY_INFO_64", "result": "-2 (INVALID_PARAMETERS)"}),
        (0xC200_0001, SMC, 2**64 - 1, {"call": "SMC 0xc2000001 (SiP, fast, SMC64)", "result": "-1 (NOT_SUPPORTED)"}),
        (0xC200_0001, SMC, 2**64 - 2, {"result": "-2"}),
        (0x18, None, None, {"conduit": "semihosting", "call": "SYS_EXIT"}),
        (4, None, 2**64 - 1, {"conduit": "semihosting", "call": "SYS_WRITE0", "result": "-1"}),
        (0x77, None, 0, {"conduit": "semihosting", "call": "?", "result": "0x0"}),
        (0xFFFF_FFFF_8400_0000, HVC, 0, {"nr": "0xffffffff84000000", "call": "PSCI_VERSION"}),
    ],
)
def test_calls_by_name_and_result(number: int, esr: int | None, value: int | None, expected: dict[str, str]) -> None:
    fields = told(Hypercall(number, (0,) * 6), esr=esr, value=value)
    assert {name: fields.get(name) for name in expected} == expected
    assert "result" in fields or value is None


@pytest.mark.parametrize(
    ("number", "esr", "shown"),
    [
        (0x8400_0004, HVC, {"x1": "0x1"}),
        (0x8400_0000, HVC, {}),
        (0xC200_0001, SMC, {"x1": "0x1", "x3": "0x3", "x6": "0x6"}),
        (4, None, {"x1": "0x1", "x3": "0x3", "x6": "0x6"}),
    ],
)
def test_arguments_are_shown_as_far_as_the_function_has_them_and_they_are_not_zero(
    number: int, esr: int | None, shown: dict[str, str]
) -> None:
    fields = told(Hypercall(number, (1, 0, 3, 0, 0, 6)), esr=esr)
    assert {name: text for name, text in fields.items() if name.startswith("x")} == shown


def test_an_event_says_where_and_when() -> None:
    sink = Sink()
    tracer(sink).exit(ExitRecord(5, Halt(), HVC, 0x1010, 1, note="a note"))
    assert sink.events == [TraceEvent(1, 0, 5, "Halt", 0x1010, "main+0x10", 1, HVC, (), "a note")]


def test_an_address_is_told_the_same_each_time_and_places_are_not_kept_without_end() -> None:
    sink = Sink()
    trace = tracer(sink)
    for address in [UART, *range(0x1_0000_0000, 0x1_0000_0000 + 40_000), UART]:
        trace.exit(ExitRecord(0, MmioWrite(address, AccessWidth.DWORD, 1), None, address, 1))
    assert sink.events[0].fields == sink.events[-1].fields
    assert ("device", "uart0") in sink.events[0].fields
    assert sink.events[1].fields[0] == ("addr", 0x1_0000_0000)
    assert len(trace._places) < 20_000


def test_what_a_filter_drops_is_counted_and_numbered() -> None:
    sink = Sink()
    trace = tracer(sink, only=("Halt",))
    for reason in (Nothing(), Halt(), Nothing(), Halt()):
        trace.exit(ExitRecord(0, reason, None, 0, 1))
    assert [(event.seq, event.reason) for event in sink.events] == [(2, "Halt"), (4, "Halt")]
    trace.close()
    assert (sink.counts, sink.total) == ({"Nothing": 2, "Halt": 2}, 4)


def test_the_end_of_the_run_is_told() -> None:
    sink = Sink()
    trace = tracer(sink)
    trace.end(RunResult(Ending.LIMIT, 124, "stopped after 5 exits", 5, 1.5))
    assert [(end.ending, end.status, end.message, end.exits) for end in sink.ends] == [
        ("limit", 124, "stopped after 5 exits", 5)
    ]


def test_an_empty_filter_drops_everything() -> None:
    sink = Sink()
    tracer(sink, only=()).exit(ExitRecord(0, Halt(), None, 0, 1))
    assert sink.events == []
