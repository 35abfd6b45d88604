"""A debugger's watchpoints change nothing: runs stopped at accesses equal those without, to the byte."""

from __future__ import annotations

from random import Random
from typing import Final

import pytest

from arm_vcpu_cli.debug.control import MachineControl
from arm_vcpu_cli.debug.execution import Execution
from arm_vcpu_cli.debug.target import Access, Reason, Watchpoint
from arm_vcpu_cli.engine.watchpoint_stubs import watchpoint_table
from tests.support.tools import missing

from .test_exact_control import STOPS, Place, Ran, assert_same, run
from .test_machine_control import controlled
from .test_snapshot_contract import SAMPLES, SUBJECTS

BOTH: Final = Access.READ | Access.WRITE
RAM: Final = 0x4000_0000
RAM_SIZE: Final = 0x1000_0000
UART: Final = 0x0900_0000
UART_SIZE: Final = 0x1000
CONSOLE: Final = Watchpoint(UART, UART_SIZE, Access.WRITE)


@pytest.fixture(autouse=True, scope="module")
def available() -> None:
    if watchpoint_table() is None:
        missing("the host that the stubs are for")


def watch(execution: Execution, random: Random, places: list[Place]) -> None:
    """Stop at accesses, of which some watchpoints see all and some few, and step from there."""
    machine = execution.machine
    everywhere = Watchpoint(RAM, RAM_SIZE, BOTH)
    seen: list[Watchpoint] = []
    watched = [everywhere, Watchpoint(UART, UART_SIZE, BOTH)]
    execution.set_watchpoints(watched)
    for _ in range(STOPS):
        before = execution.executed()
        choice = random.random()
        stop = execution.step(machine.current.index) if choice < 0.2 else execution.resume()
        assert execution.executed() >= before
        if stop.reason is Reason.ENDED:
            return
        if stop.reason is Reason.WATCHPOINT and stop.watchpoint is not None:
            assert stop.watchpoint in watched
            assert stop.watchpoint.address <= stop.address < stop.watchpoint.address + stop.watchpoint.length
            places.append((execution.executed(), machine.current.arch.ctx.elr))
            seen.append(
                Watchpoint(stop.address, random.choice((1, 4, 8)), random.choice((Access.READ, Access.WRITE, BOTH)))
            )
        else:
            assert stop.reason is Reason.STEP
        if random.random() < 0.1:
            watched = [everywhere] if random.random() < 0.3 or not seen else random.choices(seen, k=3)
            execution.set_watchpoints(watched)
        if random.random() < 0.1:
            execution.goto(execution.executed() + random.choice((1, 7, 40)))
    execution.set_watchpoints(())


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_run_with_stops_at_accesses_is_the_same(name: str) -> None:
    subject = SUBJECTS[name]
    plain: Ran = run(subject)
    places: list[Place] = [(0, 0)]
    for seed in range(2):
        assert_same(run(subject, watch, places, seed), plain)
    assert len(places) > 1 or name == "exceptions"


def test_each_byte_that_is_printed_is_a_stop() -> None:
    with controlled(SAMPLES / "hello" / "hello.elf") as control:
        control.set_watchpoints([CONSOLE])
        written = ""
        while (stop := control.resume()).reason is not Reason.ENDED:
            assert stop.reason is Reason.WATCHPOINT
            assert stop.watchpoint == CONSOLE
            if stop.address == UART:
                written += chr(stored(control) & 0xFF)
        assert "hello" in written.lower()


def stored(control: MachineControl) -> int:
    """The register that the store at the PC stores."""
    word = int.from_bytes(control.read_memory(0, control.read_register(0, "pc"), 4), "little")
    return control.read_register(0, f"x{word & 31}") if word & 31 != 31 else 0
