"""A guest that waits: until when, in whose time, and whether in vain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any, cast

import pytest

from arm_vcpu_cli.devices.pl011 import Pl011
from arm_vcpu_cli.devices.pl011_registers import CR, IMSC, LCR_H
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.vm.cpu import Activity
from arm_vcpu_cli.vm.guest_input import GuestInput, UartLine
from arm_vcpu_cli.vm.scheduler import Scheduler
from arm_vcpu_cli.vm.timeline import HostClock, InstructionClock, Timeline
from arm_vcpu_cli.vm.watch import idle
from arm_vcpu_cli.vm.watch.idle import wait_for_interrupt
from tests.support.budgeted_core import BudgetedCore
from tests.support.fake_cpu import FakeCpu, as_cpus
from tests.support.pipes import pipes

MS = 1_000_000
RECEIVE = 1 << 4
"""UARTIMSC.RXIM and, next to it, RTIM."""


class HostTime:
    """The host's monotonic clock, which only moves while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 777

    def monotonic_ns(self) -> int:
        return self.now


class FakeConsole:
    """A console whose sleep is scripted: what arrives in each sleep, after how long; None is a stop of the run."""

    def __init__(self, host: HostTime, script: list[tuple[int, bytes] | None]) -> None:
        self.host = host
        self.script = script
        self.sleeps: list[float | None] = []
        self.input_open = True
        self.arrived = b""
        self.cancelled = False
        self.late = 0

    def wait_for_input(self, seconds: float | None) -> bool:
        if self.arrived:
            return True
        if seconds == 0 or self.cancelled:
            return False
        self.sleeps.append(seconds)
        event = self.script[0] if self.script else None
        if event is None and (self.script or seconds is None):
            self.cancelled = True
            self.host.now += 3 * MS
            return False
        wanted = None if seconds is None else round(seconds * 1e9)
        if event is not None and (wanted is None or event[0] <= wanted):
            self.script.pop(0)
            self.host.now += event[0]
            self.arrived = event[1]
            return True
        assert wanted is not None
        self.host.now += wanted + self.late
        return False

    def deliver(self) -> bytes:
        data, self.arrived = self.arrived, b""
        return data


def waiting_cpu(clock: Timeline, core: BudgetedCore) -> tuple[FakeCpu, Scheduler]:
    """The only CPU of a machine, which waits."""
    cpu, scheduler = FakeCpu(0, core), Scheduler(clock)
    scheduler.connect(as_cpus([cpu]))
    scheduler.begin()
    scheduler.wait()
    return cpu, scheduler


