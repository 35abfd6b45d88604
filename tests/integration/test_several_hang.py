"""Guests with several CPUs without progress: the end of the run, and the report on each CPU."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from arm_vcpu_cli.api import Machine
from arm_vcpu_cli.vm.machine import Machine as Parts
from arm_vcpu_cli.vm.outcome import Result
from arm_vcpu_cli.vm.standing import Doing, survey
from arm_vcpu_cli.vm.watch import hang

from .command import GUESTS, armvcpu

SMP = GUESTS / "smp"


@pytest.mark.parametrize("clock", ["instructions", "host"])
def test_the_one_that_holds_the_lock_and_sleeps_comes_first(clock: str) -> None:
    finished = armvcpu("run", "--smp", 4, "--clock", clock, SMP / "hang-lock.elf")
    assert finished.status == 123
    first, others = finished.last.split("; ")
    assert first.startswith("armvcpu: no CPU can make progress: cpu1 waits for an interrupt at 0x")
    assert first.endswith("<hang_in_wfi> with interrupts masked")
    assert others.startswith("cpu0, cpu2 and cpu3 spin at 0x")
    assert " on 0x" in others
    assert others.endswith(" <hang_lock>")


def test_the_culprit_has_its_own_section_and_the_others_share_one() -> None:
    report = armvcpu("run", "--smp", 4, SMP / "hang-lock.elf").err
    culprit, others = report.split("\nother CPUs:\n")
    assert culprit.startswith("cpu1: in WFI:\n  at EL1, interrupts masked, none is pending, no timer armed\n")
    assert "<hang_in_wfi>" in culprit
    assert "smp_lock" not in culprit
    heading = r"  cpu0, cpu2 and cpu3: each spins on 0x\w+ <hang_lock> \(loaded at 0x\w+ <smp_lock\+0x18>\)\n"
    assert re.match(heading, others)
    assert "\n    backtrace of cpu0:\n    #0  0x" in others
    assert "<smp_lock+0x" in others
    assert "<hang_waiting+0x" in others
    assert "cpu0, cpu2 and cpu3 are waiting for memory to change" in report


def test_the_full_report_has_a_section_for_each_cpu() -> None:
    report = armvcpu("run", "--report", "full", "--smp", 4, SMP / "hang-lock.elf").err
    headings = [line for line in report.splitlines() if line.startswith("cpu")]
    assert headings[0] == "cpu1: in WFI:"
    assert [heading.split(" (loaded at 0x")[0].split(" 0x")[0] for heading in headings[1:]] == [
        f"cpu{number}: spins on" for number in (0, 2, 3)
    ]
    parts = report.split("\ncpu")
    assert all("<smp_lock+0x" in part and "<hang_waiting+0x" in part for part in parts[1:])
    assert "at EL1, interrupts masked, none is pending, no timer armed" in parts[1]


def test_regs_prints_the_registers_of_all_the_culprits_with_its_code_and_exits() -> None:
    report = armvcpu("run", "--smp", 3, "--regs", SMP / "hang-lock.elf").err
    parts = report.split("\ncpu")
    assert report.startswith("cpu1: in WFI:")
    assert [part.count("\n  VMPIDR_EL2 ") for part in parts] == [1, 1, 1]
    assert [f"Aff0={number}" in part for number, part in zip((1, 2), (parts[0], parts[2]), strict=True)] == [True, True]
    assert "\ncode" in parts[0]
    assert "\nlast exits" in parts[0]
    assert "\ncode" not in parts[1]


def test_cpus_that_all_wait_are_told_of_together() -> None:
    finished = armvcpu("run", "--smp", 4, SMP / "hang-wfi.elf")
    assert finished.status == 123
    assert finished.last.startswith("armvcpu: no CPU can make progress: cpu0 to cpu3 wait for an interrupt at 0x")
    assert finished.last.endswith(" <hang_in_wfi> with interrupts masked")
    assert finished.err.count(": in WFI:") == 1
    assert "\n  cpu1 to cpu3: each in WFI, at 0x" in finished.err


def test_the_last_one_that_switches_itself_off_ends_the_run() -> None:
    finished = armvcpu("run", "--smp", 3, SMP / "hang-off.elf")
    assert finished.status == 123
    assert finished.last.startswith("armvcpu: the last CPU switched itself off at 0x")
    assert finished.last.endswith(" on cpu0")
    assert "cpu0: off:" in finished.err
    assert "  cpu1 and cpu2: each off, at 0x" in finished.err
    assert "this machine has only one" not in finished.err


@pytest.mark.parametrize("count", [2, 6])
def test_cpus_in_a_loop_are_told_of_together(count: int) -> None:
    finished = armvcpu("run", "--smp", count, SMP / "hang-spin.elf")
    assert finished.status == 123
    who = "cpu0 and cpu1" if count == 2 else "cpu0 to cpu5"
    assert finished.last.startswith(f"armvcpu: no CPU can make progress: {who} run in a loop at 0x")
    assert finished.err.count(": runs in a loop:") == 1
    others = "cpu1: runs" if count == 2 else "cpu1 to cpu5: each runs"
    assert f"\n  {others} in a loop\n" in finished.err


def test_a_machine_of_two_physical_cpus_is_proved_too(tmp_path: Path) -> None:
    machine = tmp_path / "two.toml"
    machine.write_text("[cpu]\ncount = 4\nphys_cpus = 2\n")
    assert armvcpu("run", "-m", machine, SMP / "hang-lock.elf").status == 123


def test_a_guest_that_is_stopped_says_on_which_cpu() -> None:
    finished = armvcpu("run", "--smp", 2, "--timeout", 0.5, SMP / "torture.elf")
    assert finished.status == 124
    assert finished.last.split(" on cpu")[-1].split(":")[0] in ("0", "1")


# Walks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "number"), [((), 1), (("--vcpu", 2), 2)])
def test_a_walk_is_that_of_the_culprit_unless_told(options: tuple[object, ...], number: int) -> None:
    finished = armvcpu("walk", "--smp", 3, *options, SMP / "hang-lock.elf", "hang_lock", "sp")
    assert finished.status == 0
    assert f" on cpu{number}, EL1\n" in finished.out.decode()
    answer = armvcpu("walk", "--json", "--smp", 3, *options, SMP / "hang-lock.elf", "sp").out
    assert f'"vcpu": {number}' in answer.decode()


def test_a_vcpu_that_is_not_there_cannot_be_walked() -> None:
    finished = armvcpu("walk", "--smp", 2, "--vcpu", 2, SMP / "hang-lock.elf", "sp")
    assert (finished.status, finished.last) == (2, "armvcpu: error: --vcpu 2: the machine has 2, counted from 0")


# What trying out changes ---------------------------------------------------------------------------------------


@contextmanager
def ended(guest: str, cpus: int = 4) -> Iterator[tuple[Parts, Result]]:
    with Machine.open(SMP / guest, cpus=cpus) as machine:
        result = machine.run(timeout=60.0)
        yield machine.parts, result


def facts(guest: str) -> tuple[object, ...]:
    with ended(guest) as (machine, result):
        registers = [(cpu.arch.ctx.elr, cpu.arch.ctx.gprs(), cpu.arch.exits, cpu.turns) for cpu in machine.cpus]
        return result.console, result.ending, result.exits, machine.timeline.now(), registers


def test_a_guest_that_is_tried_out_all_the_time_notices_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def counts(machine: Parts) -> bool:
        tried.append(machine)
        return True

    with monkeypatch.context() as patch:
        patch.setattr(hang.HangWatch, "start", lambda _watch: None)
        alone = facts("gicv3.elf")
    monkeypatch.setattr(hang, "INTERVAL", 10_000)
    monkeypatch.setattr(hang, "_MOST_QUIET_LOOKS", 1)
    monkeypatch.setattr(hang.HangWatch, "_causes", lambda _watch: 0)
    monkeypatch.setattr(hang, "are_left_alone", counts)
    assert facts("gicv3.elf") == alone
    assert len(tried) > 500


def test_who_is_looked_at_last_is_as_before() -> None:
    with ended("hang-lock.elf") as (machine, _):
        before = [cpu.arch.state.u64.tobytes() for cpu in machine.cpus]
        found = survey(machine)
        assert [each.doing for each in found] == [Doing.SPINNING, Doing.WAITING, Doing.SPINNING, Doing.SPINNING]
        assert len({each.watches for each in found if each.loop}) == 1
        assert [cpu.arch.state.u64.tobytes() for cpu in machine.cpus] == before
