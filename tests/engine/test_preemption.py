"""Stopping a guest on the real engine: only between two instructions, counted exactly, and without an effect on it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from arm_vcpu_cli.axvcpu.exit import ExternalInterrupt, Nothing
from arm_vcpu_cli.engine import unicorn_core
from arm_vcpu_cli.engine.levers import known_levers
from arm_vcpu_cli.engine.port import StopReason
from arm_vcpu_cli.engine.stubs import load_stubs
from arm_vcpu_cli.host.machine_host import HYPERVISOR_TIMER
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.record import replace
from tests.support.tools import missing

from .harness import DATA, EL0T, EL1H, GUARD_SECONDS, Guest, is_call

NODES = 13
SCRATCH = DATA + 0x1000
EXCLUSIVE = DATA + 0x2000
ROUNDS = 300
NEVER = 1 << 62
BLOCKS = (
    *("work", "round", "chase", "pairs", "exclusive", "store_exclusive", "exclusive_pair", "exclusive_pair_again"),
    *("call", "callee", "called", "end"),
)
"""Where those of the work begin; none is longer than 15 instructions."""
STUBS = ("native", "called", "Python")
"""Machine code, inline where translated code can count; the same called by each block; functions in Python."""


def choose_stubs(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Have the next cores use these stubs."""
    native = kind != "Python"
    stubs, levers = load_stubs(native=native), known_levers()
    if stubs.native is not native:
        missing("the machine code of the stubs")
    if kind == "called":
        levers = replace(levers, inline_counting=False)
    monkeypatch.setattr(unicorn_core, "load_stubs", lambda: stubs)
    monkeypatch.setattr(unicorn_core, "known_levers", lambda: levers)


@pytest.fixture(params=STUBS)
def stubs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    choose_stubs(monkeypatch, request.param)
    return str(request.param)


@dataclass(frozen=True)
class Result:
    """What the work has left, in registers and in memory."""

    registers: tuple[int, ...]
    flags: int
    vector: int
    memory: bytes


def prepare_work(guest: Guest, rounds: int = ROUNDS, mode: int = EL1H) -> None:
    guest.core.count_instructions()
    for node in range(NODES):
        at, following = DATA + 64 * node, DATA + 64 * ((node * 5 + 1) % NODES)
        guest.write_u64(at, following, node * 0x0123_4567_89AB_CDEF & (1 << 64) - 1)
    guest.write_u64(SCRATCH, *range(100, 108))
    guest.write_u64(EXCLUSIVE, 0, 0, 0, 1 << 40)
    guest.prepare("work", mode=mode, x={1: DATA, 2: SCRATCH, 3: EXCLUSIVE, 20: rounds})


def result_of(guest: Guest) -> Result:
    return Result(
        tuple(guest.x(number) for number in range(31)),
        int(guest.pstate),
        guest.v(0),
        guest.read(DATA, 0x3000),
    )


def finish_work(guest: Guest, between: Callable[[], None] = lambda: None) -> list[StopReason]:
    """Run to the end, with ``between`` before each entry; why it was stopped on the way."""
    stops: list[StopReason] = []
    with Watchdog(guest.core.stop, GUARD_SECONDS) as guard:
        while True:
            between()
            reason = guest.vcpu.run()
            assert guard.cause is None, "the guest did not come to an end"
            if is_call(reason):
                assert guest.pc == guest.label("block_never")
                return stops
            assert reason == Nothing()
            stops.append(guest.vcpu.stopped_by)


@pytest.fixture(scope="module")
def undisturbed() -> Result:
    with Guest("preemption") as guest:
        prepare_work(guest)
        assert finish_work(guest) == []
        assert guest.x(20) == 0
        assert int.from_bytes(guest.read(EXCLUSIVE, 8), "little") == ROUNDS
        assert int.from_bytes(guest.read(EXCLUSIVE + 16, 8), "little") == ROUNDS
        assert int.from_bytes(guest.read(EXCLUSIVE + 24, 8), "little") == (1 << 40) - 2 * ROUNDS
        return result_of(guest)


# Stops and resumptions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [17, 64, 257, 1000])
def test_a_guest_stopped_by_its_budget_computes_the_same(stubs: str, undisturbed: Result, budget: int) -> None:
    with Guest("preemption") as guest:
        prepare_work(guest)
        stops = finish_work(guest, lambda: guest.core.set_budget(budget))
        assert set(stops) == {StopReason.BUDGET}
        assert len(stops) > ROUNDS * 60 // budget
        assert result_of(guest) == undisturbed