class Waiting:
    """The parts of a machine that a wait involves."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        script: list[tuple[int, bytes] | None] | None = None,
        *,
        follows_host: bool = False,
        listening: bool = False,
    ) -> None:
        self.host = HostTime()
        monkeypatch.setattr(idle, "time", SimpleNamespace(monotonic_ns=self.host.monotonic_ns))
        self.core = BudgetedCore()
        self.clock: Timeline = (
            HostClock([self.core], self.host.monotonic_ns) if follows_host else InstructionClock([self.core])
        )
        self.console = FakeConsole(self.host, script or [])
        self.delivered: list[tuple[int, bytes]] = []
        self.listening = listening
        self.interrupts_on: Callable[[bytes], bool] = bool
        self.cpu, self.scheduler = waiting_cpu(self.clock, self.core)
        self.machine = cast(
            Any,
            SimpleNamespace(
                timeline=self.clock,
                scheduler=self.scheduler,
                console=self.console,
                input=SimpleNamespace(deliver=self._deliver, listening=lambda: self.listening, repeating=False),
                seen_enough=None,
            ),
        )

    def _deliver(self) -> None:
        data = self.console.deliver()
        if data:
            self.delivered.append((self.clock.now(), data))
            if self.interrupts_on(data):
                self.interrupt()

    def interrupt(self) -> None:
        self.scheduler.raised(0)

    @property
    def interrupted(self) -> bool:
        return self.cpu.activity is Activity.RUNNING

    def wait(self) -> bool:
        return wait_for_interrupt(self.machine)


both_clocks = pytest.mark.parametrize("follows_host", [False, True], ids=["instructions", "host"])


@both_clocks
def test_with_nothing_to_come_it_is_in_vain(monkeypatch: pytest.MonkeyPatch, follows_host: bool) -> None:
    waiting = Waiting(monkeypatch, follows_host=follows_host)
    assert not waiting.wait()
    assert waiting.console.sleeps == []


def test_instructions_skip_to_the_alarm_without_sleeping(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Waiting(monkeypatch)
    waiting.clock.alarm(waiting.interrupt).set_at(3600 * 1000 * MS)
    assert waiting.wait()
    assert waiting.clock.now() == 3600 * 1000 * MS
    assert waiting.console.sleeps == []


def test_the_host_clock_sleeps_until_the_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Waiting(monkeypatch, follows_host=True)
    waiting.clock.alarm(waiting.interrupt).set_at(250 * MS)
    assert waiting.wait()
    assert waiting.console.sleeps == [0.25]
    assert waiting.clock.now() == 250 * MS


@both_clocks
def test_alarms_that_interrupt_nobody_are_passed(monkeypatch: pytest.MonkeyPatch, follows_host: bool) -> None:
    waiting = Waiting(monkeypatch, follows_host=follows_host)
    passed: list[int] = []
    for due in (100, 200):
        waiting.clock.alarm(lambda: passed.append(waiting.clock.now())).set_at(due * MS)
    waiting.clock.alarm(waiting.interrupt).set_at(300 * MS)
    assert waiting.wait()
    assert passed == [100 * MS, 200 * MS]
    assert waiting.clock.now() == 300 * MS


@both_clocks
def test_after_the_last_alarm_it_is_in_vain(monkeypatch: pytest.MonkeyPatch, follows_host: bool) -> None:
    waiting = Waiting(monkeypatch, follows_host=follows_host)
    waiting.clock.alarm(lambda: None).set_at(100 * MS)
    assert not waiting.wait()
    assert waiting.clock.now() == 100 * MS


def test_an_overdue_alarm_is_called_first(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Waiting(monkeypatch)
    waiting.clock.skip_to(10 * MS)
    waiting.clock.alarm(waiting.interrupt).set_at(5 * MS)
    assert waiting.wait()
    assert waiting.clock.now() == 10 * MS


@both_clocks
def test_what_has_arrived_is_delivered_first(monkeypatch: pytest.MonkeyPatch, follows_host: bool) -> None:
    waiting = Waiting(monkeypatch, follows_host=follows_host, listening=True)
    waiting.console.arrived = b"x"
    waiting.clock.alarm(lambda: None).set_at(100 * MS)
    assert waiting.wait()
    assert waiting.delivered == [(0, b"x")]
    assert waiting.clock.now() == 0


# While somebody may type -------------------------------------------------------------------------------------------


@both_clocks
def test_while_somebody_may_type_the_alarm_is_waited_out(monkeypatch: pytest.MonkeyPatch, follows_host: bool) -> None:
    waiting = Waiting(monkeypatch, follows_host=follows_host, listening=True)
    waiting.clock.alarm(waiting.interrupt).set_at(2000 * MS)
    assert waiting.wait()
    assert waiting.console.sleeps == [2.0]
    assert waiting.clock.now() == 2000 * MS


@both_clocks
def test_a_key_ends_the_wait_at_its_time(monkeypatch: pytest.MonkeyPatch, follows_host: bool) -> None:
    waiting = Waiting(monkeypatch, [(700 * MS, b"x")], follows_host=follows_host, listening=True)
    waiting.clock.alarm(waiting.interrupt).set_at(2000 * MS)
    assert waiting.wait()
    assert waiting.delivered == [(700 * MS, b"x")]
    assert waiting.clock.now() == 700 * MS


@both_clocks
def test_a_key_is_waited_for_without_an_alarm(monkeypatch: pytest.MonkeyPatch, follows_host: bool) -> None:
    waiting = Waiting(monkeypatch, [(9000 * MS, b"x")], follows_host=follows_host, listening=True)
    assert waiting.wait()
    assert waiting.console.sleeps == [None]
    assert waiting.delivered == [(9000 * MS, b"x")]


@both_clocks
def test_a_key_that_interrupts_nobody_does_not_end_the_wait(
    monkeypatch: pytest.MonkeyPatch, follows_host: bool
) -> None:
    waiting = Waiting(monkeypatch, [(100 * MS, b"-"), (200 * MS, b"x")], follows_host=follows_host, listening=True)
    waiting.interrupts_on = lambda data: data == b"x"
    assert waiting.wait()
    assert waiting.delivered == [(100 * MS, b"-"), (300 * MS, b"x")]


def test_what_arrives_late_is_not_later_than_the_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host may have slept for longer: alarms of the guest come first, at their time."""
    waiting = Waiting(monkeypatch, [(150 * MS, b"x")], listening=True)
    calls: list[int] = []
    waiting.clock.alarm(lambda: calls.append(waiting.clock.now())).set_at(160 * MS)
    real = waiting.console.wait_for_input

    def oversleep(seconds: float | None) -> bool:
        arrived = real(seconds)
        if arrived and not waiting.delivered:
            waiting.host.now += 500 * MS
        return arrived

    waiting.console.wait_for_input = oversleep  # type: ignore[method-assign]
    assert waiting.wait()
    assert waiting.delivered == [(160 * MS, b"x")]
    assert calls == [160 * MS]


