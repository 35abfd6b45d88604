"""The serial line: when output is written, what input arrives, and when waiting for input is pointless."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from arm_vcpu_cli.host.console import ESCAPE, IDLE_SECONDS, STALLED_SECONDS, Console, InputEndedError
from arm_vcpu_cli.host.console_output import CHUNK, ConsoleCancelledError, ConsoleClosedError
from tests.support.pipes import LONG_SECONDS, Pipes, pipes


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


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


def typed(stack: ExitStack, keys: bytes) -> tuple[Pipes, bytes]:
    """What the guest gets of keys on an interactive line, once its reader has seen them all."""
    box = pipes(stack, interactive=True)
    box.connect()
    box.type(keys)
    box.end_input()
    box.join_readers()
    return box, box.received()


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
    box, received = typed(stack, b"a" + bytes([ESCAPE]) + key + b"b")
    assert received == b"ab"
    assert box.quits == 1


@pytest.mark.parametrize(("keys", "told"), [(b"\x03", 0), (b"\x03\x03", 1), (b"\x03a\x03b\x03", 2)])
def test_a_second_interrupt_that_the_guest_has_not_taken_is_told(stack: ExitStack, keys: bytes, told: int) -> None:
    assert typed(stack, keys)[0].ignored == told


def test_an_interrupt_that_the_guest_has_taken_is_forgotten(stack: ExitStack) -> None:
    box = pipes(stack, interactive=True)
    box.connect()
    for _ in range(2):
        box.type(b"\x03")
        assert box.wait_and_receive() == b"\x03"
    assert box.ignored == 0
