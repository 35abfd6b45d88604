"""Standard streams that are closed, full, slow or gone, and signals: never a traceback, never a hang."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from arm_vcpu_cli.errors import OUTPUT_FAILED
from tests.integration.command import COMMAND, GUARD_SECONDS, armvcpu, environment, guest, sample, shell

HELLO = b"Hello from EL1!\nCurrentEL 0x4  MIDR_EL1 0x410fd083  MPIDR_EL1 0x80000000\n"


@contextmanager
def started(
    *arguments: object, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, env=environment()
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def end_of(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Status and stderr of a process whose stdout is somebody else's business."""
    assert process.stderr is not None
    err = process.stderr.read().decode()
    return process.wait(GUARD_SECONDS), err


@pytest.mark.parametrize(
    ("redirection", "out"),
    [
        ("<&-", HELLO),
        (">&-", b""),
        ("2>&-", HELLO),
        ("<&- >&- 2>&-", b""),
    ],
)
def test_a_guest_runs_whichever_standard_stream_is_closed(redirection: str, out: bytes) -> None:
    finished = shell(f'armvcpu run "$1" {redirection}', sample("hello"))
    assert (finished.out, finished.err, finished.status) == (out, "", 0)


@pytest.mark.parametrize("redirection", ["<&-", "< /dev/null"])
def test_a_guest_that_reads_a_closed_stdin_counts_as_stuck(redirection: str) -> None:
    finished = shell(f'armvcpu run "$1" {redirection}', guest("keys"))
    assert finished.out == b"ready\n"
    assert finished.status == 123
    assert finished.err.startswith("armvcpu: the guest waits for input, and the input has ended, at 0x")


def test_the_status_survives_a_closed_stderr() -> None:
    assert shell('armvcpu run "$1" 2>&-', sample("exit")).status == 7
    assert shell('armvcpu run "$1" 2>&-', sample("crash")).status == 122


def test_a_console_on_a_full_disk_ends_the_run_in_one_line() -> None:
    finished = shell('armvcpu run "$1" > /dev/full', sample("hello"))
    assert finished.status == OUTPUT_FAILED
    assert finished.err == "armvcpu: the console cannot be written: No space left on device\n"


@pytest.mark.parametrize("arguments", ["--help", "dtb", "completion bash"])
def test_output_on_a_full_disk_is_one_line(arguments: str) -> None:
    finished = shell(f"armvcpu {arguments} > /dev/full")
    assert (finished.status, finished.err) == (OUTPUT_FAILED, "armvcpu: error: No space left on device\n")


def full() -> int:
    """A disk without room."""
    return os.open("/dev/full", os.O_WRONLY)


