"""Input that is announced, delivered at times that the machine chooses, or replayed from a recording."""

from __future__ import annotations

import os
import pty
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from arm_vcpu_cli.host.console import Console, InputEndedError
from arm_vcpu_cli.host.inbox import LIMIT
from tests.support.pipes import LONG_SECONDS, Pipes, pipes


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class Requests:
    """Counts announcements, from whichever thread they come."""

    def __init__(self) -> None:
        self.count = 0
        self.threads: set[str] = set()
        self._announced = threading.Event()

    def __call__(self) -> None:
        self.count += 1
        self.threads.add(threading.current_thread().name)
        self._announced.set()

    def expect(self) -> None:
        """Wait for an announcement."""
        assert self._announced.wait(LONG_SECONDS)
        self._announced.clear()


def watched(stack: ExitStack, *, interactive: bool = False, with_input: bool = True) -> tuple[Pipes, Requests]:
    box, requests = pipes(stack, interactive=interactive, with_input=with_input), Requests()
    box.connect()
    box.console.watch(requests)
    return box, requests


def from_file(stack: ExitStack, path: Path | str) -> tuple[Pipes, Console, Requests]:
    box, requests = pipes(stack), Requests()
    fd = os.open(path, os.O_RDONLY)
    stack.callback(os.close, fd)
    console = Console(box.output, fd)
    console.watch(requests)
    return box, console, requests


def received(console: Console) -> bytes:
    return bytes(iter(console.receive, None))


# Pipes and terminals -------------------------------------------------------------------------------------------

both_kinds = pytest.mark.parametrize("interactive", [False, True], ids=["pipe", "terminal"])


@both_kinds
def test_what_arrives_is_announced_and_received_once_it_is_delivered(stack: ExitStack, interactive: bool) -> None:
    box, requests = watched(stack, interactive=interactive)
    assert box.console.deliver() == b""
    box.type(b"ls\n")
    requests.expect()
    assert box.received() == b"", "nothing is received before it is delivered"
    assert box.console.deliver() == b"ls\n"
    assert box.console.deliver() == b""
    assert box.received() == b"ls\n"
    assert threading.current_thread().name not in requests.threads


@both_kinds
def test_deliveries_are_received_in_order(stack: ExitStack, interactive: bool) -> None:
    box, requests = watched(stack, interactive=interactive)
    delivered = b""
    for part in (b"one", b"two", b"three"):
        box.type(part)
        requests.expect()
        delivered += box.console.deliver()
    assert delivered == b"onetwothree"
    assert box.received() == delivered


@both_kinds
def test_each_arrival_after_a_delivery_is_announced_again(stack: ExitStack, interactive: bool) -> None:
    box, requests = watched(stack, interactive=interactive)
    for _ in range(5):
        box.type(b"x")
        requests.expect()
        assert box.console.deliver() == b"x"


@both_kinds
def test_the_end_of_the_input_is_announced_and_closes_it(stack: ExitStack, interactive: bool) -> None:
    box, requests = watched(stack, interactive=interactive)
    assert box.console.input_open
    box.end_input()
    requests.expect()
    assert box.console.wait_for_input(0), "the end is something to take notice of"
    assert box.console.deliver() == b""
    assert not box.console.input_open
    assert not box.console.wait_for_input(0), "but only once"


def test_input_is_open_until_the_last_byte_is_delivered(stack: ExitStack) -> None:
    box, _ = watched(stack)
    box.type(b"last")
    box.end_input()
    box.join_readers()
    assert box.console.input_open
    assert box.console.deliver() == b"last"
    assert not box.console.input_open
    assert box.received() == b"last"


def test_a_line_without_input_is_closed_and_nothing_is_announced(stack: ExitStack) -> None:
    box, requests = watched(stack, with_input=False)
    assert not box.console.input_open
    assert (box.console.deliver(), requests.count) == (b"", 0)


def test_keys_typed_before_the_watch_began_are_announced(stack: ExitStack) -> None:
    box, requests = pipes(stack, interactive=True), Requests()
    box.connect()
    box.type(b"early")
    assert box.console._inbox.wait(LONG_SECONDS)
    box.console.watch(requests)
    assert requests.count == 1
    assert box.console.deliver() == b"early"


