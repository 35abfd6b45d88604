"""Waiting for descriptors, including high numbers."""

from __future__ import annotations

import fcntl
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.host.readiness import wait_readable, wait_writable
from arm_vcpu_cli.host.watchdog import StopCause, Watchdog

BEYOND_SELECT = 1024
"""FD_SETSIZE: the first number that select(2) has no place for."""
LONG_SECONDS = 60


@contextmanager
def great_numbers() -> Iterator[None]:
    """Whatever is opened meanwhile gets a number that select() has no place for."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = BEYOND_SELECT + 64
    if before[1] != resource.RLIM_INFINITY and before[1] < wanted:
        pytest.skip("the host allows too few descriptors")
    taken: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], wanted), before[1]))
        while not taken or taken[-1] < BEYOND_SELECT:
            taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for number in taken:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    with great_numbers():
        reader, writer = os.pipe()
        assert reader > BEYOND_SELECT
        yield reader, writer
        os.close(reader)
        os.close(writer)


def test_what_is_there_can_be_read_and_room_can_be_written(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    assert not wait_readable(reader, 0)
    assert wait_writable(writer, 0)
    os.write(writer, b"a")
    assert wait_readable(reader, None)
    assert wait_readable(reader, 1e9)


def test_a_full_pipe_cannot_be_written(pipe: tuple[int, int]) -> None:
    _, writer = pipe
    os.set_blocking(writer, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writer, bytes(4096))
    assert not wait_writable(writer, 0.001)


def test_what_cannot_be_waited_for_is_ready() -> None:
    reader, writer = os.pipe()
    os.close(writer)
    assert wait_readable(reader, None), "nothing will come any more, and a read says so"
    os.close(reader)
    assert wait_readable(reader, None)
    assert wait_readable(-1, None)
    folder = os.open("/", os.O_RDONLY)
    assert wait_readable(folder, None)
    os.close(folder)


def test_a_watchdog_with_great_numbers_stops_its_guest() -> None:
    stopped = threading.Event()
    with great_numbers(), Watchdog(stopped.set) as watchdog:
        assert watchdog.fileno() > BEYOND_SELECT
        watchdog.interrupt()
        assert stopped.wait(LONG_SECONDS)
        assert watchdog.cause is StopCause.INTERRUPT


def test_a_console_with_great_numbers_reads_and_writes(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    console = Console(writer, reader)
    console.write(b"echo\n")
    assert [console.receive() for _ in range(6)] == [*b"echo\n", None]
    console.wait()


def test_a_console_that_is_watched_reads_great_numbers(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    # The reader's thread stays behind with a descriptor of its own: the test cannot end it.
    own = fcntl.fcntl(reader, fcntl.F_DUPFD_CLOEXEC, BEYOND_SELECT)
    news = threading.Event()
    console = Console(writer, own)
    console.watch(news.set)
    os.write(writer, b"a")
    assert news.wait(LONG_SECONDS)
    assert console.deliver() == b"a"
