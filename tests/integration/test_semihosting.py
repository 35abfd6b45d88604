"""A guest that uses semihosting as C libraries do, and its possible effects on the host."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from .command import COMMAND, GUARD_SECONDS, GUESTS, Finished, armvcpu, environment

GUEST = GUESTS / "semihosting" / "semihosting.elf"


def run(*arguments: object, folder: Path | None = None, stdin: bytes = b"") -> Finished:
    options = () if folder is None else ("--semihosting-dir", folder)
    return armvcpu("run", *options, GUEST, "--", *arguments, stdin=stdin)


def test_a_program_begins_prints_and_ends() -> None:
    finished = armvcpu("run", GUEST)
    assert finished.out == b"I am semihosting.elf\nmemory for a heap 1\n"
    assert finished.err == "and this is an error\narmvcpu: the guest exited with status 0\n"
    assert finished.status == 0


FILES = b"""\
open w+ 0
isatty 0
write 0
length 10
seek 0
read 0
456
read more than there is 29
read at the end 32
close 0
close again -1 errno 9
append 0
length 13
read what is for writing 3
write what is for reading 1
rename 0
open what is renamed -1 errno 2
remove 0
remove again -1 errno 2
"""


def test_files_are_used_in_a_folder_that_the_user_opens(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    assert run("files", folder=tmp_path).out == FILES
    assert [*tmp_path.rglob("*")] == [tmp_path / "sub"]


def test_without_a_folder_every_file_is_refused(tmp_path: Path) -> None:
    finished = armvcpu("run", GUEST, "--", "files", cwd=tmp_path)
    assert finished.out.startswith(b"open w+ -1 errno 13\nisatty -1\n")
    assert b"rename -1 errno 13\n" in finished.out
    assert [*tmp_path.iterdir()] == []


def test_nothing_outside_of_the_folder_is_reached(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    (inside / "sub").mkdir(parents=True)
    (tmp_path / "outside").write_bytes(b"secret")
    (inside / "link").symlink_to("../outside")
    (inside / "linked").symlink_to("..")
    os.mkfifo(inside / "fifo")
    (inside / "inside").write_bytes(b"mine")
    finished = run("escape", folder=inside)
    answers = [line.rpartition(b" errno ") for line in finished.out.splitlines()]
    assert len(answers) == 15
    assert all(head.endswith(b" -1") for head, _, _ in answers)
    assert {int(errno) for _, _, errno in answers} == {2, 13, 20, 21, 88}
    assert sorted(each.name for each in tmp_path.iterdir()) == ["inside", "outside"]
    assert (tmp_path / "outside").read_bytes() == b"secret"
    assert (inside / "inside").read_bytes() == b"mine"


def test_calls_that_make_no_sense_are_answered(tmp_path: Path) -> None:
    finished = run("hostile", folder=tmp_path)
    assert finished.status == 0
    assert finished.out.splitlines()[-2:] == [b"few enough are open 1", b"errno 24"]
    assert b"no operation -1 errno 88" in finished.out
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("missing", ["missing", "file"])
def test_a_folder_that_is_none_is_refused_before_the_guest_runs(tmp_path: Path, missing: str) -> None:
    (tmp_path / "file").touch()
    finished = run("files", folder=tmp_path / missing)
    assert (finished.out, finished.status) == (b"", 2)
    assert finished.err.count("\n") == 1
    assert missing in finished.err


def test_input_is_read_to_its_end() -> None:
    text = b"a text that is longer than the guest's buffer\nand has no end of line"
    assert run("input", stdin=text).out == text + b"the end\n"
    assert run("input").out == b"the end\n"


def test_a_guest_that_wants_a_character_after_the_end_makes_no_progress() -> None:
    finished = run("line", stdin=b"no end")
    assert (finished.out, finished.status) == (b"no end", 123)
    assert "the guest waits for input, and the input has ended, at 0x" in finished.last


def test_time_is_the_machines() -> None:
    first, second = run("time"), run("time")
    assert first.out == b"frequency 1000000000\nelapsed 0\nat least 20 ms 1\ntime 1767225600\n"
    assert first == second


def test_under_the_hosts_clock_time_is_the_hosts() -> None:
    finished = armvcpu("run", "--clock", "host", GUEST, "--", "time")
    assert b"at least 20 ms 1\n" in finished.out
    assert int(finished.out.split()[-1]) > 1_767_225_600


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("exit", 33), 33, "the guest exited with status 33"),
        (("exit", 119), 119, "the guest exited with status 119"),
        (("exit", 120), 1, "the guest exited with status 120, reported as 1: statuses from 120 on have other meanings"),
        (("exit", 256), 1, "the guest exited with status 256, reported as 1: statuses from 120 on have other meanings"),
        (("extended",), 7, "the guest exited with status 7"),
        (("abort",), 1, "the guest exited with status 1"),
    ],
)
def test_statuses(arguments: tuple[object, ...], status: int, message: str) -> None:
    finished = run(*arguments)
    assert (finished.status, finished.last) == (status, f"armvcpu: {message}")


def test_operations_are_named_in_a_trace() -> None:
    finished = armvcpu("trace", "--format", "jsonl", GUEST)
    calls = [json.loads(line) for line in finished.err.splitlines() if '"semihosting"' in line]
    names = [call["call"] for call in calls if call["type"] == "exit" and "call" in call]
    assert names[:2] == ["SYS_HEAPINFO", "SYS_OPEN"]
    assert {"SYS_READ", "SYS_FLEN", "SYS_CLOSE", "SYS_GET_CMDLINE", "SYS_WRITE0", "SYS_WRITE"} <= set(names)


def test_input_that_a_call_has_waited_for_is_recorded_and_repeated(tmp_path: Path) -> None:
    log = tmp_path / "input.log"
    text = b"first\nsecond\n"
    recorded = armvcpu("run", "--record", log, GUEST, "--", "input", stdin=text)
    assert recorded.out == text + b"the end\n"
    traces = [tmp_path / name for name in ("first.jsonl", "second.jsonl")]
    for trace in traces:
        repeated = armvcpu("trace", "-o", trace, "--replay", log, GUEST, "--", "input", stdin=b"something else")
        assert (repeated.out, repeated.status) == (text + b"the end\n", 0)
    assert traces[0].read_bytes() == traces[1].read_bytes()
    other = armvcpu("run", "--replay", log, GUEST, "--", "line")
    assert other.status == 2
    assert "recorded with" in other.err


def test_files_are_not_recorded(tmp_path: Path) -> None:
    finished = armvcpu("run", "--record", tmp_path / "log", "--semihosting-dir", tmp_path, GUEST)
    assert (finished.out, finished.status) == (b"", 2)
    assert "--record and --semihosting-dir: file contents that a guest reads are not recorded" in finished.err


def test_a_wait_for_input_ends_with_the_time_limit() -> None:
    # A pipe that stays open, and on which nothing ever comes.
    argv = [*COMMAND, "run", "--timeout", "2", str(GUEST), "--", "line"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as running:
        assert running.wait(GUARD_SECONDS) == 124
        assert running.stderr is not None
        assert b"stopped after 2 s at 0x" in running.stderr.read()