def unread() -> int:
    """A pipe whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def hung_up() -> int:
    """A socket that the other end has closed."""
    ours, theirs = socket.socketpair()
    theirs.close()
    return ours.detach()


def read_only() -> int:
    """A file that was opened for somebody who reads."""
    return os.open(__file__, os.O_RDONLY)


def without_output(stream: str, opened: Callable[[], int], *arguments: object) -> tuple[int, str]:
    """Status and stderr of a command whose stdout or stderr cannot be written."""
    descriptor = opened()
    try:
        finished = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=descriptor if stream == "stdout" else subprocess.DEVNULL,
            stderr=descriptor if stream == "stderr" else subprocess.PIPE,
            timeout=GUARD_SECONDS,
            check=False,
            env=environment(),
        )
    finally:
        os.close(descriptor)
    return finished.returncode, (finished.stderr or b"").decode()


PRINTING = {
    "run": ("run", sample("hello")),
    "parsed": ("run", "--seed", "1", sample("hello")),
    "walk": ("walk", sample("hello"), "pc"),
    "probe": ("probe", "--json"),
    "explain": ("explain", "ESR_EL2=0x93258005"),
    "dtb": ("dtb",),
    "completion": ("completion", "bash"),
    "help": ("--help",),
    "help-of-one": ("trace", "--help"),
    "version": ("--version",),
}


@pytest.mark.parametrize("opened", [full, unread, hung_up, read_only])
@pytest.mark.parametrize("name", PRINTING)
def test_output_that_cannot_be_written_is_one_line_and_one_status(name: str, opened: Callable[[], int]) -> None:
    status, err = without_output("stdout", opened, *PRINTING[name])
    assert status == OUTPUT_FAILED
    assert err.startswith("armvcpu: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("opened", [full, unread])
def test_a_failed_output_is_no_answer_of_diff_and_report(opened: Callable[[], int], tmp_path: Path) -> None:
    trace, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    for path, name in ((trace, "hello"), (other, "exit")):
        armvcpu("trace", "-o", path, sample(name))
    for arguments in (("diff", trace, other), ("stat", "-i", trace), ("report", "--html", "-", trace)):
        status, err = without_output("stdout", opened, *arguments)
        assert (status, err.count("\n")) == (OUTPUT_FAILED, 1), (arguments, err)


@pytest.mark.parametrize("opened", [full, unread, read_only])
@pytest.mark.parametrize("command", ["trace", "stat"])
def test_a_log_that_cannot_be_written_to_stderr_is_a_failed_output(command: str, opened: Callable[[], int]) -> None:
    status, _ = without_output("stderr", opened, command, sample("hello"))
    assert status == OUTPUT_FAILED


@pytest.mark.parametrize("opened", [full, unread, read_only])
def test_the_status_of_a_guest_survives_a_stderr_that_cannot_be_written(opened: Callable[[], int]) -> None:
    assert without_output("stderr", opened, "run", sample("crash"))[0] == 122


def test_a_sigpipe_from_outside_means_nothing() -> None:
    with started("run", guest("keys"), stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGPIPE)
        out, err = process.communicate(b"q", GUARD_SECONDS)
    assert (process.returncode, out, err) == (0, b"71\n", b"")


def test_a_trace_on_a_full_disk_is_one_line(tmp_path: Path) -> None:
    finished = shell('armvcpu trace -o /dev/full "$1"', sample("hello"))
    assert finished.out == b"", "it is noticed with the first line, before the guest runs"
    message = "armvcpu: error: /dev/full: cannot be written: No space left on device\n"
    assert (finished.status, finished.err) == (OUTPUT_FAILED, message)


def test_a_reader_that_goes_away_ends_an_endless_guest() -> None:
    finished = shell('armvcpu run "$1" | head -c 5; echo " ${PIPESTATUS[0]}"', guest("flood"))
    assert finished.out == b"01234 120\n"
    assert finished.err == "armvcpu: the reader of the console has gone away\n"


def test_a_short_guest_into_head_has_no_traceback() -> None:
    finished = shell('armvcpu run "$1" | head -c 1', sample("hello"))
    assert finished.out == b"H"
    assert "Traceback" not in finished.err
    assert "Exception" not in finished.err


def test_a_reader_of_the_trace_that_goes_away_has_no_traceback() -> None:
    finished = shell('armvcpu trace "$1" 2>&1 >/dev/null | head -n 1; echo "${PIPESTATUS[0]}"', guest("flood"))
    first, status = finished.out.splitlines()
    assert first == b"# flood.elf on virt, cortex-a72, clock: instructions"
    assert int(status) == OUTPUT_FAILED


def test_a_guest_that_floods_a_slow_reader_loses_nothing() -> None:
    exits = 200_000
    script = 'armvcpu run --max-exits "$2" "$1" | { head -c 10; sleep 0.5; cat; }'
    finished = shell(script, guest("flood"), exits)
    assert finished.out == (b"0123456789\n" * exits)[:exits]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_guest_that_only_computes(number: signal.Signals) -> None:
    with started("run", guest("spin"), stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"spinning\n"
        process.send_signal(number)
        status, err = end_of(process)
    assert status == 130
    assert err.startswith("armvcpu: interrupted at 0x400800")
    assert err.count("\n") == 1


def test_a_signal_ends_a_guest_that_waits_for_input() -> None:
    with started("run", guest("keys"), stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        status, err = end_of(process)
    assert status == 130
    assert err.startswith("armvcpu: interrupted at 0x400800")


def test_a_signal_ends_a_traced_guest_and_the_log_has_its_ending(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with started("trace", "-o", log, guest("spin")) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"spinning\n"
        process.send_signal(signal.SIGTERM)
        status, _ = end_of(process)
    assert status == 130
    assert "\nended: interrupted at 0x" in log.read_text()


@pytest.mark.parametrize("how", ["signal", "timeout"])
def test_a_guest_whose_console_nobody_reads_can_still_be_stopped(how: str) -> None:
    reader, writer = os.pipe()
    options = ("--timeout", "1") if how == "timeout" else ()
    try:
        with started("run", *options, guest("flood"), stdout=writer) as process:
            os.close(writer)
            wait_until_full(reader)
            if how == "signal":
                process.send_signal(signal.SIGINT)
            status, err = end_of(process)
    finally:
        os.close(reader)
    assert status == (124 if how == "timeout" else 130)
    assert err.startswith("armvcpu: stopped after 1 s" if how == "timeout" else "armvcpu: interrupted at 0x")


def wait_until_full(reader: int) -> None:
    """Wait until the writer of a pipe has filled it as far as it will."""
    before = -1
    while True:
        filled = struct.unpack("i", fcntl.ioctl(reader, termios.FIONREAD, b"\0\0\0\0"))[0]
        if filled and filled == before:
            return
        before = filled
        time.sleep(0.2)


def test_stdin_that_another_process_made_non_blocking_still_works() -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with started("run", guest("keys"), stdin=reader) as process:
        os.close(reader)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        os.write(writer, b"aq")
        assert process.stdout.read() == b"61\n71\n"
        assert end_of(process) == (0, "")
    os.close(writer)


def test_input_that_ends_after_the_last_command_is_used_up_first() -> None:
    finished = armvcpu("run", guest("keys"), stdin=b"\x00\xff\x03\r\n\x01q")
    assert finished.out == b"ready\n00\nff\n03\n0d\n0a\n01\n71\n"
    assert (finished.err, finished.status) == ("", 0)
