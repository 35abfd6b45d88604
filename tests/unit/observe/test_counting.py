"""Live counting: the counts of records, and their limits."""

from __future__ import annotations

import pytest

from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.observer import El1ExceptionRecord, ExitRecord
from arm_vcpu_cli.arm_vcpu.vectors import TrapKind
from arm_vcpu_cli.axvcpu.exit import (
    AccessFlags,
    AccessWidth,
    AxVCpuExitReason,
    Halt,
    Hypercall,
    MmioRead,
    MmioWrite,
    NestedPageFault,
    PowerAction,
    SendIPI,
    SysRegRead,
    SystemDown,
)
from arm_vcpu_cli.devices.bus import Bus
from arm_vcpu_cli.devices.regions import Scratch
from arm_vcpu_cli.guest.symbol import Symbol
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.observe import counting
from arm_vcpu_cli.observe.counting import ExitCounter
from arm_vcpu_cli.trace.exitkey import CALL, CALLER, DEVICE, IPI, REASON, REGISTER, SYMBOL, SYSREG
from arm_vcpu_cli.trace.statistics import UNKNOWN

SVC = 0x15 << 26
HVC = 0x16 << 26
SMC = 0x17 << 26
WORD = AccessWidth.DWORD


def counter(**options: object) -> ExitCounter:
    bus = Bus()
    bus.add("ram0", 0x1000, 0x1000, Scratch(0x1000))
    symbols = SymbolTable([Symbol("main", 0x100, 0x80), Symbol("poll", 0x180, 0x80)])
    return ExitCounter(symbols, bus, lambda: 1000, **options)  # type: ignore[arg-type]


def exits(to: ExitCounter, *reasons: AxVCpuExitReason, pc: int = 0x104, esr: int | None = HVC) -> None:
    for number, reason in enumerate(reasons):
        to.exit(ExitRecord(number, reason, esr, pc, 1, lr=0x184, host_ns=10 * (number + 1)))


def table(of: ExitCounter, dimension: str) -> dict[str, int]:
    return {row.label: row.count for row in of.statistics.by(dimension)}


def test_exits_are_counted_by_the_names_that_a_trace_has_for_them() -> None:
    live = counter()
    exits(live, MmioWrite(0x1010, WORD, 1), MmioWrite(0x1010, WORD, 2), MmioRead(0x1010, WORD, 0, WORD))
    exits(live, SysRegRead(lookup("ID_AA64PFR0_EL1").iss, 3), NestedPageFault(0x9ABC, AccessFlags.EXECUTE), pc=0x184)
    exits(live, Hypercall(0x8400_0000, ()), SystemDown(), Halt(), pc=0x900)
    assert table(live, REGISTER) == {"ram0+0x10 write": 2, "ram0+0x10 read": 1, "IPA 0x9000 execute": 1}
    assert table(live, DEVICE) == {"ram0": 3}
    assert table(live, SYSREG) == {"ID_AA64PFR0_EL1 read": 1}
    assert table(live, CALL) == {"PSCI_VERSION": 1, "system off": 1}
    assert table(live, SYMBOL) == {"main": 3, "poll": 2, "0x900": 3}
    assert table(live, CALLER) == {UNKNOWN: 8}
    assert live.statistics.durations().total == 60 + 30 + 60


def test_a_suspended_cpu_is_counted_by_its_call_beside_one_that_stands_by_at_the_same_place() -> None:
    live = counter()
    exits(live, Halt(), Halt(0x8000, 9), Halt(0x9000, 9), SystemDown(PowerAction.SUSPEND, 0, 0x8000, 9))
    assert table(live, REASON) == {"Halt": 3, "SystemDown": 1}
    assert table(live, CALL) == {"CPU_SUSPEND": 2, "system suspend": 1}


def test_the_same_number_is_another_call_for_another_conduit() -> None:
    live = counter()
    exits(live, Hypercall(4, (0,)), esr=None)
    exits(live, Hypercall(4, (0,)), esr=SMC)
    assert set(table(live, CALL)) == {"SYS_WRITE0", "SMCCC 0x00000004 (Arm architecture, yielding, SMC32)"}


