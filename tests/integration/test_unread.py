"""Readers that do not read: the guest may wait for them, but ending the run does not."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.command import COMMAND, GUARD_SECONDS, environment, guest, sample
from tests.integration.test_streams import wait_until_full

STATUSES = {"timeout": 124, "SIGINT": 130, "SIGTERM": 130}
NUMBER, STDOUT, STDERR = "number", "stdout", "stderr"


@pytest.fixture
def fifo() -> Iterator[tuple[Path, int]]:
    """A FIFO and its reader, who never reads."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fifo.gz"
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        yield path, reader
        os.close(reader)


def full_pipe() -> tuple[int, int]:
    """A pipe that has no room: the ends to read and to write."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    return reader, writer


def ended(process: subprocess.Popen[bytes], how: str) -> int:
    """End a run; its status."""
    if how != "timeout":
        process.send_signal(getattr(signal, how))
    return process.wait(GUARD_SECONDS)


@pytest.mark.parametrize("how", STATUSES)
@pytest.mark.parametrize("where", [NUMBER, STDOUT, STDERR, "fifo"])
def test_a_trace_that_nobody_reads_can_be_ended(fifo: tuple[Path, int], where: str, how: str) -> None:
    reader, writer = os.pipe()
    target = {NUMBER: f"/dev/fd/{writer}", STDOUT: "/dev/stdout", "fifo": str(fifo[0])}.get(where)
    full = fifo[1] if where == "fifo" else reader
    # Compressed, it takes very many lines to fill a FIFO.
    limit = ("--timeout", "1") if how == "timeout" else ()
    if where == "fifo":
        link = fifo[0].with_name("plain")
        link.symlink_to(fifo[0])
        target = str(link)
    with subprocess.Popen(
        [*COMMAND, "trace", *(() if target is None else ("-o", target)), *limit, str(guest("flood"))],
        stdin=subprocess.DEVNULL,
        stdout=writer if where == STDOUT else subprocess.DEVNULL,
        stderr=writer if where == STDERR else subprocess.PIPE,
        pass_fds=(writer,),
        env=environment(),
    ) as process:
        os.close(writer)
        try:
            wait_until_full(full)
            assert ended(process, how) == STATUSES[how]
            said = b"" if process.stderr is None else process.stderr.read()
        finally:
            process.kill()
            os.close(reader)
    if where != STDERR:
        assert said.startswith(b"armvcpu: stopped after 1 s at 0x" if how == "timeout" else b"armvcpu: interrupted at")
        assert said.count(b"\n") == 1


@pytest.mark.parametrize("how", STATUSES)
def test_what_is_said_at_the_end_waits_for_nobody(how: str) -> None:
    reader, writer = full_pipe()
    limit = ("--timeout", "1") if how == "timeout" else ()
    with subprocess.Popen(
        [*COMMAND, "run", "--regs", *limit, str(guest("spin"))],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=writer, env=environment(),
    ) as process:  # fmt: skip
        os.close(writer)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"spinning\n"
            assert ended(process, how) == STATUSES[how]
        finally:
            process.kill()
            os.close(reader)


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("command", ["stat", "run"])
def test_a_run_that_is_over_waits_for_its_reader_until_a_signal(command: str, how: str) -> None:
    """The guest's status is what there is to tell by then."""
    reader, writer = full_pipe()
    name, status = ("crash", 122) if command == "run" else ("exits", 0)
    options = ("--regs",) if command == "run" else ("--top", "0", "--histogram", "--json")
    with subprocess.Popen(
        [*COMMAND, command, *options, str(sample(name))],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=writer, env=environment(),
    ) as process:  # fmt: skip
        os.close(writer)
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            assert ended(process, how) in (status, 130)
        finally:
            process.kill()
            os.close(reader)


@pytest.mark.parametrize("how", STATUSES)
def test_a_terminal_that_nobody_reads_does_not_keep_the_live_view(how: str) -> None:
    master, slave = pty.openpty()
    limit = ("--timeout", "4") if how == "timeout" else ()
    with subprocess.Popen(
        [*COMMAND, "stat", "--live", *limit, str(guest("flood"))],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=slave,
        env={**environment(), "COLUMNS": "200", "LINES": "50", "TERM": "xterm-256color"},
    ) as process:  # fmt: skip
        try:
            wait_until_full(master)
            assert ended(process, how) == STATUSES[how]
        finally:
            process.kill()
            os.close(master)
            os.close(slave)


def test_ctrl_c_ends_a_page_that_nobody_reads(fifo: tuple[Path, int], tmp_path: Path) -> None:
    trace = tmp_path / "t"
    subprocess.run(
        [*COMMAND, "trace", "--format", "jsonl", "-o", trace, sample("exits")],
        stdout=subprocess.DEVNULL, check=True, env=environment(),
    )  # fmt: skip
    link = fifo[0].with_name("plain")
    link.symlink_to(fifo[0])
    with subprocess.Popen(
        [*COMMAND, "report", "--html", str(link), str(trace)], stderr=subprocess.PIPE, env=environment()
    ) as process:
        wait_until_full(fifo[1])
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=GUARD_SECONDS)
    assert (process.returncode, err) == (130, b"armvcpu: interrupted\n")