def test_a_guest_stopped_after_every_block_computes_the_same(undisturbed: Result) -> None:
    """No block of it is longer than 15 instructions; what it reserved with LDXR stays reserved across a stop."""
    with Guest("preemption") as guest:
        prepare_work(guest)
        left = iter(range(1 << 30))
        finish_work(guest, lambda: guest.core.set_budget(15 if next(left) % 2 else 16))
        assert result_of(guest) == undisturbed


def test_requests_from_another_thread_count_no_block_twice(stubs: str) -> None:
    rounds = 200 if stubs == "Python" else 200_000
    with Guest("preemption") as guest:
        prepare_work(guest, rounds=rounds)
        finish_work(guest)
        expected = guest.core.instruction_count()
    with Guest("preemption") as guest:
        prepare_work(guest, rounds=rounds)
        begun, over = threading.Event(), threading.Event()

        def ask() -> None:
            begun.set()
            while not over.wait(0.0001):
                guest.core.request_stop()

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        assert begun.wait(GUARD_SECONDS)
        # On a busy host the guest could be done before anybody asks again.
        guest.core.request_stop()
        stops = finish_work(guest)
        over.set()
        asking.join()
        assert StopReason.REQUEST in stops
        assert guest.core.instruction_count() == expected


def test_requests_from_another_thread_change_nothing(stubs: str) -> None:
    stops_wanted = 40
    with Guest("preemption") as guest:
        prepare_work(guest, rounds=NEVER)
        guest.core.set_budget(NEVER)
        entered, over = threading.Semaphore(0), threading.Event()

        def ask() -> None:
            while entered.acquire() and not over.is_set():
                guest.core.request_stop()

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        with Watchdog(guest.core.stop, GUARD_SECONDS) as guard:
            for _ in range(stops_wanted):
                entered.release()
                assert guest.vcpu.run() == Nothing()
                assert guard.cause is None
                assert guest.vcpu.stopped_by is StopReason.REQUEST
        over.set()
        entered.release()
        asking.join()
        # It goes on to the end of this round and one more.
        rounds = NEVER - guest.x(20) + 2
        guest.vcpu.set_gpr(20, 2)
        finish_work(guest)
        disturbed = result_of(guest)
    with Guest("preemption") as guest:
        prepare_work(guest, rounds=rounds)
        assert finish_work(guest) == []
        assert disturbed == result_of(guest)


def test_stops_fall_only_where_a_block_begins(stubs: str) -> None:
    with Guest("preemption") as guest:
        blocks = {guest.label(name) for name in ("launch", *(f"block_{block}" for block in BLOCKS))}
        prepare_work(guest, rounds=40)
        places: set[int] = set()

        def look() -> None:
            places.add(guest.pc)
            guest.core.set_budget(16 + len(places))

        assert finish_work(guest, look)
        assert places <= blocks
        assert len(places) > 5


def test_a_budget_is_never_exceeded(stubs: str) -> None:
    with Guest("preemption") as guest:
        prepare_work(guest, rounds=50)
        limit = 0

        def give() -> None:
            nonlocal limit
            assert guest.core.instruction_count() <= limit
            limit = guest.core.instruction_count() + 40
            guest.core.set_budget(40)

        stops = finish_work(guest, give)
        assert guest.core.instruction_count() <= limit
        # Nor is it left unused: no block of the work is longer than 15 instructions.
        assert guest.core.instruction_count() > len(stops) * (40 - 15)


@pytest.mark.parametrize("budget", [0, 1])
def test_a_budget_too_small_for_a_block_executes_nothing(stubs: str, budget: int) -> None:
    with Guest("preemption") as guest:
        guest.core.count_instructions()
        guest.prepare("count", x={0: 1000})
        guest.core.set_budget(1)
        assert guest.vcpu.run() == Nothing()
        at = guest.pc
        assert at == guest.label("count")
        guest.core.set_budget(budget)
        assert guest.vcpu.run() == Nothing()
        assert (guest.pc, guest.x(0), guest.core.instruction_count()) == (at, 1000, 1)
        assert guest.core.budget_left() == budget


def test_to_look_for_a_request_does_not_lengthen_a_budget(stubs: str) -> None:
    with Guest("preemption") as guest:
        guest.core.count_instructions()
        guest.prepare("block_chase", x={4: DATA, 5: 1})
        guest.core.set_budget(6)
        guest.core.watch_code(guest.label("launch"), guest.label("launch"), lambda _pc: guest.core.request_stop())
        for cause in ("REQUEST", "BUDGET"):
            assert guest.vcpu.run() == Nothing()
            assert guest.vcpu.stopped_by.name == cause
            assert (guest.pc, guest.core.budget_left()) == (guest.label("block_chase"), 5)