def test_callers_are_counted_if_somebody_finds_them() -> None:
    live = counter(caller=lambda pc, lr, fp: lr)
    exits(live, Halt(), Halt())
    assert table(live, CALLER) == {"poll": 2}


def test_time_begins_with_the_counter() -> None:
    now = iter([500, 700])
    assert ExitCounter(SymbolTable(), Bus(), lambda: next(now)).now() == 200


def test_exceptions_are_counted_by_kind() -> None:
    live = counter(exceptions=True)
    assert live.wants_exceptions
    for kind, esr in ((TrapKind.SYNCHRONOUS, SVC), (TrapKind.SYNCHRONOUS, SVC | 1), (TrapKind.IRQ, None)):
        live.exception(El1ExceptionRecord(1, kind, esr, None, 0x104, 0, 0x200, 0))
    assert {row.label: row.count for row in live.statistics.exceptions()} == {"svc": 2, "irq": 1}


def test_interrupts_have_their_latencies() -> None:
    now = iter([0, 100, 250, 600, 700])
    live = ExitCounter(SymbolTable(), Bus(), lambda: next(now), interrupts={27: "virtual timer"})
    for action in ("raised", "acknowledged", "ended"):
        live.interrupt(action, 0, 27)
    live.interrupt("raised", 0, 3)
    timer, sgi = sorted(live.statistics.interrupts(), key=lambda each: -each.intid)
    assert (timer.source, timer.pending.total, timer.active.total) == ("virtual timer", 150, 350)
    assert (sgi.source, dict(sgi.actions)) == ("SGI", {"raised": 1})


def test_what_is_asked_at_each_exit_is_asked_before_it_is_counted() -> None:
    live = counter()
    seen: list[int] = []
    live.at_exit = lambda: seen.append(live.statistics.exits)
    exits(live, Halt(), Halt())
    assert seen == [0, 1]


def test_a_guest_that_exits_from_everywhere_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "_MAX_KEYS", 16)
    live = counter()
    for pc in range(0, 4000, 4):
        exits(live, Halt(), pc=pc)
    assert len(live._cells) <= 16
    assert table(live, REASON) == {"Halt": 1000}
    assert table(live, SYMBOL)["main"] == 0x80 // 4


def test_ipis_are_counted_by_whom_they_go_to() -> None:
    live = counter(affinities=(0, 1, 2))
    for targets in (0b10, 0b100, 0b10, 0b110):
        exits(live, SendIPI(0, targets, False, False, 1))
    exits(live, SendIPI(0, 0b10, False, False, 2), SendIPI(0, 0, True, False, 1))
    assert table(live, IPI) == {
        "SGI 1 to cpu1": 2,
        "SGI 1 to cpu2": 1,
        "SGI 1 to cpu1-2": 1,
        "SGI 2 to cpu1": 1,
        "SGI 1 to all others": 1,
    }


def test_interrupts_are_counted_for_each_vcpu_at_its_own_time() -> None:
    clocks = [0, 0]
    live = ExitCounter(SymbolTable(), Bus(), lambda: clocks[1], clock_of=lambda vcpu: clocks[vcpu], current=lambda: 1)
    clocks[:] = [100, 500]
    live.interrupt("raised", 0, 1)
    live.interrupt("raised", 1, 1)
    clocks[:] = [120, 600]
    live.interrupt("acknowledged", 0, 1)
    live.interrupt("acknowledged", 1, 1)
    live.interrupt("raised", -1, 40)
    found = {(each.vcpu, each.intid): each for each in live.statistics.interrupts_by_vcpu()}
    assert sorted(found) == [(0, 1), (1, 1), (1, 40)]
    assert (found[0, 1].pending.total, found[1, 1].pending.total) == (20, 100)
    together = {each.intid: each for each in live.statistics.interrupts()}
    assert (together[1].actions["acknowledged"], together[1].pending.total, together[1].vcpu) == (2, 120, None)
    assert live.statistics.ipis() == {"raised": 2, "acknowledged": 2}
    assert live.statistics.vcpus == 2
