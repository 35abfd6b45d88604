"""A run that goes back in time and forward again equals one that did not: state, trace and output."""

from __future__ import annotations

import io
import os
import random
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from arm_vcpu_cli.board.loading import machine_from_document
from arm_vcpu_cli.debug.control import MachineControl
from arm_vcpu_cli.debug.target import Access, Reason, Stop, Watchpoint
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.observe.attaching import attach_tracer
from arm_vcpu_cli.observe.tracing_options import TraceOptions
from arm_vcpu_cli.trace.jsonlines import JsonLinesSink
from arm_vcpu_cli.trace.selection import Selection
from arm_vcpu_cli.vm.builder import build_machine
from arm_vcpu_cli.vm.inputlog import InputLog
from arm_vcpu_cli.vm.snapshot import save_parts

from .harness import GUARD_SECONDS
from .test_snapshot_contract import CONSOLE_SIZE, SUBJECTS, Subject, comparable

EVERYTHING = frozenset({"exit", "entry", "exception", "irq", "state", "console", "code"})
ALONE = ("ticks", "exits", "paging", "virtual timer", "typed", "one CPU that waits", "one CPU and a GICv2", "faults")
SEVERAL = (
    "four CPUs that wait",
    "four CPUs and a GICv2",
    "turns by chance",
    "CPUs that come and go",
    "CPUs that fight",
)
TRACED = ("ticks", "virtual timer", "typed", "one CPU that waits", "four CPUs that wait", "turns by chance", "faults")
PLACES = {"ticks": 700, "exits": 1500, "paging": 2000, "virtual timer": 2200, "typed": 1400}


class Traveller:
    """A machine under control, with its trace and its console."""

    def __init__(self, control: MachineControl, trace: io.StringIO, console: int) -> None:
        self.control = control
        self._trace = trace
        self._console = console

    @property
    def now(self) -> int:
        return self.control.position().instructions

    def state(self) -> Any:
        machine = self.control.machine
        memory = [zlib.crc32(machine.host.memory(each.paddr, each.region.size)) for each in machine.ram.regions]
        return comparable(save_parts(machine)), memory, self.control.position()

    def told(self) -> tuple[list[str], bytes]:
        return self._trace.getvalue().splitlines(), os.pread(self._console, CONSOLE_SIZE, 0)


@contextmanager
def travelling(subject: Subject, **limits: int) -> Iterator[Traveller]:
    """The guest of a subject, in little memory so that its whole state is quickly compared."""
    memory = {"memory": {"ram": {"size": 4 << 20}}}
    description = machine_from_document({**memory, **subject.document, "limits": limits})
    image = load_guest(subject.guest, ram_base=description.ram.base)
    trace, console = io.StringIO(), os.memfd_create("console")
    try:
        with build_machine(description, image, Console(console, None)) as machine:
            attach_tracer(machine, JsonLinesSink(trace), TraceOptions(selection=Selection(types=EVERYTHING)))
            machine.start()
            if subject.typed:
                machine.input.replay(InputLog(Path("typed"), {}, subject.typed, None))
            subject.prepare(machine)
            control = MachineControl(machine, Watchdog(machine.request_stop, GUARD_SECONDS))
            control.keep_history()
            yield Traveller(control, trace, console)
    finally:
        os.close(console)


# Steps -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALONE)
def test_steps_back_return_to_each_state(name: str) -> None:
    chance = random.Random(name)
    with travelling(SUBJECTS[name]) as run:
        run.control.goto(chance.randrange(50, PLACES.get(name, 2500)))
        states = [run.state()]
        at = 0
        for _ in range(200 if name in ("virtual timer", "typed") else 50):
            if at and chance.random() < 0.45:
                assert run.control.reverse_step(0).reason is Reason.STEP
                at -= 1
            elif run.control.step(0).reason is Reason.STEP:
                at += 1
            else:
                break
            if at == len(states):
                states.append(run.state())
            else:
                assert run.state() == states[at]


