"""From reports to trace events: the contents for each exit reason, exception, interrupt and access."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from arm_vcpu_cli.arm_vcpu.observer import El1ExceptionRecord, ExitRecord
from arm_vcpu_cli.arm_vcpu.vectors import TrapKind
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
from arm_vcpu_cli.board.loading import load_machine
from arm_vcpu_cli.devices.bus import Bus
from arm_vcpu_cli.devices.pl011 import Pl011
from arm_vcpu_cli.devices.regions import ReadAsZero
from arm_vcpu_cli.guest.symbol import Symbol
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.observe.describing import EventDescriber, InterruptStep, interrupt_names
from arm_vcpu_cli.observe.exit_fields import EXIT_FIELDS
from arm_vcpu_cli.trace.event import TraceEvent
from arm_vcpu_cli.vm.passthrough import PassedThrough

HVC, SMC = 0x16 << 26, 0x17 << 26
CNTPCT_ISS = 3 << 20 | 1 << 17 | 3 << 14 | 14 << 10
PMR_ISS = 3 << 20 | 4 << 10 | 6 << 1
UART, PLAIN = 0x0900_0000, 0x0A00_0000


class Silence:
    """A line on which nothing happens."""

    def send(self, byte: int) -> None:
        """Nobody hears it."""

    def receive(self) -> int | None:
        """Nothing comes."""
        return None

    def waiting(self) -> bool:
        return False

    def wait(self, *, skips: bool = False) -> None:
        """For nothing."""


def uart() -> Pl011:
    return Pl011(Silence())


def describer() -> EventDescriber:
    bus = Bus()
    bus.add("uart0", UART, 0x1000, uart())
    bus.add("plain", PLAIN, 0x1000, ReadAsZero())
    symbols = SymbolTable([Symbol("main", 0x1000, 0x100), Symbol("caller", 0x2000, 0x100)])
    return EventDescriber(symbols, bus, interrupts={27: "virtual timer", 33: "uart0"})


def texts(event: TraceEvent) -> dict[str, str]:
    """The fields of an event as text; no name may come twice."""
    assert len(dict(event.fields)) == len(event.fields)
    return {name: str(value) for name, value in event.fields}


def told(
    reason: AxVCpuExitReason, *, esr: int | None = HVC, value: int | None = None, va: int | None = None
) -> dict[str, str]:
    """The fields of an exit."""
    return texts(describer().exit(1, ExitRecord(5, reason, esr, 0x1010, 1, value, va=va)))


def test_every_reason_that_has_fields_is_told() -> None:
    assert set(EXIT_FIELDS) == {reason for reason in EXIT_REASONS if dataclasses.fields(reason)}


@pytest.mark.parametrize(
    ("reason", "value", "fields"),
    [
        (
            MmioRead(UART + 0x18, AccessWidth.BYTE, 3, AccessWidth.DWORD),
            0x90,
            {
                "ipa": "0x9000018",
                "device": "uart0",
                "register": "PL011.UARTFR",
                "offset": "0x18",
                "width": "1",
                "reg": "w3",
                "value": "0x90",
                "meaning": "TXFE=1 RXFE=1",
            },
        ),
        (
            MmioRead(PLAIN + 8, AccessWidth.QWORD, 3, AccessWidth.QWORD),
            0,
            {"ipa": "0xa000008", "device": "plain", "offset": "0x8", "width": "8", "reg": "x3", "value": "0x0"},
        ),
        (
            MmioRead(0xB00_0000, AccessWidth.QWORD, 31, AccessWidth.QWORD),
            None,
            {"ipa": "0xb000000", "width": "8", "reg": "xzr"},
        ),
        (
            MmioWrite(UART, AccessWidth.DWORD, 0x41),
            None,
            {
                "ipa": "0x9000000",
                "device": "uart0",
                "register": "PL011.UARTDR",
                "offset": "0x0",
                "width": "4",
                "data": "0x41",
                "meaning": "'A'",
            },
        ),
        (SysRegRead(CNTPCT_ISS, 5), 0x77, {"sysreg": "CNTPCT_EL0", "reg": "x5", "value": "0x77"}),
        (SysRegWrite(CNTPCT_ISS + (1 << 17), 2), None, {"sysreg": "CNTVCT_EL0", "value": "0x2"}),
        (SysRegWrite(PMR_ISS, 0xF0), None, {"sysreg": "ICC_PMR_EL1", "value": "0xf0", "meaning": "Priority=0xf0"}),
        (IoRead(0x3F8, AccessWidth.BYTE), None, {"port": "0x3f8", "width": "1"}),
        (IoWrite(0x3F8, AccessWidth.WORD, 7), None, {"port": "0x3f8", "width": "2", "data": "0x7"}),
        (ExternalInterrupt(27), None, {"vector": "27"}),
        (NestedPageFault(0x1234, AccessFlags.EXECUTE), None, {"ipa": "0x1234", "access": "execute"}),
        (NestedPageFault(UART, AccessFlags.WRITE), None, {"ipa": "0x9000000", "device": "uart0", "access": "write"}),
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
                "result": "0xfffffffffffffffc",
                "error": "ALREADY_ON",
            },
        ),
        (
            SendIPI(0x100, 0b11, False, False, 7),
            None,
            {
                "ipi": "SGI 7 to 0x100 (no CPU), 0x101 (no CPU)",
                "target_cpu": "0x100",
                "target_list": "0x3",
                "send_to_all": "False",
                "send_to_self": "False",
                "vector": "7",
            },
        ),
        (FailEntry(12, "why"), None, {"code": "12", "description": "why"}),
        (
            SystemDown(PowerAction.SUSPEND, entry_point=0x8000, arg=9),
            None,
            {"conduit": "hvc", "action": "suspend", "status": "0", "entry_point": "0x8000", "arg": "0x9"},
        ),
        (Halt(), None, {}),
        (
            Halt(entry_point=0x8000, arg=9),
            None,
            {"conduit": "hvc", "call": "CPU_SUSPEND", "entry_point": "0x8000", "arg": "0x9"},
        ),
        (Nothing(), None, {}),
    ],
    ids=lambda each: type(each).__name__ if not isinstance(each, (dict, int, type(None))) else "",
)
def test_the_fields_of_each_reason(reason: AxVCpuExitReason, value: int | None, fields: dict[str, str]) -> None:
    found = told(reason, value=value)
    assert found == fields
    assert list(found) == list(fields), "in order"


def test_the_meaning_of_a_signed_read_is_that_of_the_byte_and_its_value_that_of_the_register() -> None:
    fields = told(MmioRead(UART + 0x18, AccessWidth.BYTE, 3, AccessWidth.QWORD, True), value=2**64 - 0x70)
    assert (fields["value"], fields["meaning"]) == ("0xffffffffffffff90", "TXFE=1 RXFE=1")


@pytest.mark.parametrize(
    "reason",
    [
        MmioRead(UART, AccessWidth.BYTE, 3, AccessWidth.DWORD),
        MmioWrite(UART, AccessWidth.DWORD, 0x41),
        NestedPageFault(0x1234, AccessFlags.READ),
    ],
    ids=lambda reason: type(reason).__name__,
)
def test_both_addresses_of_an_access_are_told_where_they_are_known(reason: AxVCpuExitReason) -> None:
    fields = told(reason, va=0xFFFF_8000_0900_0018)
    assert list(fields)[:2] == ["ipa", "va"]
    assert fields["va"] == "0xffff800009000018"
    assert "va" not in told(reason)


@pytest.mark.parametrize(
    ("number", "esr", "value", "expected"),
    [
        (0x8400_0000, HVC, 0x1_0001, {"conduit": "hvc", "call": "PSCI_VERSION", "result": "0x10001", "error": None}),
        (0x8400_0000, SMC, 0x1_0001, {"conduit": "smc", "call": "PSCI_VERSION", "result": "0x10001", "error": None}),
        (
            0x8400_0013,
            HVC,
            2**64 - 1,
            {"call": "MEM_PROTECT", "result": "0xffffffffffffffff", "error": "NOT_SUPPORTED"},
        ),
        (0xC400_0004, HVC, 2**64 - 2, {"call": "AFFINITY_INFO_64", "error": "INVALID_PARAMETERS"}),
        (0xC200_0001, SMC, 2**64 - 1, {"call": "SMCCC 0xc2000001 (SiP, fast, SMC64)", "error": "NOT_SUPPORTED"}),
        (0xC200_0001, SMC, 2**64 - 2, {"result": "0xfffffffffffffffe", "error": "-2"}),
        (0x18, None, None, {"conduit": "semihosting", "call": "SYS_EXIT", "result": None}),
        (4, None, 2**64 - 1, {"conduit": "semihosting", "call": "SYS_WRITE0", "error": "-1"}),
        (0x77, None, 0, {"conduit": "semihosting", "call": "?", "result": "0x0", "error": None}),
        (0xFFFF_FFFF_8400_0000, HVC, 0, {"nr": "0xffffffff84000000", "call": "PSCI_VERSION"}),
    ],
)
def test_calls_by_name_and_result(
    number: int, esr: int | None, value: int | None, expected: dict[str, str | None]
) -> None:
    fields = told(Hypercall(number, (0,) * 6), esr=esr, value=value)
    assert {name: fields.get(name) for name in expected} == expected
    assert ("result" in fields) == (value is not None)


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


def test_an_event_says_where_and_when_and_who_has_called() -> None:
    record = ExitRecord(5, Halt(), HVC, 0x1010, 1, note="a note")
    assert describer().exit(7, record, 0x2004) == TraceEvent(
        "exit", 7, 0, 5, "Halt", 0x1010, "main+0x10", "", "caller", 1, HVC, (), "a note"
    )
    assert describer().exit(7, record).caller == ""
    assert describer().exit(7, record, 0x3000).caller == "", "nothing is called so there"


def test_how_long_the_host_took_is_the_last_field() -> None:
    event = describer().exit(1, ExitRecord(5, ExternalInterrupt(26), None, 0, 1, host_ns=1234))
    assert event.fields == (("vector", 26), ("host_ns", 1234))


def test_an_address_is_told_the_same_each_time_and_what_is_remembered_has_an_end() -> None:
    made = describer()
    first = made.exit(1, ExitRecord(0, MmioWrite(UART, AccessWidth.DWORD, 0x41), None, 0, 1))
    for address in range(0x1_0000_0000, 0x1_0000_0000 + 40_000):
        made.exit(1, ExitRecord(0, MmioWrite(address, AccessWidth.DWORD, address), None, address, 1))
    again = made.exit(1, ExitRecord(0, MmioWrite(UART, AccessWidth.DWORD, 0x41), None, 0, 1))
    assert first.fields == again.fields
    places = made._places
    caches: tuple[Any, ...] = (places.access, places.meaning, made._symbol, made._source)
    assert all(0 < cache.cache_info().currsize < 20_000 for cache in caches)


# Exceptions of EL1 -------------------------------------------------------------------------------------------------

SVC, VECTOR = 0x15 << 26 | 1 << 25, 0x8400


@pytest.mark.parametrize(
    ("esr", "far", "name", "fields"),
    [
        (SVC | 7, None, "svc", {"imm": "7", "nr": "64", "vector": "0x8400"}),
        (0x25 << 26 | 0x44, 0xDEAD, "data abort", {"far": "0xdead", "vector": "0x8400"}),
        (0x24 << 26 | 0x44, 0xDEAD, "data abort", {"far": "0xdead", "vector": "0x8400"}),
        (0x21 << 26, 0xDEAD, "instruction abort", {"far": "0xdead", "vector": "0x8400"}),
        (0x20 << 26, 0xDEAD, "instruction abort", {"far": "0xdead", "vector": "0x8400"}),
        (0x22 << 26, 0xDEAD, "pc alignment", {"far": "0xdead", "vector": "0x8400"}),
        (0x26 << 26, None, "sp alignment", {"vector": "0x8400"}),
        (0x3C << 26 | 5, None, "brk", {"vector": "0x8400"}),
        (0, None, "undefined", {"vector": "0x8400"}),
        (0x07 << 26, None, "other", {"vector": "0x8400"}),
        (0x3F << 26, None, "other", {"vector": "0x8400"}),
    ],
)
def test_exceptions_by_name(esr: int, far: int | None, name: str, fields: dict[str, str]) -> None:
    event = describer().exception(3, El1ExceptionRecord(9, 0, esr, far, 0x1010, 0, VECTOR, 64))
    assert (event.name, texts(event)) == (name, fields)
    assert event[:5] == ("exception", 3, 0, 9, name)
    assert (event.pc, event.symbol, event.el, event.esr) == (0x1010, "main+0x10", 0, esr)


def test_the_number_of_a_system_call_is_a_word() -> None:
    record = El1ExceptionRecord(9, 0, SVC, None, 0, 0, VECTOR, 0xFFFF_FFFF_0000_0040)
    assert texts(describer().exception(1, record))["nr"] == "64"


@pytest.mark.parametrize(("kind", "name"), [(TrapKind.IRQ, "irq"), (TrapKind.FIQ, "fiq"), (TrapKind.SERROR, "serror")])
def test_interrupts_that_are_taken_say_which(kind: TrapKind, name: str) -> None:
    record = El1ExceptionRecord(9, kind, None, None, 0x1010, 1, VECTOR, 0)
    event = describer().exception(1, record, 27)
    assert (event.name, event.esr) == (name, None)
    assert texts(event) == {"intid": "27", "source_name": "virtual timer", "vector": "0x8400"}
    assert texts(describer().exception(1, record)) == {"vector": "0x8400"}, "where that is not known"


# Everything else ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "fields"),
    [
        (InterruptStep("raised", 0, 27, None), {"intid": "27", "source_name": "virtual timer"}),
        (InterruptStep("acknowledged", 0, 33, 0), {"intid": "33", "source_name": "uart0", "latency_ns": "0"}),
        (InterruptStep("ended", 0, 3, 70), {"intid": "3", "source_name": "SGI", "latency_ns": "70"}),
        (InterruptStep("raised", 0, 20, None), {"intid": "20", "source_name": "PPI"}),
        (InterruptStep("raised", 0, 100, None), {"intid": "100", "source_name": "SPI"}),
    ],
)
def test_steps_of_an_interrupt(step: InterruptStep, fields: dict[str, str]) -> None:
    event = describer().interrupt(4, 11, step)
    assert event[:5] == ("irq", 4, 0, 11, step.action)
    assert texts(event) == fields
    assert event.pc is None


def test_who_raises_what_is_known_of_a_machine() -> None:
    assert interrupt_names(load_machine(None)) == {
        27: "virtual timer",
        30: "physical timer",
        33: "uart0",
        34: "rtc",
    }


def test_an_entry_a_state_and_a_line() -> None:
    made = describer()
    assert made.entry(2, 5, 0, 0x1004, 1, "irq") == TraceEvent(
        "entry", 2, 0, 5, "", 0x1004, "main+0x4", el=1, fields=(("virq", "irq"),)
    )
    assert made.entry(2, 5, 0, 0x1004, 0, "").fields == ()
    assert made.state(2, 5, 0, "Ready", "Running") == TraceEvent(
        "state", 2, 0, 5, "Running", fields=(("from", "Ready"),)
    )
    assert made.console(2, 5, (0, b"hello\n")) == TraceEvent("console", 2, 0, 5, "", fields=(("text", "hello\n"),))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("gr\xfc\xdfe\n".encode(), "gr\xfc\xdfe\n"),
        (b"\xff\xfe\n", "\\xff\\xfe\n"),
        (b"\x1b[31mred\r\n", "\x1b[31mred\r\n"),
        (b"", ""),
    ],
)
def test_a_line_is_text_whatever_its_bytes_are(line: bytes, text: str) -> None:
    assert describer().console(1, 0, (0, line)).fields == (("text", text),)


def test_an_access_without_an_exit() -> None:
    device = PassedThrough("uart0", UART, uart(), lambda: None)
    made = describer()
    written = made.access(3, 7, 0, device, True, 0, 4, 0x41)
    assert written[:5] == ("access", 3, 0, 7, "")
    assert texts(written) == {
        "ipa": "0x9000000",
        "device": "uart0",
        "register": "PL011.UARTDR",
        "offset": "0x0",
        "width": "4",
        "data": "0x41",
        "meaning": "'A'",
    }
    assert texts(made.access(3, 7, 0, device, False, 0x18, 2, 0x90)) == {
        "ipa": "0x9000018",
        "device": "uart0",
        "register": "PL011.UARTFR",
        "offset": "0x18",
        "width": "2",
        "value": "0x90",
        "meaning": "TXFE=1 RXFE=1",
    }
    plain = PassedThrough("plain", PLAIN, ReadAsZero(), lambda: None)
    assert list(texts(made.access(3, 7, 0, plain, False, 0x18, 2, 0))) == ["ipa", "device", "offset", "width", "value"]


def ipi(exit_: SendIPI, *affinities: int) -> object:
    made = EventDescriber(SymbolTable(), Bus(), affinities=affinities)
    return dict(made.exit(1, ExitRecord(0, exit_, None, 0, 1)).fields)["ipi"]


@pytest.mark.parametrize(
    ("exit_", "text"),
    [
        (SendIPI(0, 0b100, False, False, 1), "SGI 1 to cpu2"),
        (SendIPI(0, 0b1011, False, False, 0), "SGI 0 to cpu0-1, cpu3"),
        (SendIPI(0x100, 0b1, False, False, 15), "SGI 15 to cpu4"),
        (SendIPI(0x100, 0b11, False, False, 2), "SGI 2 to cpu4, 0x101 (no CPU)"),
        (SendIPI(0, 0, False, False, 2), "SGI 2 to nobody"),
        (SendIPI(0, 0, True, False, 2), "SGI 2 to all others"),
        (SendIPI(0, 0, False, True, 2), "SGI 2 to itself"),
    ],
)
def test_an_ipi_says_which_vcpus_it_goes_to(exit_: SendIPI, text: str) -> None:
    assert ipi(exit_, 0, 1, 2, 3, 0x100) == text