def test_a_watch_may_begin_before_the_line_is_connected(stack: ExitStack) -> None:
    box, requests = pipes(stack, interactive=True), Requests()
    box.console.watch(requests)
    box.connect()
    box.type(b"k")
    requests.expect()
    assert box.console.deliver() == b"k"


def test_the_escape_is_no_input(stack: ExitStack) -> None:
    box, requests = watched(stack, interactive=True)
    box.type(b"\x01x")
    box.type(b"y")
    requests.expect()
    assert box.console.deliver() == b"y"
    assert box.quits == 1


def test_a_second_interrupt_before_the_first_is_delivered_is_told(stack: ExitStack) -> None:
    box, requests = watched(stack, interactive=True)
    for times in range(2):
        box.type(b"\x03")
        requests.expect()
        assert box.ignored == times
    assert box.console.deliver() == b"\x03\x03"
    box.received()
    box.type(b"\x03")
    requests.expect()
    assert box.ignored == 1


def test_a_guest_that_takes_nothing_does_not_fill_the_memory_and_loses_nothing(stack: ExitStack) -> None:
    box, requests = watched(stack)
    sent = bytes(range(256)) * (4 * LIMIT // 256)

    def write() -> None:
        box.type(sent)
        box.end_input()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    got = bytearray()
    while box.console.input_open:
        requests.expect()
        box.console.deliver()
        assert len(box.console._in) <= LIMIT
        got += box.received()
    writer.join(LONG_SECONDS)
    assert got == sent


def test_a_terminal_that_hangs_up_is_the_end(stack: ExitStack) -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    stack.callback(os.close, slave)
    box, requests = pipes(stack), Requests()
    console = Console(box.output, slave, interactive=True)
    console.connect(quit_requested=lambda: None, ignored=lambda: None, cancelled=lambda: False)
    console.watch(requests)
    os.write(master, b"a")
    requests.expect()
    assert console.deliver() == b"a"
    os.close(master)
    requests.expect()
    assert not console.input_open
    box.join_readers()


# Files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, LIMIT - 1, LIMIT, LIMIT + 1, 3 * LIMIT])
def test_a_file_is_delivered_completely_by_the_chunk_without_a_thread(
    stack: ExitStack, tmp_path: Path, size: int
) -> None:
    content = os.urandom(size)
    (tmp_path / "input").write_bytes(content)
    threads = threading.active_count()
    _, console, requests = from_file(stack, tmp_path / "input")
    got, chunks = b"", 0
    while console.input_open:
        assert requests.count == chunks + 1, "each chunk is announced once"
        assert console.wait_for_input(0)
        data = console.deliver()
        assert console.deliver() == b"", "the next chunk waits until the guest has taken this one"
        assert received(console) == data
        got, chunks = got + data, chunks + 1
        assert len(data) <= LIMIT
    assert got == content
    assert chunks == requests.count == -(-size // LIMIT)
    assert requests.threads == {threading.current_thread().name}
    assert threading.active_count() == threads


def test_a_sleeping_guest_is_not_woken_by_a_chunk_that_it_has_no_room_for(stack: ExitStack, tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(bytes(2 * LIMIT))
    _, console, _ = from_file(stack, tmp_path / "input")
    console.deliver()
    assert not console.wait_for_input(0)
    received(console)
    assert console.wait_for_input(0)


@pytest.mark.parametrize("kind", ["null", "empty", "directory"])
def test_an_input_of_nothing_is_closed_at_once(stack: ExitStack, tmp_path: Path, kind: str) -> None:
    (tmp_path / "empty").touch()
    path = {"null": Path(os.devnull), "empty": tmp_path / "empty", "directory": tmp_path}[kind]
    _, console, requests = from_file(stack, path)
    requests.expect()
    assert not console.input_open
    assert (console.deliver(), console.receive()) == (b"", None)


def test_a_file_is_read_from_where_its_descriptor_stands(stack: ExitStack, tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"first second")
    fd = os.open(tmp_path / "input", os.O_RDONLY)
    stack.callback(os.close, fd)
    os.read(fd, 6)
    console = Console(pipes(stack).output, fd)
    console.watch(Requests())
    assert console.deliver() == b"second"


# Sleeping ------------------------------------------------------------------------------------------------------


@both_kinds
def test_a_sleeping_guest_is_woken_by_input(stack: ExitStack, interactive: bool) -> None:
    box, _ = watched(stack, interactive=interactive)
    threading.Timer(0.05, box.type, [b"k"]).start()
    assert box.console.wait_for_input(None)
    assert box.console.deliver() == b"k"


def test_a_sleep_ends_with_its_time_and_takes_no_less(stack: ExitStack) -> None:
    box, _ = watched(stack)
    before = time.monotonic()
    assert not box.console.wait_for_input(0.05)
    assert time.monotonic() - before >= 0.05
    assert not box.console.wait_for_input(0)
    assert not box.console.wait_for_input(-1)


@pytest.mark.parametrize("with_input", [False, True])
def test_a_sleep_without_end_ends_when_the_run_is_cancelled(stack: ExitStack, with_input: bool) -> None:
    box, _ = watched(stack, with_input=with_input)

    def cancel() -> None:
        box.cancelled = True

    threading.Timer(0.05, cancel).start()
    assert not box.console.wait_for_input(None)


def test_what_is_buffered_is_written_before_the_sleep(stack: ExitStack) -> None:
    box, _ = watched(stack)
    box.console.write(b"login: ")
    assert box.output_so_far() == b""
    box.console.wait_for_input(0)
    assert box.output_so_far() == b"login: "


def test_a_polling_guest_does_not_wait_for_what_has_arrived_already(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    box, requests = watched(stack)
    box.type(b"k")
    requests.expect()

    def no_wait(seconds: float) -> bool:
        raise AssertionError(f"waits for {seconds} s")

    monkeypatch.setattr(box.console._inbox, "wait", no_wait)
    box.console.wait()
    assert box.slept == 0


def test_a_polling_guest_is_stuck_once_the_input_has_ended(stack: ExitStack) -> None:
    box, requests = watched(stack)
    box.end_input()
    requests.expect()
    box.console.deliver()
    with pytest.raises(InputEndedError):
        for _ in range(10_000):
            box.console.wait()


# Replay --------------------------------------------------------------------------------------------------------


@both_kinds
def test_a_replay_goes_on_after_the_end_of_the_real_input(stack: ExitStack, interactive: bool) -> None:
    box = pipes(stack, interactive=interactive)
    box.connect()
    box.console.replay()
    box.end_input()
    box.join_readers()
    assert box.console.input_open
    box.console.feed(b"later")
    assert box.received() == b"later"


def test_keys_typed_before_a_replay_are_no_part_of_it(stack: ExitStack) -> None:
    box = pipes(stack, interactive=True)
    box.connect()
    box.type(b"early")
    assert box.console._inbox.wait(LONG_SECONDS)
    box.console.replay()
    box.console.feed(b"")
    assert (box.received(), box.console.input_open) == (b"", False)


@both_kinds
def test_a_replay_receives_what_it_is_fed_and_nothing_else(stack: ExitStack, interactive: bool) -> None:
    box = pipes(stack, interactive=interactive)
    box.console.replay()
    box.connect()
    box.type(b"typed")
    box.console.feed(b"fed ")
    box.console.feed(b"twice")
    assert box.received() == b"fed twice"
    box.end_input()
    box.join_readers()
    assert box.received() == b""
    assert box.console.input_open


def test_a_replay_can_be_quit(stack: ExitStack) -> None:
    box = pipes(stack, interactive=True)
    box.console.replay()
    box.connect()
    box.type(b"\x01x")
    box.end_input()
    box.join_readers()
    assert box.quits == 1


@pytest.mark.parametrize("with_input", [False, True])
def test_a_replay_does_not_wait_and_ends_when_it_is_told(stack: ExitStack, with_input: bool) -> None:
    box = pipes(stack, with_input=with_input)
    box.console.replay()
    for _ in range(1000):
        box.console.wait()
    box.console.feed(b"")
    assert not box.console.input_open
    with pytest.raises(InputEndedError):
        for _ in range(10_000):
            box.console.wait()
    assert box.slept == 0


@both_kinds
def test_a_wait_ends_when_somebody_wants_the_guest_stopped(stack: ExitStack, interactive: bool) -> None:
    box, _ = watched(stack, interactive=interactive)
    asked = iter((False, False, True))
    box.console.breaks_off = lambda: next(asked)
    assert not box.console.wait_for_input(None)
