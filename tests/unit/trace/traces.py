"""A small trace with every type of event, as a tracer would send it to a sink."""

from __future__ import annotations

from typing import Protocol

from arm_vcpu_cli.trace.event import Field, Hex, TracedDevice, TraceEnd, TraceEvent, TraceHeader

DABT_WRITE = 0x9300_0047
DABT_READ = 0x9381_8007
HVC = 0x5A00_0000
WFI = 0x07E0_0000
SGI1R_WRITE = 0x623A_3096
PC = 0x4008_0154

HEADER = TraceHeader(
    tool="armvcpu 0.1.0",
    guest="guest <b>.elf",
    machine="virt",
    cpu="cortex-a72",
    clock="instructions",
    timing=True,
    vcpus=1,
    devices=(TracedDevice("uart0", "pl011", 0x900_0000, 0x1000, 33), TracedDevice("rtc", "pl031", 0x901_0000, 0x1000)),
)
END = TraceEnd(ending="powered off", status=0, message="the guest powered off", exits=6, time=5_000_000)


def event(kind: str, name: str, time: int, *fields: Field, seq: int = 1, esr: int | None = None, **more: object):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """An event with a place, where its type has one."""
    place: dict[str, object] = {}
    if kind in ("exit", "entry", "exception"):
        place = {"pc": PC, "symbol": "uart_init+0x24", "source": "uart.c:12", "caller": "main", "el": 1}
    return TraceEvent(kind, seq, 0, time, name, esr=esr, fields=fields, **{**place, **more})  # type: ignore[arg-type]


def uart(register: str, offset: int) -> tuple[Field, ...]:
    """The fields of an access to the UART."""
    return (
        ("ipa", Hex(0x900_0000 + offset)),
        ("va", Hex(0xFFFF_0000_0900_0000 + offset)),
        ("device", "uart0"),
        ("register", f"PL011.{register}"),
        ("offset", Hex(offset)),
        ("width", 4),
    )


EVENTS: tuple[TraceEvent, ...] = (
    event("state", "Running", 0, ("from", "Ready")),
    event("entry", "", 10),
    event(
        "exit",
        "MmioWrite",
        100,
        *uart("UARTDR", 0),
        ("data", Hex(0x41)),
        ("meaning", "'A'"),
        ("host_ns", 12_000),
        esr=DABT_WRITE,
        seq=1,
    ),
    event("console", "", 100, ("text", 'A </script><b>&"')),
    event(
        "exit",
        "MmioRead",
        1_500_000,
        *uart("UARTFR", 0x18),
        ("reg", "w1"),
        ("value", Hex(0x90)),
        ("host_ns", 15_000),
        esr=DABT_READ,
        seq=2,
    ),
    event("exit", "Halt", 2_000_000, ("host_ns", 3_000), esr=WFI, seq=3),
    event("irq", "raised", 3_000_000, ("intid", 27), ("source_name", "virtual timer"), seq=3),
    event("irq", "injected", 3_000_000, ("intid", 27), ("source_name", "virtual timer"), ("latency_ns", 0), seq=3),
    event("entry", "", 3_000_000, ("virq", "irq"), seq=3),
    event("exception", "irq", 3_000_050, ("vector", Hex(0x4008_1280)), ("intid", 27), seq=3),
    event(
        "irq", "acknowledged", 3_000_100, ("intid", 27), ("source_name", "virtual timer"), ("latency_ns", 100), seq=3
    ),
    event("irq", "raised", 3_000_150, ("intid", 33), ("source_name", "uart0"), seq=3),
    event("irq", "raised", 3_000_200, ("intid", 27), ("source_name", "virtual timer"), seq=3),
    event("irq", "ended", 3_000_300, ("intid", 27), ("source_name", "virtual timer"), ("latency_ns", 200), seq=3),
    event(
        "exit",
        "SysRegWrite",
        4_000_000,
        ("sysreg", "ICC_SGI1R_EL1"),
        ("value", Hex(1)),
        ("host_ns", 4_000),
        esr=SGI1R_WRITE,
        seq=4,
    ),
    event(
        "exit",
        "Hypercall",
        4_500_000,
        ("conduit", "hvc"),
        ("nr", Hex(0x8400_0000)),
        ("call", "PSCI_VERSION"),
        ("result", Hex(0x10001)),
        ("host_ns", 5_000),
        esr=HVC,
        seq=5,
    ),
    event("access", "", 4_600_000, *uart("UARTDR", 0), ("data", Hex(0x42)), seq=5),
    event("code", "", 4_700_000, ("ipa", Hex(0x4008_0000)), ("size", 4096), seq=5, pc=PC, symbol="uart_init+0x24"),
    event("fault", "flip", 4_800_000, ("fault", "upset"), ("number", 1), ("effect", "bit 0 of x0"), seq=5, pc=PC),
    event("exit", "SystemDown", 4_999_999, ("conduit", "hvc"), ("action", "off"), ("status", 0), esr=HVC, seq=6),
)
COUNTS = {"MmioWrite": 1, "MmioRead": 1, "Halt": 1, "SysRegWrite": 1, "Hypercall": 1, "SystemDown": 1}


class Sink(Protocol):
    """The protocol of the sinks."""

    def header(self, header: TraceHeader) -> None: ...
    def event(self, event: TraceEvent) -> None: ...
    def end(self, end: TraceEnd) -> None: ...
    def summary(self, counts: dict[str, int], total: int) -> None: ...


def play(sink: Sink, events: tuple[TraceEvent, ...] = EVENTS) -> None:
    """A whole trace."""
    sink.header(HEADER)
    for each in events:
        sink.event(each)
    sink.end(END)
    sink.summary(COUNTS, sum(COUNTS.values()))
