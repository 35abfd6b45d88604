"""A whole machine with a tracer in it, on the real engine: interrupts, exceptions, windows, accesses, the console."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from arm_vcpu_cli.board.loading import machine_from_document
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.observe.attaching import attach_tracer, trace_header
from arm_vcpu_cli.observe.tracing_options import TraceOptions
from arm_vcpu_cli.trace.event import TracedDevice, TraceEvent
from arm_vcpu_cli.trace.selection import Selection
from arm_vcpu_cli.vm.builder import build_machine
from arm_vcpu_cli.vm.endings import RunResult
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.runner import run_machine
from tests.support.sink import Sink

from . import test_interrupts as interrupts
from .harness import GUARD_SECONDS
from .test_flight_recorder import SAMPLES

TICK = 160_000
"""Nanoseconds of the 10 000 ticks, at 62.5 MHz, after which a timer interrupts here."""
STEPS = ("raised", "injected", "acknowledged", "ended")


def options(*types: str, **more: Any) -> TraceOptions:
    return TraceOptions(selection=Selection(types=frozenset(types) if types else None), **more)


def field(event: TraceEvent, name: str) -> Any:
    """A field of an event, None if it is not there."""
    return dict(event.fields).get(name)


# Interrupts --------------------------------------------------------------------------------------------------------


def interrupted(arm: str, wait: str, *types: str, **more: Any) -> tuple[Sink, interrupts.Outcome]:
    """Run the guest of the interrupt tests with a tracer."""
    sink = Sink()

    def prepare(machine: Machine) -> None:
        attach_tracer(machine, sink, options(*types))

    return sink, interrupts.run(arm, wait, prepare=prepare, **more)


@pytest.mark.parametrize("wait", ["wait_wfi", "wait_spin", "wait_el0"])
@pytest.mark.parametrize(("timer", "intid"), interrupts.TIMERS.items())
def test_the_life_of_a_timer_interrupt(timer: str, intid: int, wait: str) -> None:
    sink, _ = interrupted(f"arm_{timer}_timer", wait, "irq", enable=(intid,), registers={10: 10_000})
    assert [event.name for event in sink.events] == list(STEPS)
    assert {(field(event, "intid"), field(event, "source_name")) for event in sink.events} == {
        (intid, f"{timer} timer")
    }
    raised, injected, acknowledged, ended = sink.events
    assert TICK <= raised.time < TICK + 1000
    assert raised.time <= injected.time <= acknowledged.time <= ended.time
    assert field(raised, "latency_ns") is None
    assert field(injected, "latency_ns") == injected.time - raised.time
    assert field(acknowledged, "latency_ns") == acknowledged.time - raised.time > 0
    assert field(ended, "latency_ns") == ended.time - acknowledged.time > 0


def test_the_interrupt_of_a_device_has_its_name() -> None:
    sink, _ = interrupted("arm_rtc", "wait_wfi", "irq", enable=(interrupts.RTC,), registers={10: 1})
    assert [(event.name, field(event, "source_name")) for event in sink.events] == [(step, "rtc") for step in STEPS]


def test_an_interrupt_that_is_masked_is_raised_and_no_more() -> None:
    sink, _ = interrupted("arm_virtual_timer", "wait_masked", "irq", "exception", enable=(27,), registers={10: 10_000})
    assert sink.told == ["irq raised", "irq injected"], "into the vCPU, which has it masked"


@pytest.mark.parametrize(
    ("wait", "group0", "kind", "slot", "el"),
    [
        ("wait_wfi", 0, "irq", interrupts.CURRENT_IRQ, 1),
        ("wait_spin", 0, "irq", interrupts.CURRENT_IRQ, 1),
        ("wait_el0", 0, "irq", interrupts.LOWER_IRQ, 0),
        ("wait_wfi", 1 << 27, "fiq", interrupts.CURRENT_FIQ, 1),
        ("wait_el0", 1 << 27, "fiq", interrupts.LOWER_FIQ, 0),
    ],
)
def test_an_interrupt_that_the_guest_takes(wait: str, group0: int, kind: str, slot: int, el: int) -> None:
    sink, outcome = interrupted(
        "arm_virtual_timer", wait, "exception", enable=(27,), group0=group0, registers={10: 10_000}
    )
    (event,) = [event for event in sink.events if event.name != "svc"]
    assert (event.name, event.el, event.esr) == (kind, el, None)
    assert (field(event, "intid"), field(event, "source_name")) == (27, "virtual timer")
    assert field(event, "vector") % 0x800 == slot * 0x80
    assert [entry.slot for entry in outcome.log] == [slot]
    assert event.pc is not None
    assert TICK < event.time < TICK + 1000


def test_it_is_told_between_its_injection_and_its_end() -> None:
    sink, _ = interrupted(
        "arm_virtual_timer", "wait_spin", "irq", "exception", "exit", enable=(27,), registers={10: 10_000}
    )
    told = sink.told[sink.told.index("irq raised") :]
    assert told[:6] == [
        "irq raised",
        "irq injected",
        "exception irq",
        "exit SysRegRead",
        "irq acknowledged",
        "exit SysRegWrite",
    ]
    assert told.index("irq ended") == 6
    times = [event.time for event in sink.events]
    assert times == sorted(times)
    assert sink.numbers == sorted(sink.numbers)


def test_every_interrupt_of_many_is_told() -> None:
    sink, outcome = interrupted(
        "arm_virtual_timer",
        "wait_spin",
        "irq",
        "exception",
        enable=(27,),
        registers={10: 10_000, 26: 7, 27: 10_000},
    )
    assert len(outcome.log) == 7
    assert Counter(event.name for event in sink.events) == {**dict.fromkeys(STEPS, 7), "irq": 7}


def test_two_interrupts_at_once_are_told_apart() -> None:
    sink, outcome = interrupted(
        "arm_sgis",
        "wait_spin",
        "irq",
        "exception",
        enable=(3, 8),
        registers={10: interrupts.sgi(8), 9: interrupts.sgi(3), 26: 2},
    )
    assert outcome.intids == [3, 8]
    assert [(event.name, field(event, "intid")) for event in sink.events if event.name in ("irq", "ended")] == [
        ("irq", 3),
        ("ended", 3),
        ("irq", 8),
        ("ended", 8),
    ]
    assert {field(event, "source_name") for event in sink.events} == {"SGI"}


def test_the_states_of_a_guest_that_waits() -> None:
    sink, _ = interrupted("arm_virtual_timer", "wait_wfi", "state", enable=(27,), registers={10: 10_000})
    assert [(field(event, "from"), event.name) for event in sink.events] == [
        ("Free", "Ready"),
        ("Ready", "Running"),
        ("Running", "Ready"),
        ("Ready", "Blocked"),
        ("Blocked", "Ready"),
        ("Ready", "Running"),
    ]
    blocked, woken = sink.events[3], sink.events[4]
    assert TICK - 1000 < woken.time - blocked.time <= TICK


@pytest.mark.parametrize("wait", ["wait_wfi", "wait_spin"])
def test_a_traced_guest_makes_the_exits_of_an_untraced_one(wait: str) -> None:
    run: dict[str, Any] = {"enable": (27,), "registers": {10: 10_000, 26: 5, 27: 10_000}}
    plain = interrupts.run("arm_virtual_timer", wait, **run)
    sink, traced = interrupted("arm_virtual_timer", wait, **run)
    assert traced.result.exits == plain.result.exits == len(sink.of("exit"))
    assert [event.pc for event in sink.of("exit")] == [record.pc for record in plain.exits]
    assert traced.intids == plain.intids


# Machines ----------------------------------------------------------------------------------------------------------


def traced(name: str, tracing: TraceOptions, document: Mapping[str, Any] | None = None) -> tuple[Sink, RunResult]:
    """Run a sample with a tracer."""
    sink = Sink()
    description = machine_from_document(document or {})
    image = load_guest(SAMPLES / name / f"{name}.elf", ram_base=description.ram.base)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        with build_machine(description, image, Console(null, None)) as machine:
            tracer = attach_tracer(machine, sink, tracing)
            machine.start()
            result = run_machine(machine, Watchdog(machine.host.core(0).request_stop, GUARD_SECONDS))
            tracer.end(result)
            tracer.close()
            return sink, result
    finally:
        os.close(null)


def address(name: str, symbol: str) -> int:
    found = load_guest(SAMPLES / name / f"{name}.elf", ram_base=0x4000_0000).symbols.lookup(symbol)
    assert found is not None
    return found


def test_a_device_that_is_passed_through_is_accessed_without_an_exit_and_that_is_told() -> None:
    document = {"device": {"uart0": {"passthrough": True}}}
    passed, result = traced("hello", options(), document)
    trapped, _ = traced("hello", options())
    assert passed.told.count("exit MmioWrite") == 0
    assert passed.total == result.exits < trapped.total
    accesses = passed.of("access")
    exits = [event for event in trapped.of("exit") if event.name in ("MmioRead", "MmioWrite")]
    assert [field(event, "ipa") for event in accesses] == [field(event, "ipa") for event in exits]
    for access, exit_ in zip(accesses, exits, strict=True):
        for name in ("device", "register", "offset", "width", "data", "meaning"):
            assert field(access, name) == field(exit_, name), name
    assert passed.lines == trapped.lines == ["Hello from EL1!\n", *trapped.lines[1:]]


def test_the_console_is_told_after_the_access_that_has_ended_the_line() -> None:
    for document in ({}, {"device": {"uart0": {"passthrough": True}}}):
        sink, _ = traced("hello", options("exit", "access", "console"), document)
        at = sink.told.index("console")
        assert field(sink.events[at - 1], "meaning") == "'\\n'"
        assert sink.events[at].seq == sink.events[at - 1].seq


def test_a_window_between_two_places_of_the_guest() -> None:
    everything, _ = traced("exits", options("exit"))
    at, behind = address("exits", "smccc_hvc"), address("exits", "psci_system_off")
    window = TraceOptions(selection=Selection(types=frozenset({"exit"})), start_at=(at,), stop_at=(behind,))
    sink, _ = traced("exits", window)
    first = next(n for n, event in enumerate(everything.events) if event.symbol.startswith("smccc_hvc"))
    assert sink.events == everything.events[first:-1]
    assert everything.events[-1].name == "SystemDown"
    assert (sink.counts, sink.total) == (everything.counts, everything.total)


def test_a_window_that_is_opened_again_and_again() -> None:
    everything, _ = traced("exits", options("exit"))
    call, uart = address("exits", "smccc_hvc"), address("exits", "uart_printf")
    window = TraceOptions(selection=Selection(types=frozenset({"exit"})), start_at=(call,), stop_at=(uart,))
    sink, _ = traced("exits", window)
    assert {event.name for event in sink.events} >= {"Hypercall", "CpuUp"}
    assert "MmioWrite" not in {event.name for event in sink.events}
    assert all(event in everything.events for event in sink.events)
    assert len([event for event in sink.events if event.symbol.startswith("smccc_hvc")]) == len(sink.events)


def test_a_window_that_is_never_opened_is_empty() -> None:
    sink, _ = traced("hello", TraceOptions(start_at=(address("hello", "main") + 2,)))
    assert sink.events == []
    assert sink.total > 0


def test_a_window_on_text_of_the_console() -> None:
    sink, _ = traced("exits", options("exit", start_on=b"SysRegRead ", stop_on=b"NestedPageFault"))
    names = [event.name for event in sink.events if not event.name.startswith("Mmio")]
    assert names == ["SysRegRead", "SendIPI"], "from the line of the first register to that of the first fault"


@pytest.mark.parametrize("last", [1, 10])
def test_the_last_are_those_of_the_whole_trace(last: int) -> None:
    everything, _ = traced("hello", options())
    sink, _ = traced("hello", options(last=last))
    assert sink.events == everything.events[-last:]


def test_what_a_guest_at_el0_does() -> None:
    sink, _ = traced("paging", options("exception"))
    assert Counter(event.name for event in sink.events) == {"svc": 8, "data abort": 2, "instruction abort": 1}
    assert {event.el for event in sink.events} == {0}
    assert {field(event, "vector") for event in sink.events} == {address("paging", "vectors") + 0x400}
    first, second = (event for event in sink.events if event.name == "data abort")
    assert (field(first, "far"), first.esr) == (0x10_0010_0000, 0x9200_0007)
    assert second.esr == 0x9200_000F
    (jump,) = (event for event in sink.events if event.name == "instruction abort")
    assert (field(jump, "far"), jump.pc, jump.esr) == (0x10_0000_0000, 0x10_0000_0000, 0x8200_000F)
    assert {field(event, "imm") for event in sink.events if event.name == "svc"} == {0, 1, 2}
    assert all(isinstance(field(event, "nr"), int) for event in sink.events if event.name == "svc")


def test_exceptions_do_not_change_the_exits() -> None:
    without, _ = traced("paging", options("exit"))
    with_them, _ = traced("paging", options("exit", "exception"))
    assert [event[:10] for event in with_them.of("exit")] == [event[:10] for event in without.events]


def test_the_header_names_the_machine_and_every_device_passed_through_or_not() -> None:
    description = machine_from_document({"device": {"rtc": {"passthrough": True}}})
    image = load_guest(SAMPLES / "hello" / "hello.elf", ram_base=description.ram.base)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        with build_machine(description, image, Console(null, None)) as machine:
            header = trace_header(machine, "armvcpu 1", timing=True)
    finally:
        os.close(null)
    assert (header.tool, header.guest, header.cpu, header.clock, header.timing, header.vcpus) == (
        "armvcpu 1",
        "hello.elf",
        "cortex-a72",
        "instructions",
        True,
        1,
    )
    assert set(header.devices) == {
        TracedDevice("gic", "gicv3-distributor", 0x0800_0000, 0x1_0000),
        TracedDevice("gic-redistributors", "gicv3-redistributor", 0x080A_0000, 0xF6_0000),
        TracedDevice("uart0", "pl011", 0x0900_0000, 0x1000, 33),
        TracedDevice("rtc", "pl031", 0x0901_0000, 0x1000, 34),
        TracedDevice("virtio", "virtio-mmio", 0x0A00_0000, 0x4000, None),
    }