def test_a_request_made_before_the_guest_is_entered_stops_it_at_once(stubs: str) -> None:
    with Guest("preemption") as guest:
        guest.core.count_instructions()
        guest.prepare("count", x={0: 1000})
        guest.core.request_stop()
        assert guest.vcpu.run() == Nothing()
        assert guest.vcpu.stopped_by is StopReason.REQUEST
        assert guest.pc == guest.label("launch")
        assert guest.core.instruction_count() == 0
        assert is_call(guest.run()), "one request is one stop"


@pytest.mark.parametrize("mode", [EL1H, EL0T], ids=["EL1", "EL0"])
def test_a_loop_that_never_exits_is_stopped(stubs: str, mode: int) -> None:
    with Guest("preemption") as guest:
        guest.core.count_instructions()
        guest.prepare("count", mode=mode, x={0: NEVER})
        guest.core.set_budget(10_001)
        assert guest.vcpu.run() == Nothing()
        assert guest.vcpu.stopped_by is StopReason.BUDGET
        assert guest.x(0) == NEVER - 5000
        assert guest.pstate.el == (1 if mode == EL1H else 0)


def test_the_end_of_a_budget_is_an_exit_where_it_is_the_timer_of_the_machine() -> None:
    with Guest("preemption") as guest:
        guest.core.count_instructions()
        guest.host.timer_is_due = lambda: True
        guest.prepare("count", x={0: 1000})
        guest.core.set_budget(101)
        before = guest.vcpu.exits
        assert guest.vcpu.run() == ExternalInterrupt(HYPERVISOR_TIMER)
        assert guest.vcpu.exits == before + 1
        guest.core.set_budget(NEVER)
        assert is_call(guest.run())
        assert guest.x(0) == 0


# Counting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [1, 2, 1000])
def test_each_instruction_is_counted_once(stubs: str, rounds: int) -> None:
    with Guest("preemption") as guest:
        guest.core.count_instructions()
        assert is_call(guest.start("count", x={0: rounds}))
        # The ERET before and the HVC behind.
        assert guest.core.instruction_count() == 2 * rounds + 2


def test_exits_do_not_disturb_the_count(stubs: str) -> None:
    with Guest("preemption") as guest:
        guest.core.count_instructions()
        guest.prepare("count_calls", x={0: 100})
        calls = 0
        while is_call(guest.run()) and guest.x(1):
            calls += 1
        assert calls == 100
        assert guest.core.instruction_count() == 1 + 1 + 3 * 100 + 1


def test_counting_begins_when_it_is_asked_for() -> None:
    with Guest("preemption") as guest:
        assert is_call(guest.start("count", x={0: 1000}))
        assert guest.core.instruction_count() == 0
        guest.core.count_instructions()
        guest.core.count_instructions()
        assert is_call(guest.start("count", x={0: 10}))
        assert guest.core.instruction_count() == 22


def test_a_new_budget_does_not_change_the_count(stubs: str) -> None:
    with Guest("preemption") as guest:
        guest.core.count_instructions()
        assert is_call(guest.start("count", x={0: 10}))
        for budget in (0, 5, NEVER, 1):
            guest.core.set_budget(budget)
            assert guest.core.instruction_count() == 22
            assert guest.core.budget_left() == budget


Stop = tuple[int, int]


def places_of_stops(monkeypatch: pytest.MonkeyPatch, kind: str) -> list[Stop]:
    """(PC, count) at each stop of the work."""
    choose_stubs(monkeypatch, kind)
    places: list[Stop] = []
    with Guest("preemption") as guest:
        prepare_work(guest, rounds=60)

        def note() -> None:
            places.append((guest.pc, guest.core.instruction_count()))
            guest.core.set_budget(101)

        finish_work(guest, note)
        return [*places, (guest.pc, guest.core.instruction_count())]


def test_native_and_python_stubs_count_and_stop_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    native, called, python = (places_of_stops(monkeypatch, kind) for kind in STUBS)
    assert native == called == python
    assert len(native) > 20


def test_runs_are_counted_and_stopped_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: Iterator[list[Stop]] = (places_of_stops(monkeypatch, "native") for _ in range(3))
    first = next(runs)
    assert all(run == first for run in runs)