@pytest.mark.parametrize("name", SEVERAL)
def test_a_step_back_of_any_vcpu_is_before_its_last_instruction(name: str) -> None:
    chance = random.Random(name)
    with travelling(SUBJECTS[name]) as run:
        control = run.control
        control.goto(chance.randrange(20_000, 100_000))
        done = 0
        for _ in range(15):
            vcpu = chance.randrange(4)
            if control.threads()[vcpu].state == "off" or control.step(vcpu).reason is not Reason.STEP:
                continue
            after = run.state()
            assert control.reverse_step(vcpu).reason is Reason.STEP
            assert run.state() != after
            assert control.step(vcpu).reason is Reason.STEP
            assert run.state() == after
            done += 1
        assert done


def test_a_step_back_from_the_beginning_stays_there() -> None:
    with travelling(SUBJECTS["ticks"]) as run:
        first = run.state()
        assert run.control.reverse_step(0).reason is Reason.HISTORY_BEGIN
        run.control.step(0)
        assert run.control.reverse_step(0).reason is Reason.STEP
        assert run.control.reverse_step(0).reason is Reason.HISTORY_BEGIN
        assert run.control.reverse_resume().reason is Reason.HISTORY_BEGIN
        assert run.state() == first


# Places ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*ALONE, *SEVERAL])
def test_any_way_to_a_place_leads_to_the_same_state(name: str) -> None:
    chance = random.Random(name)
    furthest = PLACES.get(name, 60_000 if name in SEVERAL else 2500)
    places = sorted(chance.sample(range(furthest), 6))
    direct = []
    with travelling(SUBJECTS[name]) as run:
        for place in places:
            run.control.goto(place)
            direct.append(run.state())
    with travelling(SUBJECTS[name]) as run:
        run.control.goto(furthest)
        for _ in range(12):
            number = chance.randrange(len(places))
            run.control.goto(places[number])
            assert run.state() == direct[number]


def wander(run: Traveller, chance: random.Random, furthest: int, *, breaks: bool) -> None:
    """Any way through the history; ``breaks``: with breakpoints, which a guest that spins would hit too often."""
    control = run.control
    for _ in range(4):
        now = run.now
        way = chance.randrange(5)
        if way == 0:
            control.goto(chance.randrange(furthest))
        elif way == 1:
            control.reverse_step(control.current)
        elif way == 2:
            control.step(control.current)
        elif way == 3 and breaks:
            control.set_breakpoints((control.read_register(control.current, "pc"),), ())
            control.goto(min(now + chance.randrange(3000), furthest))
            control.reverse_resume()
            control.set_breakpoints((), ())
        else:
            control.goto(min(now + chance.randrange(3000), furthest))


