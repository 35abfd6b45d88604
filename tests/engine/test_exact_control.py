"""A debugger changes nothing: runs with random stops and steps equal those without, to the byte."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from arm_vcpu_cli.board.loading import machine_from_document
from arm_vcpu_cli.debug.execution import Execution
from arm_vcpu_cli.debug.target import Access, Reason, Watchpoint
from arm_vcpu_cli.engine.stubs import load_stubs
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.observe.attaching import attach_tracer
from arm_vcpu_cli.observe.tracing_options import TraceOptions
from arm_vcpu_cli.trace.jsonlines import JsonLinesSink
from arm_vcpu_cli.trace.selection import Selection
from arm_vcpu_cli.vm.builder import build_machine
from arm_vcpu_cli.vm.cpu import Activity
from arm_vcpu_cli.vm.endings import RunResult
from arm_vcpu_cli.vm.inputlog import InputLog
from arm_vcpu_cli.vm.runner import run_machine
from arm_vcpu_cli.vm.snapshot import save_machine

from . import test_snapshot_contract as contract
from .harness import GUARD_SECONDS
from .test_snapshot_contract import CONSOLE_SIZE, SUBJECTS, Subject, comparable

EVERYTHING: Final = frozenset({"exit", "entry", "exception", "irq", "code", "state"})
STOPS: Final = 300
SAVES: Final = 8


@dataclass(frozen=True)
class Ran:
    """What came of a run."""

    ending: tuple[object, ...]
    trace: str
    console: bytes
    state: dict[str, Any]
    executed: int


Place = tuple[int, int]
"""(instructions executed, PC)"""
Work = Callable[[Execution, Random, list[Place]], None]


def run(subject: Subject, work: Work | None = None, places: list[Place] | None = None, seed: int = 0) -> Ran:
    """Run a guest; with ``work`` in pieces, as that likes, and then to its end."""
    document = {**subject.document, "limits": {"max_exits": subject.limit} if subject.limit else {}}
    description = machine_from_document(document)
    image = load_guest(subject.guest, ram_base=description.ram.base)
    stream, file = io.StringIO(), os.memfd_create("console")
    try:
        with build_machine(description, image, Console(file, None)) as machine:
            attach_tracer(machine, JsonLinesSink(stream), TraceOptions(selection=Selection(types=EVERYTHING)))
            machine.start()
            if subject.typed:
                machine.input.replay(InputLog(Path("typed"), {}, subject.typed, None))
            subject.prepare(machine)
            watchdog = Watchdog(machine.request_stop, GUARD_SECONDS)
            if work is None:
                result = run_machine(machine, watchdog)
            else:
                result = in_pieces(Execution(machine, watchdog), work, Random(seed), places or [])
            saved = comparable(save_machine(machine))
            executed = sum(core.instruction_count() for core in machine.host.cores)
        console = os.pread(file, CONSOLE_SIZE, 0)
    finally:
        os.close(file)
    return Ran((result.ending, result.message, result.exits), stream.getvalue(), console, saved, executed)


def in_pieces(execution: Execution, work: Work, random: Random, places: list[Place]) -> RunResult:
    """Do the work, and go on to the end."""
    work(execution, random, places)
    execution.set_breakpoints((), ())
    assert execution.resume().reason is Reason.ENDED
    assert execution.result is not None
    return execution.result


def explore(execution: Execution, random: Random, places: list[Place]) -> None:
    """Go to moments all over the run, of ``places[0]`` instructions, and note where they are."""
    ((total, _),) = places
    places.clear()
    for moment in sorted(random.choices(range(total), k=STOPS)):
        before = execution.executed()
        if execution.goto(moment).reason is Reason.ENDED:
            break
        now = execution.executed()
        assert now == before or now >= moment
        places.append((now, execution.machine.current.arch.ctx.elr))


def wander(execution: Execution, random: Random, places: list[Place]) -> None:
    """Step and run to breakpoints at random; each stop is where it should be."""
    machine, hits = execution.machine, list[int]()
    for moment in sorted(random.choices(range(places[-1][0]), k=STOPS)):
        if execution.executed() < moment - 100:
            execution.goto(moment)
        before = execution.executed()
        ahead = [place for count, place in places if count > before]
        if not ahead or execution.result is not None:
            break
        choice = random.random()
        if choice < 0.7:
            for _ in range(random.choice((1, 2, 10))):
                target = machine.current.index if random.random() < 0.9 else random.randrange(len(machine.cpus))
                if random.random() < 0.5 and machine.cpus[target].activity is not Activity.OFF:
                    execution.set_breakpoints((), ())
                execution.step(target)
        elif choice < 0.75:
            stack = machine.current.arch.ctx.sp & -8
            watched = Watchpoint(stack - 64, 80, Access.READ | Access.WRITE)
            execution.set_watchpoints([watched])
            for _ in range(4):
                execution.set_breakpoints((), random.choices(ahead[:20], k=2))
                stop = execution.resume()
                if stop.reason is Reason.WATCHPOINT:
                    assert stop.watchpoint == watched
                    assert watched.address <= stop.address < watched.address + watched.length
                    hits.append(execution.executed())
            execution.set_watchpoints(())
        elif choice < 0.9:
            software, hardware = random.choices(ahead[:20], k=2), random.choices(ahead[:20], k=2)
            execution.set_breakpoints(software, hardware)
            stop = execution.resume()
            reason = stop.reason
            if reason is not Reason.ENDED:
                assert machine.current.index == stop.vcpu
                at = machine.current.arch.ctx.elr
                assert reason is (Reason.SOFTWARE_BREAKPOINT if at in software else Reason.HARDWARE_BREAKPOINT)
                assert at in software + hardware
        else:
            execution.pause()
            assert execution.resume().reason is Reason.PAUSE
            assert execution.executed() == before
        assert execution.executed() >= before


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_run_in_pieces_is_the_same(name: str) -> None:
    subject = SUBJECTS[name]
    plain = run(subject)
    places = [(plain.executed, 0)]
    assert_same(run(subject, explore, places), plain)
    assert len(places) > 1
    for seed in range(2):
        assert_same(run(subject, wander, places, seed), plain)


@pytest.mark.parametrize("bits", [[], ["TDE"]], ids=["to EL1", "routed to EL2"])
def test_a_guest_meets_its_own_breakpoints_between_stops(bits: list[str]) -> None:
    subject = Subject(contract.INTEGRATION / "debugged.elf", (), {"el2": {"mdcr": bits}})
    plain = run(subject)
    assert_same(run(subject, explore, [(plain.executed, 0)]), plain)


@pytest.mark.parametrize("name", ["ticks", "exits"])
def test_a_run_in_pieces_is_the_same_without_machine_code(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arm_vcpu_cli.engine.unicorn_core.load_stubs", lambda: load_stubs(native=False))
    plain = run(SUBJECTS[name])
    places = [(plain.executed, 0)]
    assert_same(run(SUBJECTS[name], explore, places), plain)
    assert_same(run(SUBJECTS[name], wander, places), plain)


def assert_same(pieces: Ran, plain: Ran) -> None:
    """Before the state, which is long, what tells more of a difference."""
    assert pieces.ending == plain.ending
    assert pieces.executed == plain.executed
    assert pieces.console == plain.console
    assert pieces.trace == plain.trace
    assert pieces.state == plain.state


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_machine_is_saved_in_the_middle_of_a_block(name: str) -> None:
    """It goes on from there in another machine, which nobody controls."""
    subject = SUBJECTS[name]
    whole = contract.run(subject, subject.limit)
    saved: list[tuple[dict[str, Any], int, bytes]] = []

    def save(execution: Execution, random: Random, places: list[Place]) -> None:
        machine, printed = execution.machine, bytearray()
        machine.console.observe(printed.extend)
        ((total, _),) = places
        for moment in sorted(random.choices(range(total), k=SAVES)):
            execution.goto(moment)
            for _ in range(random.randrange(3)):
                execution.step(machine.current.index)
            if execution.result is not None:
                break
            machine.console.flush()
            saved.append((save_machine(machine), machine.exits, bytes(printed)))

    executed = run(subject).executed
    run(subject, save, [(executed, 0)])
    assert saved
    for state, exits, console in saved:
        then = contract.run(subject, subject.limit, state, exits)
        assert then.exits == whole.exits
        assert then.result.message == whole.result.message
        assert console + then.console == whole.console
        tail = contract.told(then.trace)
        assert not tail or tail == contract.told(whole.trace)[-len(tail) :]
        assert comparable(then.state) == comparable(whole.state)
