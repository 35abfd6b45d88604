"""A guest's input and its times: delivered, recorded, and replayed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arm_vcpu_cli.devices.pl011 import Pl011
from arm_vcpu_cli.devices.pl011_registers import CR, DR, FR, IMSC, LCR_H
from arm_vcpu_cli.host.console import IDLE_SECONDS, SKIPPED_SECONDS, Console, InputEndedError
from arm_vcpu_cli.vm.guest_input import GuestInput, UartLine
from arm_vcpu_cli.vm.inputlog import InputLog, InputRecorder, load_input_log
from arm_vcpu_cli.vm.timeline import HostClock, InstructionClock, Timeline
from tests.support.budgeted_core import BudgetedCore
from tests.support.files import appended_to
from tests.support.pipes import Pipes, pipes

RECEIVER_ON = 0x301
FIFOS_ON = 1 << 4
RECEIVE, TIMEOUT = 1 << 4, 1 << 6
EMPTY = 1 << 4
IDLE_NS = round(IDLE_SECONDS * 1e9)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class Bench:
    """A console with pipes, a clock, and UARTs with a driver that wants interrupts."""

    def __init__(self, stack: ExitStack, *, uarts: int = 1, with_input: bool = True, driver: bool = True) -> None:
        self.pipes: Pipes = pipes(stack, with_input=with_input)
        self.pipes.connect()
        self.console: Console = self.pipes.console
        self.core = BudgetedCore()
        self.clock = InstructionClock([self.core])
        self.levels: list[bool] = [False] * uarts
        self.uarts = [Pl011(UartLine(self.console, self.clock), partial(self._level, n)) for n in range(uarts)]
        for uart in self.uarts:
            uart.write(LCR_H, 4, FIFOS_ON)
            uart.write(CR, 4, RECEIVER_ON)
            uart.write(IMSC, 4, RECEIVE | TIMEOUT if driver else 0)
        self.input = GuestInput(self.console, self.clock, self.uarts)

    def _level(self, uart: int, level: bool) -> None:
        self.levels[uart] = level

    def watch(self) -> None:
        self.console.watch(self.core.request_stop)

    def type(self, data: bytes) -> None:
        """Have bytes arrive, and wait until they are there."""
        self.pipes.type(data)
        assert self.console.wait_for_input(60)

    def end(self) -> None:
        """End the input, and wait until that is known."""
        self.pipes.end_input()
        self.pipes.join_readers()

    def taken(self) -> bytes:
        """What the guest reads until its UART is empty."""
        data = bytearray()
        while not self.uarts[0].read(FR, 4) & EMPTY:
            data.append(self.uarts[0].read(DR, 4))
        return bytes(data)

    def pass_time(self, to: int) -> None:
        """The guest waits, with every alarm at its time."""
        while (deadline := self.clock.next_deadline()) is not None and deadline <= to:
            self.clock.skip_to(deadline)
            self.clock.expire()
        self.clock.skip_to(to)


def log_of(*deliveries: tuple[int, bytes], end: int | None = None) -> InputLog:
    return InputLog(Path("log"), {}, deliveries, end)


# Delivery ----------------------------------------------------------------------------------------------------------


def test_what_has_arrived_interrupts_once_it_is_delivered(stack: ExitStack) -> None:
    bench = Bench(stack)
    bench.watch()
    bench.type(b"ls")
    assert bench.core.requests > 0, "the guest is to be stopped"
    assert bench.levels == [False]
    bench.input.deliver()
    assert bench.levels == [True]
    assert bench.taken() == b"ls"
    assert bench.levels == [False]


def test_delivering_nothing_does_nothing(stack: ExitStack) -> None:
    bench = Bench(stack)
    bench.watch()
    bench.input.deliver()
    assert bench.levels == [False]
    assert bench.taken() == b""


def test_what_does_not_fit_follows_when_there_is_room(stack: ExitStack) -> None:
    bench = Bench(stack)
    bench.watch()
    text = bytes(range(65, 65 + 40))
    bench.type(text)
    bench.input.deliver()
    taken = bytearray()
    while bench.levels[0]:
        taken += bench.taken()
    assert bytes(taken) == text


def test_the_first_uart_takes_it(stack: ExitStack) -> None:
    bench = Bench(stack, uarts=2)
    bench.watch()
    bench.type(b"x")
    bench.input.deliver()
    assert bench.levels == [True, False]


# Whether something may arrive --------------------------------------------------------------------------------------


def test_it_listens_while_the_input_is_open_and_somebody_wants_it(stack: ExitStack) -> None:
    bench = Bench(stack)
    bench.watch()
    assert bench.input.listening()
    bench.uarts[0].write(IMSC, 4, 0)
    assert not bench.input.listening(), "nothing would interrupt the guest"
    bench.uarts[0].write(IMSC, 4, TIMEOUT)
    assert bench.input.listening()
    bench.end()
    bench.input.deliver()
    assert not bench.input.listening()


def test_one_uart_that_wants_it_is_enough(stack: ExitStack) -> None:
    bench = Bench(stack, uarts=2)
    bench.watch()
    bench.uarts[0].write(IMSC, 4, 0)
    assert bench.input.listening()


def test_it_does_not_listen_without_input(stack: ExitStack) -> None:
    assert not Bench(stack, with_input=False).input.listening()


# Recording ---------------------------------------------------------------------------------------------------------


def recorded(stack: ExitStack, path: Path) -> Bench:
    bench = Bench(stack)
    bench.input.record(InputRecorder(appended_to(path), {"guest": "g"}))
    bench.watch()
    return bench


def test_deliveries_are_recorded_with_their_times(stack: ExitStack, tmp_path: Path) -> None:
    path = tmp_path / "log"
    bench = recorded(stack, path)
    bench.clock.skip_to(1000)
    bench.type(b"ls\r")
    bench.input.deliver()
    bench.clock.skip_to(2000)
    bench.input.deliver()
    bench.end()
    bench.input.deliver()
    bench.input.deliver()
    bench.clock.skip_to(3000)
    bench.input.finish()
    log = load_input_log(path)
    assert log.deliveries == ((1000, b"ls\r"), (2000, b""))
    assert log.end == 3000
    assert log.facts == {"guest": "g"}


def test_the_last_bytes_and_the_end_at_once_are_two_deliveries(stack: ExitStack, tmp_path: Path) -> None:
    path = tmp_path / "log"
    bench = recorded(stack, path)
    bench.pipes.type(b"x")
    bench.end()
    bench.clock.skip_to(10)
    bench.input.deliver()
    bench.input.finish()
    assert load_input_log(path).deliveries == ((10, b"x"), (10, b""))


def test_a_run_without_input_records_its_end(stack: ExitStack, tmp_path: Path) -> None:
    path = tmp_path / "log"
    bench = recorded(stack, path)
    bench.clock.skip_to(77)
    bench.input.finish()
    log = load_input_log(path)
    assert (log.deliveries, log.end) == ((), 77)


def test_a_run_that_is_not_recorded_ends_without_a_file(stack: ExitStack) -> None:
    Bench(stack).input.finish()


# Repetition --------------------------------------------------------------------------------------------------------


def test_deliveries_are_repeated_at_their_times(stack: ExitStack) -> None:
    bench = Bench(stack)
    bench.input.replay(log_of((1000, b"ls"), (1000, b"-l"), (5000, b"\r"), (6000, b""), end=9000))
    assert not bench.input.listening()
    assert bench.clock.next_is_silent(), "no interrupt of the host's timer is seen"
    bench.pass_time(999)
    assert bench.levels == [False]
    bench.pass_time(1000)
    assert bench.levels == [True]
    assert bench.taken() == b"ls-l"
    bench.pass_time(4999)
    assert bench.levels == [False]
    bench.pass_time(5000)
    assert bench.taken() == b"\r"
    assert bench.console.input_open
    bench.pass_time(6000)
    assert not bench.console.input_open
    assert not bench.input.replay_over
    bench.pass_time(8999)
    assert not bench.input.replay_over
    bench.pass_time(9000)
    assert bench.input.replay_over
    assert bench.clock.next_deadline() is None


def test_a_run_that_was_cut_off_goes_on_with_its_input_open(stack: ExitStack) -> None:
    bench = Bench(stack)
    bench.input.replay(log_of((1000, b"x")))
    bench.pass_time(1 << 40)
    assert bench.taken() == b"x"
    assert bench.console.input_open
    assert not bench.input.replay_over


def test_what_somebody_types_meanwhile_is_not_received(stack: ExitStack) -> None:
    bench = Bench(stack)
    bench.input.replay(log_of((1000, b"x"), end=5000))
    bench.pipes.type(b"typed")
    bench.input.deliver()
    assert bench.taken() == b""
    bench.pass_time(2000)
    assert bench.taken() == b"x"


def test_a_repetition_is_not_recorded(stack: ExitStack, tmp_path: Path) -> None:
    path = tmp_path / "log"
    bench = Bench(stack)
    bench.input.record(InputRecorder(appended_to(path), {}))
    bench.input.replay(log_of((1000, b"x"), end=5000))
    bench.pass_time(6000)
    bench.input.finish()
    assert load_input_log(path).deliveries == ()


@given(st.lists(st.tuples(st.integers(0, 1000), st.binary(min_size=1, max_size=20)), max_size=10))
def test_what_was_recorded_arrives_again_at_the_same_times(gaps: list[tuple[int, bytes]]) -> None:
    deliveries: list[tuple[int, bytes]] = []
    now = 0
    for gap, data in gaps:
        now += gap
        deliveries.append((now, data))
    with ExitStack() as stack:
        bench = Bench(stack, with_input=False)
        bench.input.replay(log_of(*deliveries, end=now + 1))
        for time in sorted({time for time, _ in deliveries}):
            bench.pass_time(time)
            expected = b"".join(data for at, data in deliveries if at == time)
            received = b""
            while chunk := bench.taken():
                received += chunk
            assert received == expected
        bench.pass_time(now + 1)
        assert bench.input.replay_over


# A guest that polls ------------------------------------------------------------------------------------------------


def test_a_poll_of_a_guest_that_waits_takes_the_same_time_each(stack: ExitStack) -> None:
    bench = Bench(stack)
    line = UartLine(bench.console, bench.clock)
    calls: list[int] = []
    bench.clock.alarm(lambda: calls.append(bench.clock.now())).set_at(3 * IDLE_NS)
    for n in range(1, 3):
        line.wait()
        assert bench.clock.now() == n * IDLE_NS
        assert bench.core.budget == (3 - n) * IDLE_NS, "the alarm has come nearer"
    line.wait()
    assert bench.core.budget == 0
    bench.clock.expire(budget_used=True)
    assert calls == [3 * IDLE_NS]


def test_without_input_a_guest_that_polls_waits_in_its_own_time_and_not_for_ever(stack: ExitStack) -> None:
    bench = Bench(stack, with_input=False)
    line = UartLine(bench.console, bench.clock)
    with pytest.raises(InputEndedError):
        for _ in range(1 << 16):
            line.wait()
    assert bench.clock.now() >= SKIPPED_SECONDS * 1e9 * 0.99
    assert bench.pipes.slept == 0, "nobody of the host has waited"


def test_under_the_host_clock_a_poll_sleeps(stack: ExitStack) -> None:
    bench = Bench(stack, with_input=False)
    clock: Timeline = HostClock([bench.core], lambda: 5)
    UartLine(bench.console, clock).wait()
    assert bench.pipes.slept == IDLE_SECONDS
    assert clock.now() == 0


def test_bytes_go_both_ways(stack: ExitStack) -> None:
    bench = Bench(stack, driver=False)
    bench.uarts[0].write(DR, 4, ord("o"))
    bench.console.flush()
    assert bench.pipes.output_so_far() == b"o"
    bench.pipes.type(b"i")
    assert bench.uarts[0].read(DR, 4) == ord("i")


# A run that goes back in time --------------------------------------------------------------------------------------


def test_what_was_delivered_is_delivered_again_at_its_time(stack: ExitStack) -> None:
    bench = Bench(stack)
    bench.watch()
    bench.input.keep()
    start = bench.input.save(), bench.clock.save(), bench.console.save()
    for time, data in ((1000, b"ab"), (3000, b"c")):
        bench.pass_time(time)
        bench.type(data)
        bench.input.deliver()
    assert bench.taken() == b"abc"

    bench.clock.load(start[1], [bench.core])
    bench.console.load(start[2])
    bench.input.load(start[0])
    bench.input.repeat(True)
    bench.type(b"new")
    assert bench.console.input_open
    bench.input.deliver()
    bench.pass_time(999)
    assert bench.taken() == b""
    bench.pass_time(1000)
    assert bench.taken() == b"ab"
    bench.pass_time(3000)
    assert bench.taken() == b"c"
    requests = bench.core.requests
    bench.input.repeat(False)
    assert bench.core.requests > requests, "what has arrived meanwhile is announced"
    bench.input.deliver()
    assert bench.taken() == b"new"


def test_another_future_gets_none_of_what_was_delivered_in_the_first(stack: ExitStack) -> None:
    bench = Bench(stack)
    bench.watch()
    bench.input.keep()
    start = bench.input.save(), bench.clock.save(), bench.console.save()
    bench.pass_time(1000)
    bench.type(b"ab")
    bench.input.deliver()
    bench.clock.load(start[1], [bench.core])
    bench.console.load(start[2])
    bench.input.load(start[0])
    bench.input.forget_future()
    bench.input.repeat(False)
    assert bench.clock.next_deadline() is None


def test_the_end_of_the_input_is_as_far_ahead_as_it_was(stack: ExitStack) -> None:
    bench = Bench(stack)
    bench.watch()
    bench.input.keep()
    start = bench.input.save(), bench.clock.save(), bench.console.save()
    bench.pass_time(1000)
    bench.end()
    bench.input.deliver()
    assert not bench.console.input_open
    bench.clock.load(start[1], [bench.core])
    bench.console.load(start[2])
    bench.input.load(start[0])
    bench.input.repeat(True)
    assert bench.console.input_open
    bench.pass_time(1000)
    assert not bench.console.input_open


# Answers -----------------------------------------------------------------------------------------------------------


def test_an_answer_reaches_a_guest_without_other_input_at_this_moment_of_its_time(stack: ExitStack) -> None:
    bench = Bench(stack, with_input=False)
    bench.watch()
    bench.pass_time(5 * IDLE_NS)
    now = bench.clock.now()
    # As inside an exit: nothing changes for the UART before the guest is stopped.
    bench.input.answer(b"ls")
    bench.input.answer(b"\n")
    assert (bench.levels, bench.clock.next_deadline()) == ([False], now)
    bench.pass_time(now)
    assert bench.levels == [True]
    assert bench.taken() == b"ls\n"
    assert bench.clock.next_deadline() is None


def test_an_answer_reaches_a_guest_whose_call_waits_for_it(stack: ExitStack) -> None:
    bench = Bench(stack, with_input=False)
    bench.console.observe(lambda _prompt: bench.input.answer(b"yes\n"))
    bench.console.write(b"sure? ")
    assert bench.input.take(100) == b"yes\n"
    assert bench.input.take(100) == b""


def test_a_prompt_is_shown_before_the_guest_waits_if_somebody_looks_for_it(stack: ExitStack) -> None:
    bench = Bench(stack, with_input=False)
    seen: list[bytes] = []
    bench.console.observe(seen.append)
    bench.console.write(b"# ")
    bench.input.deliver()
    assert seen == []
    bench.input.shows_prompts = True
    bench.input.deliver()
    assert seen == [b"# "]