@pytest.mark.parametrize("name", TRACED)
def test_the_trace_of_a_run_that_goes_back_is_that_of_one_that_does_not(name: str) -> None:
    subject = SUBJECTS[name]
    limit = {"max_exits": min(subject.limit or 200, 200)}
    with travelling(subject, **limit) as run:
        end = run.control.resume()
        furthest = run.now
        plain, state = run.told(), run.state()
    with travelling(subject, **limit) as run:
        chance = random.Random(name)
        while run.now < furthest * 3 // 4:
            run.control.goto(min(run.now + furthest // 4, furthest))
            wander(run, chance, run.now, breaks=name == "ticks")
        assert run.control.resume() == end
        assert (run.told(), run.state()) == (plain, state)
        run.control.reverse_step(run.control.current)
        run.control.goto(furthest // 2)
        assert run.control.resume() == end
        assert (run.told(), run.state()) == (plain, state)


# Pauses ------------------------------------------------------------------------------------------------------------


def test_a_pause_at_the_edge_of_what_is_kept_stops_the_guest() -> None:
    with travelling(SUBJECTS["ticks"]) as run:
        control = run.control
        while True:
            before = run.now
            assert control.step(0).reason is Reason.STEP
            if run.now == before:
                # An interrupt was taken: there are two moments with this number, and this is the later one.
                break
        present = run.state()
        assert control.reverse_step(0).reason is Reason.STEP
        earlier = run.state()
        assert run.now == before
        control.pause()
        assert control.resume().reason is Reason.PAUSE
        assert run.state() == earlier
        assert control.step(0).reason is Reason.STEP
        assert run.state() == present


def test_a_pause_on_the_way_back_is_told() -> None:
    with travelling(SUBJECTS["four CPUs that wait"]) as run:
        control = run.control
        control.goto(50_000)
        for vcpu in (control.current, (control.current + 1) % 4):
            assert control.step(vcpu).reason is Reason.STEP
        # It is not the last one that has executed, so its last instruction has to be looked for.
        place, sought = run.now, (control.current - 1) % 4
        assert control.reverse_step(sought).reason is Reason.STEP
        right = run.state()
        step_any, calls = control.execution.step_any, 0
        reasons: list[Reason] = []

        def paused(number: int) -> Stop:
            nonlocal calls
            calls += 1
            if calls == number:
                control.pause()
            return step_any()

        for number in range(1, 1000):
            control.goto(place)
            calls = 0
            control.execution.step_any = partial(paused, number)  # type: ignore[method-assign]
            reasons.append(control.reverse_step(sought).reason)
            control.execution.step_any = step_any  # type: ignore[method-assign]
            if calls < number:
                break
            assert reasons[-1] is Reason.PAUSE
        assert run.state() == right
        assert len(reasons) > 3 and set(reasons[:-1]) == {Reason.PAUSE}


# Breakpoints and watchpoints ---------------------------------------------------------------------------------------


def hits(run: Traveller, most: int) -> list[tuple[Stop, int]]:
    found: list[tuple[Stop, int]] = []
    while len(found) < most:
        stop = run.control.resume()
        if stop.reason is Reason.ENDED:
            break
        found.append((stop, run.now))
    return found


@pytest.mark.parametrize("name", ["ticks", "paging", "four CPUs that wait"])
def test_breakpoints_are_hit_backward_where_they_were_forward(name: str) -> None:
    with travelling(SUBJECTS[name]) as run:
        control = run.control
        control.goto(900 if name != "ticks" else 300)
        control.set_breakpoints((control.read_register(control.current, "pc"),), ())
        control.goto(0)
        forward = hits(run, 8)
        assert forward
        control.goto(forward[-1][1])
        for stop, place in reversed(forward[:-1]):
            back = control.reverse_resume()
            assert (back, run.now) == (stop, place)
        assert control.reverse_resume().reason is Reason.HISTORY_BEGIN
        assert run.now == 0
        assert hits(run, len(forward)) == forward


def test_watchpoints_are_hit_backward_before_the_access() -> None:
    with travelling(SUBJECTS["exits"]) as run:
        control = run.control
        control.goto(1000)
        stack = control.read_register(0, "sp")
        try:
            control.set_watchpoints((Watchpoint(stack - 64, 64, Access.WRITE),))
        except Exception as error:  # noqa: BLE001
            pytest.skip(str(error))
        control.goto(0)
        forward = hits(run, 6)
        assert forward and {stop.reason for stop, _ in forward} == {Reason.WATCHPOINT}
        for stop, place in reversed(forward[:-1]):
            back = control.reverse_resume()
            assert (back, run.now) == (stop, place)


# Another future ----------------------------------------------------------------------------------------------------


def test_a_change_in_the_past_makes_another_future() -> None:
    said: list[str] = []
    with travelling(SUBJECTS["exits"]) as run:
        control = run.control
        control.on_progress(said.append)
        control.goto(1500)
        control.goto(700)
        before = run.state()
        control.write_register(0, "x28", 0xABCD)
        assert any("the run continues differently" in line for line in said)
        control.goto(900)
        assert control.read_register(0, "x28") == 0xABCD
        changed = run.state()
        control.goto(600)
        assert control.read_register(0, "x28") != 0xABCD
        control.goto(900)
        assert run.state() == changed
        control.goto(650)
        assert control.step(0).reason is Reason.STEP
        control.goto(700)
        assert run.state() == before


def test_a_guest_that_has_ended_goes_back() -> None:
    with travelling(replace(SUBJECTS["ticks"], saves=())) as run:
        control = run.control
        end = control.resume()
        assert end.reason is Reason.ENDED
        told = run.told()
        place = run.now
        assert control.reverse_step(0).reason is Reason.STEP
        assert run.now < place
        control.goto(place // 2)
        assert control.resume() == end
        assert run.told() == told


def test_the_clock_of_the_host_has_no_history() -> None:
    with travelling(replace(SUBJECTS["ticks"], document={"clock": {"source": "host"}})) as run:
        assert not run.control.travels
        with pytest.raises(Exception, match="has no history"):
            run.control.reverse_resume()
