"""The flight recorder on the real engine: its exits of every kind equal those reported to an observer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from arm_vcpu_cli.api import Machine
from arm_vcpu_cli.arch.syndrome.esr import decode_data_abort, decode_system_trap
from arm_vcpu_cli.arm_vcpu.observer import ExitRecord
from arm_vcpu_cli.arm_vcpu.recorder import RECENT, RecentExit
from arm_vcpu_cli.axvcpu.exit import (
    AxVCpuExitReason,
    CpuUp,
    ExternalInterrupt,
    FailEntry,
    Hypercall,
    MmioWrite,
    SysRegWrite,
    SystemDown,
)
from arm_vcpu_cli.board.description import Limits
from arm_vcpu_cli.board.loading import load_machine
from arm_vcpu_cli.guest.loader import load_guest
from tests.support.observer import Observer

from . import test_interrupts as interrupts
from .harness import GUARD_SECONDS, Guest, Script

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
SYS_EXIT_EXTENDED = 0x20


class Ran(NamedTuple):
    """What an observer was told, and what the recorder has kept."""

    told: tuple[ExitRecord, ...]
    recent: tuple[RecentExit, ...]


def run_sample(name: str, *, exits: int = 0, machine: str = "") -> Ran:
    """Run a sample, to its end or for so many exits."""
    description = load_machine(SAMPLES / name / machine if machine else None)
    description = replace(description, limits=Limits(0, exits))
    image = load_guest(SAMPLES / name / f"{name}.elf", ram_base=description.ram.base)
    observer = Observer()
    with Machine.open(image, description) as made:
        made.observe(observer)
        made.run(timeout=GUARD_SECONDS)
        return Ran(tuple(observer.records), made.parts.current.arch.recent_exits())


def known(record: ExitRecord) -> tuple[object, ...]:
    """What the recorder keeps of an exit: everything but times, results and notes."""
    return record.reason, record.pc, record.esr, record.el, record.va, record.lr, record.fp


def assert_same(ran: Ran) -> None:
    """The recorder has the end of what the observer was told, and the registers are those of the time."""
    told = ran.told[-RECENT:]
    assert [recent.number for recent in ran.recent] == list(range(len(ran.told) - len(told) + 1, len(ran.told) + 1))
    for recent, record in zip(ran.recent, told, strict=True):
        assert known(recent.record) == known(record)
        assert recent.registers[29:] == (record.fp, record.lr)
        assert says(recent.registers, record)


def says(x: tuple[int, ...], record: ExitRecord) -> bool:
    """Whether registers are what the reason of an exit was made of, where it was made of registers."""
    reason = record.reason
    registers = (*x, 0)
    if isinstance(reason, Hypercall):
        return registers[0] == reason.nr and registers[1 : 1 + len(reason.args)] == reason.args
    if isinstance(reason, CpuUp):
        return registers[1:4] == (reason.target_cpu, reason.entry_point, reason.arg)
    if isinstance(reason, SysRegWrite) and record.esr is not None:
        return registers[decode_system_trap(record.esr).register] == reason.value
    if isinstance(reason, MmioWrite) and record.esr is not None:
        abort = decode_data_abort(record.esr)
        mask = (1 << 8 * reason.width) - 1
        return not abort.valid or registers[abort.register] & mask == reason.data
    return True


def kinds(told: tuple[ExitRecord, ...]) -> set[type[AxVCpuExitReason]]:
    return {type(record.reason) for record in told}


@pytest.fixture(scope="module")
def exits() -> Ran:
    return run_sample("exits", machine="exits.toml")


def test_the_end_of_a_guest_that_makes_exits_of_every_kind(exits: Ran) -> None:
    assert_same(exits)
    assert isinstance(exits.recent[-1].record.reason, SystemDown)
    assert len(kinds(exits.told)) >= 9


@pytest.mark.parametrize(
    "kind", ["Hypercall", "MmioRead", "SysRegRead", "SysRegWrite", "SendIPI", "NestedPageFault", "CpuUp"]
)
def test_every_kind_of_exit_while_it_is_one_of_the_latest(exits: Ran, kind: str) -> None:
    last = max(n for n, record in enumerate(exits.told, 1) if type(record.reason).__name__ == kind)
    ran = run_sample("exits", machine="exits.toml", exits=last)
    assert len(ran.told) == last
    assert type(ran.recent[-1].record.reason).__name__ == kind
    assert_same(ran)


@pytest.mark.parametrize("count", [1, 2, RECENT - 1, RECENT, RECENT + 1])
def test_fewer_exits_than_are_kept(count: int) -> None:
    ran = run_sample("hello", exits=count)
    assert len(ran.told) == count
    assert len(ran.recent) == min(count, RECENT)
    assert_same(ran)


def test_a_guest_that_has_not_run_has_no_exits() -> None:
    with Guest("exceptions", platform=Script()) as guest:
        assert guest.vcpu.recent_exits() == ()
        assert guest.vcpu.last_syndrome is None


@pytest.mark.parametrize(
    ("name", "machine"), [("smc", "smc.toml"), ("paging", ""), ("ticks", ""), ("permission", "permission.toml")]
)
def test_other_guests(name: str, machine: str) -> None:
    assert_same(run_sample(name, machine=machine))


@pytest.mark.parametrize(
    ("arm", "wait", "enable", "parameters"),
    [
        ("arm_virtual_timer", "wait_wfi", (27,), {10: 10_000}),
        ("arm_virtual_timer", "wait_spin", (27,), {10: 10_000}),
        ("arm_virtual_timer", "wait_el0", (27,), {10: 10_000}),
        ("arm_sgis", "wait_wfi", (3,), {10: interrupts.sgi(3), 9: interrupts.sgi(3)}),
        ("arm_rtc", "wait_wfi", (34,), {10: 1}),
    ],
)
def test_registers_that_the_core_does_not_have_and_preemption(
    arm: str, wait: str, enable: tuple[int, ...], parameters: dict[int, int]
) -> None:
    outcome = interrupts.run(arm, wait, enable=enable, registers=parameters)
    assert len(outcome.exits) > 5
    assert_same(Ran(outcome.exits, outcome.recent))
    names = {each.record.esr and each.record.esr >> 26 for each in outcome.recent}
    assert 0x18 in names, "ICC_IAR1_EL1 at the least"
    if wait in ("wait_spin", "wait_el0"):
        assert ExternalInterrupt(26) in [each.record.reason for each in outcome.recent]


def test_semihosting_is_kept_with_its_arguments() -> None:
    """The last call has ended the guest; which status it has given lies in its memory."""
    ran = run_sample("exit")
    *told, last = ran.told[-RECENT:]
    assert [known(recent.record) for recent in ran.recent[:-1]] == [known(record) for record in told]
    assert isinstance(last.reason, SystemDown)
    reason = ran.recent[-1].record.reason
    assert isinstance(reason, Hypercall)
    assert (reason.nr, ran.recent[-1].record.esr) == (SYS_EXIT_EXTENDED, None)
    assert (ran.recent[-1].record.pc, ran.recent[-1].registers[0]) == (last.pc, SYS_EXIT_EXTENDED)


def test_what_a_guest_that_is_stuck_did_before_is_kept_and_not_what_it_does_over_and_over() -> None:
    ran = run_sample("crash")
    *before, last = ran.recent
    assert [known(recent.record) for recent in before] == [known(ran.told[recent.number - 1]) for recent in before]
    numbers = [recent.number for recent in before]
    assert numbers == list(range(numbers[0], numbers[0] + len(before)))
    assert len(before) >= RECENT - 2
    assert any(isinstance(recent.record.reason, MmioWrite) for recent in before)
    assert last.number == len(ran.told) > 2 * RECENT + numbers[0]
    assert isinstance(ran.told[-1].reason, FailEntry), "which says why it was ended, not what it did"
    assert last.record.reason == before[-1].record.reason
