"""The serial line: what is written when, what arrives, and when waiting for input is pointless."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from arm_vcpu_cli.machine.console import (
    CHUNK,
    ESCAPE,
    IDLE_SECONDS,
    STALLED_SECONDS,
    Console,
    ConsoleCancelledError,
    ConsoleClosedError,
    InputEndedError,
)

LONG_SECONDS = 60
"""A guard against a hang, never a measure."""


class Pipes:
    """A console between two pipes, with a sleep that only counts."""

    def __init__(self, *, interactive: bool = False, with_input: bool = True) -> None:
        self.to_guest, self.slept = -1, 0.0
        self.from_guest, self.output = os.pipe()
        source, self.to_guest = os.pipe()
        self._fds = [self.from_guest, self.output, source, self.to_guest]
        os.set_blocking(self.from_guest, False)
        self.quits = 0
        self.ignored = 0
        self.cancelled = False
        self.console = Console(self.output, source if with_input else None, interactive=interactive, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.slept += seconds

    def connect(self) -> None:
        self.console.connect(quit_requested=self._quit, ignored=self._ignored, cancelled=lambda: self.cancelled)

    def _quit(self) -> None:
        self.quits += 1

    def _ignored(self) -> None:
        self.ignored += 1

    def output_so_far(self) -> bytes:
        try:
            return os.read(self.from_guest, 1 << 20)
        except BlockingIOError:
            return b""

    def type(self, data: bytes) -> None:
        os.write(self.to_guest, data)

    def end_input(self) -> None:
        self.close(self.to_guest)

    def close(self, fd: int) -> None:
        self._fds.remove(fd)
        os.close(fd)

    def close_all(self) -> None:
        # A terminal's reader ends with its input; only then may its descriptor go to somebody else.
        if self.to_guest in self._fds:
            self.end_input()
        for thread in threading.enumerate():
            if thread.name == "armvcpu-terminal":
                thread.join(LONG_SECONDS)
        for fd in self._fds:
            with suppress(OSError):
                os.close(fd)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def pipes(stack: ExitStack, *, interactive: bool = False, with_input: bool = True) -> Pipes:
    made = Pipes(interactive=interactive, with_input=with_input)
    stack.callback(made.close_all)
    return made


# Output --------------------------------------------------------------------------------------------------------


def test_output_goes_out_by_the_line(stack: ExitStack) -> None:
    box = pipes(stack)
    box.console.write(b"hello")
    assert box.output_so_far() == b""
    box.console.send(0x0A)
    assert box.output_so_far() == b"hello\n"
    box.console.write(b"$ ")
    assert box.output_so_far() == b""
    box.console.flush()
    assert box.output_so_far() == b"$ "


def test_a_long_line_goes_out_in_parts(stack: ExitStack) -> None:
    box = pipes(stack)
    box.console.write(b"x" * CHUNK)
    assert box.output_so_far() == b"x" * CHUNK


def test_a_prompt_goes_out_when_the_guest_waits(stack: ExitStack) -> None:
    box = pipes(stack)
    box.console.write(b"=> ")
    box.type(b"y")
    box.console.wait()
    assert box.output_so_far() == b"=> "


def test_an_interactive_line_is_written_byte_by_byte(stack: ExitStack) -> None:
    box = pipes(stack, interactive=True)
    box.console.send(0x41)
    assert box.output_so_far() == b"A"


def test_all_bytes_pass_unchanged(stack: ExitStack) -> None:
    box = pipes(stack)
    box.console.write(bytes(range(256)))
    box.console.flush()
    assert box.output_so_far() == bytes(range(256))


def test_a_reader_that_went_away_is_an_error_and_the_output_is_dropped(stack: ExitStack) -> None:
    box = pipes(stack)
    box.close(box.from_guest)
    box.console.write(b"x")
    with pytest.raises(ConsoleClosedError, match="reader"):
        box.console.flush()
    box.console.flush()


def test_a_line_that_cannot_be_written_is_an_error(stack: ExitStack) -> None:
    box = pipes(stack)
    console = Console(os.open(os.devnull, os.O_RDONLY), None)
    stack.callback(os.close, console._output_fd)
    console.write(b"x")
    with pytest.raises(ConsoleClosedError, match="cannot be written"):
        console.flush()
    assert box.output_so_far() == b""


def test_a_full_pipe_is_waited_for_until_the_run_is_stopped(stack: ExitStack) -> None:
    box = pipes(stack)
    box.connect()
    box.cancelled = True
    with pytest.raises(ConsoleCancelledError):
        box.console.write(b"x" * (1 << 22))


def test_output_resumes_when_a_slow_reader_reads(stack: ExitStack) -> None:
    box = pipes(stack)
    size, got = 1 << 18, bytearray()

    def read_all() -> None:
        while len(got) < size:
            got.extend(box.output_so_far())

    reader = threading.Thread(target=read_all, daemon=True)
    reader.start()
    box.console.write(b"y" * size)
    box.console.flush()
    reader.join(LONG_SECONDS)
    assert got == b"y" * size


# Input ---------------------------------------------------------------------------------------------------------


def test_input_arrives_byte_by_byte(stack: ExitStack) -> None:
    box = pipes(stack)
    assert box.console.receive() is None
    box.type(b"a\x00\xff\x01")
    assert [box.console.receive() for _ in range(5)] == [0x61, 0, 0xFF, 1, None]


def test_input_that_was_typed_before_its_end_is_not_lost(stack: ExitStack) -> None:
    box = pipes(stack)
    box.type(b"ab")
    box.end_input()
    assert [box.console.receive() for _ in range(4)] == [0x61, 0x62, None, None]


def test_waiting_returns_when_input_is_there(stack: ExitStack) -> None:
    box = pipes(stack)
    box.type(b"k")
    box.console.wait()
    assert box.console.receive() == ord("k")
    assert box.slept == 0


def waits_until_stalled(box: Pipes) -> int:
    before = box.slept
    with pytest.raises(InputEndedError):
        for _ in range(10_000):
            box.console.wait()
    return round((box.slept - before) / IDLE_SECONDS)


@pytest.mark.parametrize("with_input", [True, False])
def test_a_guest_that_waits_for_input_that_has_ended_is_stuck_after_a_while(stack: ExitStack, with_input: bool) -> None:
    box = pipes(stack, with_input=with_input)
    box.end_input()
    assert box.console.receive() is None
    assert waits_until_stalled(box) == round(STALLED_SECONDS / IDLE_SECONDS)
    assert box.slept == pytest.approx(STALLED_SECONDS)


def test_a_guest_that_prints_while_it_waits_is_not_stuck(stack: ExitStack) -> None:
    box = pipes(stack, with_input=False)
    limit = round(STALLED_SECONDS / IDLE_SECONDS)
    for _ in range(3):
        for _ in range(limit - 1):
            box.console.wait()
        box.console.write(b".")
    assert waits_until_stalled(box) == limit


def test_a_guest_whose_input_is_still_open_may_wait_for_ever(stack: ExitStack) -> None:
    box = pipes(stack)
    box.type(b"x")  # so that no wait takes any time
    for _ in range(3 * round(STALLED_SECONDS / IDLE_SECONDS)):
        box.console.wait()


def test_an_input_that_cannot_be_read_counts_as_ended(stack: ExitStack) -> None:
    box = pipes(stack)
    directory = os.open(os.curdir, os.O_RDONLY)
    stack.callback(os.close, directory)
    console = Console(box.output, directory, sleep=lambda _: None)
    assert console.receive() is None
    with pytest.raises(InputEndedError):
        for _ in range(10_000):
            console.wait()


# An interactive line -------------------------------------------------------------------------------------------


def typed(stack: ExitStack, *keys: bytes) -> tuple[Pipes, bytes]:
    """What the guest gets of keys on an interactive line, once its reader has seen them all."""
    box = pipes(stack, interactive=True)
    for key in b"".join(keys):
        box.console._take_key(key)
    received = []
    while (byte := box.console.receive()) is not None:
        received.append(byte)
    return box, bytes(received)


@pytest.mark.parametrize(
    ("keys", "received"),
    [
        (b"abc\r\x03\x04", b"abc\r\x03\x04"),
        (bytes([ESCAPE, ESCAPE]), bytes([ESCAPE])),
        (bytes([ESCAPE]) + b"c", bytes([ESCAPE]) + b"c"),
        (b"a" + bytes([ESCAPE]), b"a"),
    ],
)
def test_keys_go_to_the_guest(stack: ExitStack, keys: bytes, received: bytes) -> None:
    assert typed(stack, keys)[1] == received


@pytest.mark.parametrize("key", [b"x", b"X"])
def test_the_escape_quits_and_is_not_seen_by_the_guest(stack: ExitStack, key: bytes) -> None:
    box = pipes(stack, interactive=True)
    box.connect()
    box.type(b"a" + bytes([ESCAPE]) + key + b"b")
    box.end_input()
    received = bytearray()
    for thread in threading.enumerate():
        if thread.name == "armvcpu-terminal":
            thread.join(LONG_SECONDS)
    for _ in range(3):
        byte = box.console.receive()
        if byte is not None:
            received.append(byte)
    assert received == b"ab"
    assert box.quits == 1


def test_a_second_interrupt_that_the_guest_has_not_taken_is_told(stack: ExitStack) -> None:
    box = pipes(stack, interactive=True)
    box.connect()
    box.console._take_key(3)
    assert box.ignored == 0
    box.console._take_key(3)
    assert box.ignored == 1