def test_what_has_arrived_before_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Input from a file is there at once: how fast the host finds out must not show."""
    waiting = Waiting(monkeypatch, listening=True)
    waiting.clock.skip_to(50 * MS)
    real = waiting.console.wait_for_input
    parts = [b"a", b"b", b"x"]

    def from_file(seconds: float | None) -> bool:
        waiting.host.now += 12_345
        if parts and not waiting.console.arrived:
            waiting.console.arrived = parts.pop(0)
        return real(seconds)

    waiting.console.wait_for_input = from_file  # type: ignore[method-assign]
    waiting.interrupts_on = lambda data: data == b"x"
    assert waiting.wait()
    assert [data for _, data in waiting.delivered] == [b"a", b"b", b"x"]
    assert {time for time, _ in waiting.delivered} == {50 * MS}
    assert waiting.clock.now() == 50 * MS


def test_input_that_ends_leaves_the_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Waiting(monkeypatch, [(100 * MS, b"-")], listening=True)

    def last(_data: bytes) -> bool:
        waiting.listening = False
        return False

    waiting.interrupts_on = last
    waiting.clock.alarm(waiting.interrupt).set_at(5000 * MS)
    assert waiting.wait()
    assert len(waiting.console.sleeps) == 1, "no longer slept on the host"
    assert waiting.clock.now() == 5000 * MS


# A run that is stopped ---------------------------------------------------------------------------------------------


@both_clocks
@pytest.mark.parametrize("has_alarm", [False, True])
def test_a_stopped_run_ends_the_wait_without_an_interrupt(
    monkeypatch: pytest.MonkeyPatch, follows_host: bool, has_alarm: bool
) -> None:
    waiting = Waiting(monkeypatch, [None], follows_host=follows_host, listening=True)
    if has_alarm:
        waiting.clock.alarm(waiting.interrupt).set_at(5000 * MS)
    assert waiting.wait()
    assert not waiting.interrupted


@pytest.mark.parametrize("late", [-3, 0, 40 * MS])
def test_a_sleep_that_is_not_exact_ends_at_the_alarm(monkeypatch: pytest.MonkeyPatch, late: int) -> None:
    """A float of seconds is not exact to the nanosecond where the host has been up for months."""
    waiting = Waiting(monkeypatch, listening=True)
    waiting.console.late = late
    waiting.clock.alarm(waiting.interrupt).set_at(250 * MS)
    assert waiting.wait()
    assert waiting.interrupted
    assert waiting.clock.now() == 250 * MS


# With a real console -----------------------------------------------------------------------------------------------


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@both_clocks
def test_a_byte_on_a_pipe_interrupts_through_the_uart(stack: ExitStack, follows_host: bool) -> None:
    box = pipes(stack)
    box.connect()
    core = BudgetedCore()
    clock: Timeline = HostClock([core]) if follows_host else InstructionClock([core])
    cpu, scheduler = waiting_cpu(clock, core)

    def line(level: bool) -> None:
        if level:
            scheduler.raised(0)

    uart = Pl011(UartLine(box.console, clock), line)
    uart.write(LCR_H, 4, 1 << 4)
    uart.write(CR, 4, 0x301)
    uart.write(IMSC, 4, RECEIVE | RECEIVE << 2)
    console: Console = box.console
    console.watch(core.request_stop)
    machine = SimpleNamespace(
        timeline=clock, scheduler=scheduler, console=console, input=GuestInput(console, clock, [uart])
    )
    box.type(b"x")
    assert wait_for_interrupt(cast(Any, machine))
    assert cpu.activity is Activity.RUNNING
    assert uart.read(0, 4) == ord("x")
    box.end_input()
    box.join_readers()
    machine.input.deliver()
    scheduler.wait()
    assert not wait_for_interrupt(cast(Any, machine))
