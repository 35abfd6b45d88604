"""Traces as the kernel's ftrace text."""

from __future__ import annotations

import io
import re

import pytest

from arm_vcpu_cli.arch.registers.sysreg import SysReg
from arm_vcpu_cli.arch.syndrome.esr import ExceptionClass
from arm_vcpu_cli.trace.event import Hex, TraceEvent
from arm_vcpu_cli.trace.ftrace import EC_NAMES, FtraceSink

from .traces import DABT_READ, EVENTS, HVC, WFI, event, play, uart

LINE = re.compile(
    r"^\s*(?P<task>.+)-(?P<pid>\d+)\s+\[(?P<cpu>\d{3})\] [a-zA-Z0-9.]{5} +(?P<time>\d+\.\d+): "
    r"(?P<event>\w+): (?P<text>.*)$"
)
"""A line of ftrace, as scripts for it take it apart."""
KVM_EXIT = re.compile(r"(IRQ|TRAP): HSR_EC: 0x([0-9a-f]{4}) \((\w+)\), PC: 0x([0-9a-f]{16})$")


def written(*events: TraceEvent) -> list[tuple[str, str]]:
    """(event, text) of the lines of some events."""
    stream = io.StringIO()
    sink = FtraceSink(stream)
    for each in events:
        sink.event(each)
    lines = [LINE.match(line) for line in stream.getvalue().splitlines()]
    return [(line["event"], line["text"]) for line in lines if line is not None]


def test_every_line_is_one_of_ftrace() -> None:
    stream = io.StringIO()
    play(FtraceSink(stream))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "# tracer: nop"
    body = [line for line in lines if not line.startswith("#")]
    matches = [LINE.match(line) for line in body]
    assert all(matches)
    assert {match["task"] for match in matches if match} == {"kvm-vcpu-0"}
    times = [float(match["time"]) for match in matches if match]
    assert times == sorted(times)
    exits = [match["text"] for match in matches if match and match["event"] == "kvm_exit"]
    assert len(exits) == 6
    assert all(KVM_EXIT.match(text) for text in exits)


def test_a_read_is_told_as_kvm_does() -> None:
    read = event("exit", "MmioRead", 1, *uart("UARTFR", 0x18), ("value", Hex(0x90)), esr=DABT_READ)
    assert written(read) == [
        ("kvm_exit", "TRAP: HSR_EC: 0x0024 (DABT_LOW), PC: 0x0000000040080154"),
        ("kvm_guest_fault", "ipa 0x9000000, hsr 0x93818007, hxfar 0xffff000009000018, pc 0x00000040080154"),
        ("kvm_mmio", "mmio unsatisfied-read len 4 gpa 0x9000018 val 0x0"),
        ("kvm_mmio", "mmio read len 4 gpa 0x9000018 val 0x90"),
    ]


@pytest.mark.parametrize(
    ("told", "name", "text"),
    [
        (event("entry", "", 1), "kvm_entry", "PC: 0x0000000040080154"),
        (
            event("exit", "ExternalInterrupt", 1, ("vector", 26)),
            "kvm_exit",
            "IRQ: HSR_EC: 0x0000 (UNKNOWN), PC: 0x0000000040080154",
        ),
        (event("exit", "Halt", 1, esr=WFI), "kvm_wfx_arm64", "guest executed wfi at: 0x0000000040080154"),
        (event("exit", "Halt", 1, esr=WFI | 1), "kvm_wfx_arm64", "guest executed wfe at: 0x0000000040080154"),
        (
            event("exit", "Hypercall", 1, ("nr", Hex(0xC400_0003)), esr=HVC | 5),
            "kvm_hvc_arm64",
            "HVC at 0x0000000040080154 (r0: 0x00000000c4000003, imm: 0x5)",
        ),
        (
            event("exit", "SysRegRead", 1, esr=0x6200_0001 | SysReg(3, 1, 15, 7, 7).iss),
            "kvm_sys_access",
            "PC: 40080154 UNKN (3,1,15,7,7) read",
        ),
        (
            event("exit", "SysRegWrite", 1, esr=0x623A_3096),
            "kvm_sys_access",
            "PC: 40080154 SYS_ICC_SGI1R_EL1 (3,0,12,11,5) write",
        ),
        (
            event("irq", "raised", 1, ("intid", 33), ("source_name", "uart0")),
            "kvm_irq_line",
            "Inject VGIC SPI interrupt (1), vcpu->idx: 0, num: 33, level: 1",
        ),
        (
            event("irq", "raised", 1, ("intid", 27), ("source_name", "virtual timer")),
            "kvm_timer_update_irq",
            "VCPU: 0, IRQ 27, level 1",
        ),
        (
            event("irq", "raised", 1, ("intid", 27), ("source_name", "virtual timer")),
            "vgic_update_irq_pending",
            "VCPU: 0, IRQ 27, level: 1",
        ),
    ],
)
def test_an_event_has_the_text_of_kvm(told: TraceEvent, name: str, text: str) -> None:
    assert (name, text) in written(told)


@pytest.mark.parametrize("kind", ["exception", "console", "state", "irq", "access"])
def test_what_kvm_does_not_tell_is_a_mark(kind: str) -> None:
    told = [each for each in EVENTS if each.type == kind and each.name != "raised"]
    assert told
    assert {name for name, _ in written(*told)} == {"tracing_mark_write"}


def test_no_entry_is_made_up() -> None:
    exits = [each for each in EVENTS if each.type == "exit"]
    assert "kvm_entry" not in {name for name, _ in written(*exits)}


def test_an_exit_without_a_syndrome_is_no_trap() -> None:
    assert [name for name, _ in written(event("exit", "Nothing", 1))] == ["tracing_mark_write"]


def test_a_guest_cannot_write_lines() -> None:
    stream = io.StringIO()
    FtraceSink(stream).event(event("console", "", 1, ("text", "a\nb\r\x1b[2J\x85\u2028c")))
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


def test_every_exception_class_of_the_kernel_is_one_of_ours() -> None:
    assert set(EC_NAMES) <= set(ExceptionClass)
    assert len(set(EC_NAMES.values())) == len(EC_NAMES)


def test_an_interrupt_that_is_withdrawn_has_level_0() -> None:
    withdrawn = event("irq", "withdrawn", 1, ("intid", 33), ("source_name", "uart0"))
    assert [(name, text[-8:]) for name, text in written(withdrawn)] == [
        ("kvm_irq_line", "level: 0"),
        ("vgic_update_irq_pending", "level: 0"),
    ]
