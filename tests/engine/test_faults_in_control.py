"""Faults at an instruction: exact under every kind of control, and in every snapshot."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from arm_vcpu_cli.board.loading import machine_from_document
from arm_vcpu_cli.debug.execution import Execution
from arm_vcpu_cli.debug.target import Reason
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.vm.builder import build_machine
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.runner import run_machine
from arm_vcpu_cli.vm.snapshot import load_machine_state, save_machine

from .harness import GUARD_SECONDS

GUEST = Path(__file__).resolve().parents[1] / "integration" / "guests" / "injected.elf"
CONSOLE_SIZE = 1 << 16
NUMBER = 22
"""Of the instruction behind the second round's addition to x19."""
FAULTS = {
    "fault": [
        {"kind": "flip", "register": "x19", "bit": 4, "at": {"instructions": NUMBER}},
        {"kind": "serror", "at": {"instructions": 3000}},
    ]
}


def console_of(drive: Callable[[Machine], object], document: dict[str, Any]) -> bytes:
    description = machine_from_document(document)
    image = load_guest(GUEST, ram_base=description.ram.base)
    file = os.memfd_create("console")
    try:
        with build_machine(description, image, Console(file, None)) as machine:
            machine.start()
            drive(machine)
        return os.pread(file, CONSOLE_SIZE, 0)
    finally:
        os.close(file)


def run(machine: Machine) -> None:
    run_machine(machine, Watchdog(machine.request_stop, GUARD_SECONDS))


@pytest.fixture(scope="module")
def expected() -> bytes:
    return console_of(run, FAULTS)


def test_the_fault_is_before_that_instruction(expected: bytes) -> None:
    lines = expected.decode().splitlines()
    assert lines[0] == f"w{(0x1020 ^ 0x10) + 0x10:016x}"
    assert lines[4] == f"E{0xBE00_0000:016x}"


def test_steps_and_leaps_of_a_debugger_change_nothing(expected: bytes) -> None:
    def drive(machine: Machine) -> None:
        execution = Execution(machine, Watchdog(machine.request_stop, GUARD_SECONDS))
        x19 = machine.current.arch.ctx.gpr
        execution.goto(NUMBER - 2)
        values = []
        for _ in range(4):
            execution.step(0)
            values.append((execution.executed(), x19(19)))
        assert values == [(21, 0x1010), (22, 0x1020), (23, 0x1030), (24, 0x1030)]
        execution.goto(2999)
        assert execution.executed() == 2999
        assert execution.resume().reason is Reason.ENDED

    assert console_of(drive, FAULTS) == expected


@pytest.mark.parametrize("number", [12, NUMBER - 1, NUMBER + 5])
def test_a_state_is_one_before_the_fault_or_after_it(expected: bytes, number: int) -> None:
    states: list[dict[str, Any]] = []

    def stop(machine: Machine) -> None:
        Execution(machine, Watchdog(machine.request_stop, GUARD_SECONDS)).goto(number)
        states.append(save_machine(machine))

    def go_on(machine: Machine) -> None:
        load_machine_state(machine, states[0])
        run(machine)

    assert console_of(stop, FAULTS) + console_of(go_on, FAULTS) == expected


def test_a_state_without_faults_goes_on_with_some_and_the_other_way_round(expected: bytes) -> None:
    states: list[dict[str, Any]] = []

    def stop(machine: Machine) -> None:
        Execution(machine, Watchdog(machine.request_stop, GUARD_SECONDS)).goto(NUMBER - 1)
        states.append(save_machine(machine))

    def go_on(machine: Machine) -> None:
        load_machine_state(machine, states[-1])
        run(machine)

    console_of(stop, {})
    later = {"fault": [{"kind": "flip", "register": "x19", "bit": 12, "at": {"instructions": NUMBER + 2}}]}
    assert console_of(go_on, later).startswith(b"w0000000000000030\n")
    console_of(stop, FAULTS)
    healthy = console_of(go_on, {})
    assert healthy.startswith(f"w{0x1030:016x}\n".encode())
    assert b"E" not in healthy
