"""Outputs: none overwrites an input, one that cannot be opened is refused before the guest runs, and none is
partial."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from arm_vcpu_cli.errors import OUTPUT_FAILED
from arm_vcpu_cli.vm.inputlog import load_input_log
from tests.integration.command import COMMAND, GUARD_SECONDS, armvcpu, assert_refused, environment, guest, sample, shell

MACHINE = """
[memory.rom]
base = 0x1000_0000
size = "1MiB"
permissions = "r"
file = "rom.bin"
"""
COMMANDS = {"run": "--record", "trace": "-o", "stat": "-o", "walk": "--record"}
"""Commands that run a guest, and an option of each that writes a file."""
INPUTS = {
    "guest.elf": "the guest",
    "machine.toml": "the machine description",
    "rom.bin": "the file of memory.rom",
    "initrd.gz": "the initial RAM disk",
    "System.map": "the symbol file",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with all that a guest may be made of."""
    shutil.copy(sample("hello"), tmp_path / "guest.elf")
    (tmp_path / "machine.toml").write_text(MACHINE)
    (tmp_path / "rom.bin").write_bytes(b"rom")
    (tmp_path / "initrd.gz").write_bytes(b"initrd")
    (tmp_path / "System.map").write_text("0000000040080000 T _start\n")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# Output over input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", INPUTS)
def test_no_output_is_written_over_an_input(folder: Path, command: str, name: str) -> None:
    before = contents(folder)
    options = ("-m", "machine.toml", "--initrd", "initrd.gz", "--symbols", "System.map", COMMANDS[command], name)
    finished = armvcpu(command, *options, "guest.elf", *(("0",) if command == "walk" else ()), cwd=folder)
    assert_refused(finished, f"{name}: {COMMANDS[command]} would overwrite {INPUTS[name]}")
    assert contents(folder) == before


@pytest.mark.parametrize("kind", ["hard link", "symbolic link", "spelling", "partial", "link at the partial"])
def test_another_name_of_an_input_is_no_other_file(folder: Path, kind: str) -> None:
    name = "output"
    if kind == "hard link":
        (folder / name).hardlink_to(folder / "guest.elf")
    elif kind == "symbolic link":
        (folder / name).symlink_to("guest.elf")
    elif kind == "spelling":
        name = f"../{folder.name}/guest.elf"
    elif kind == "link at the partial":
        (folder / "output.partial").symlink_to("guest.elf")
    guest_name = "guest.elf"
    if kind == "partial":
        guest_name = "output.partial"
        (folder / "guest.elf").rename(folder / guest_name)
    before = contents(folder)
    for option in ("-o", "--record"):
        assert_refused(armvcpu("trace", option, name, guest_name, cwd=folder), f"{name}: {option} ", "the guest")
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("first", "second"), [("x", "x"), ("x", "./x"), ("x", "x.partial"), ("x.partial", "x"), ("x", "link")]
)
def test_two_outputs_are_two_files(folder: Path, first: str, second: str) -> None:
    (folder / "link").symlink_to("x")
    before = contents(folder)
    assert_refused(armvcpu("trace", "-o", first, "--record", second, "guest.elf", cwd=folder), "-o", "--record")
    assert contents(folder) == before


@pytest.mark.parametrize(("redirection", "what"), [("> out", "output"), ("2> out", "error"), ("< out", "input")])
def test_an_output_is_no_standard_stream_by_its_name(folder: Path, redirection: str, what: str) -> None:
    script = f'cd "$1"; touch out; armvcpu trace -o out guest.elf {redirection}; echo $? > status'
    finished = shell(script, folder)
    assert (folder / "status").read_text() == "2\n"
    said = finished.err + (folder / "out").read_text()
    assert f"-o would overwrite standard {what}" in said
    assert not (folder / "out.partial").exists()


def test_all_outputs_may_go_to_the_null_device(folder: Path) -> None:
    finished = armvcpu("trace", "-o", "/dev/null", "--record", "/dev/null", "guest.elf", cwd=folder)
    assert (finished.status, finished.err) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "--html", "t", "t"),
        ("report", "--html", "link", "t"),
        ("report", "--html", "u", "u.partial"),
        ("stat", "-o", "t", "-i", "t"),
        ("stat", "-o", "u", "-i", "u.partial"),
        ("dtb", "-o", "machine.toml", "-m", "machine.toml"),
        ("dtb", "-o", "rom.bin", "-m", "machine.toml"),
        ("trace", "-o", "log", "--replay", "log", "guest.elf"),
        ("trace", "-o", "log", "--replay", "./log", "guest.elf"),
    ],
)
def test_what_is_read_stays(folder: Path, arguments: tuple[str, ...]) -> None:
    armvcpu("trace", "--format", "jsonl", "-o", "t", "--record", "log", "guest.elf", cwd=folder)
    shutil.copy(folder / "t", folder / "u.partial")
    (folder / "link").symlink_to("t")
    before = contents(folder)
    assert_refused(armvcpu(*arguments, cwd=folder), arguments[2])
    assert contents(folder) == before


# Whole or not at all -------------------------------------------------------------------------------------------


def test_a_recording_grows_beside_its_file_and_two_runs_do_not_share_one(tmp_path: Path) -> None:
    log, partial = tmp_path / "log", tmp_path / "log.partial"
    log.write_text("before")
    command = [*COMMAND, "run", "--record", str(log), str(guest("keys"))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment()
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.stdin.write(b"a")
        process.stdin.flush()
        assert process.stdout.readline() == b"61\n"
        assert_refused(armvcpu("run", "--record", log, guest("keys")), "log.partial: another run is writing this file")
        process.kill()
    assert log.read_text() == "before"
    kept = load_input_log(partial)
    assert ([data for _, data in kept.deliveries], kept.end) == ([b"a"], None)
    assert armvcpu("run", "--record", log, guest("keys"), stdin=b"q").status == 0
    assert load_input_log(log).end is not None
    assert not partial.exists()


def test_a_bad_recording_leaves_nothing_of_the_outputs(folder: Path) -> None:
    (folder / "bad").write_text("bad\n")
    before = contents(folder)
    assert_refused(armvcpu("trace", "-o", "t", "--replay", "bad", "guest.elf", cwd=folder), "bad: line 1")
    assert contents(folder) == before


def test_a_recording_of_another_guest_leaves_nothing_of_the_outputs(folder: Path) -> None:
    armvcpu("run", "--record", "log", guest("keys"), stdin=b"q", cwd=folder)
    before = contents(folder)
    assert_refused(armvcpu("trace", "-o", "t", "--replay", "log", "guest.elf", cwd=folder), "log: recorded with guest")
    assert contents(folder) == before


# What cannot be written ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [*COMMANDS, "dtb", "stat -i"])
def test_an_output_that_cannot_be_opened_is_refused_before_the_guest_runs(folder: Path, command: str) -> None:
    armvcpu("trace", "--format", "jsonl", "-o", "t", "guest.elf", cwd=folder)
    option = COMMANDS.get(command, "-o")
    rest = {"dtb": (), "stat -i": ("t",), "walk": ("guest.elf", "0")}.get(command, ("guest.elf",))
    finished = armvcpu(*command.split()[:1], option, "none/x", *command.split()[1:], *rest, cwd=folder)
    assert_refused(finished, "none/x: cannot be written: No such file or directory")


def test_a_trace_that_cannot_be_opened_leaves_no_recording(folder: Path) -> None:
    before = contents(folder)
    assert_refused(armvcpu("trace", "-o", "none/x", "--record", "log", "guest.elf", cwd=folder), "none/x")
    assert contents(folder) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused_before_the_guest_runs(folder: Path) -> None:
    locked = folder / "locked"
    locked.mkdir(0o555)
    assert_refused(armvcpu("stat", "-o", locked / "x", "guest.elf", cwd=folder), "x: cannot be written: Permission")


def test_figures_that_find_no_room_are_told() -> None:
    finished = armvcpu("stat", "-o", "/dev/full", sample("hello"))
    assert finished.status == OUTPUT_FAILED
    assert finished.err.startswith("hello.elf: 149 exits in ")
    assert finished.last == "armvcpu: error: /dev/full: cannot be written: No space left on device"


def test_a_recording_that_finds_no_room_costs_neither_the_figures_nor_the_console(tmp_path: Path) -> None:
    script = 'ulimit -f 2; (sleep 2; head -c 3000 /dev/zero) | armvcpu stat --record "$1/log" "$2"'
    finished = shell(script, tmp_path, guest("keys"))
    assert finished.status == OUTPUT_FAILED
    assert finished.out.startswith(b"ready\n")
    assert finished.err.startswith("keys.elf: ")
    assert "log: cannot be written: File too large; what was written is in " in finished.last
    assert "exits in " in finished.err
    assert not (tmp_path / "log").exists()


# Files that are no files ---------------------------------------------------------------------------------------


@pytest.fixture
def strange(folder: Path) -> Iterator[Path]:
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(folder / "socket"))
        yield folder


READERS = {
    "guest": ("run", "{}"),
    "machine": ("run", "-m", "{}", "guest.elf"),
    "initrd": ("run", "--initrd", "{}", "guest.elf"),
    "symbols": ("run", "--symbols", "{}", "guest.elf"),
    "replay": ("run", "--replay", "{}", "guest.elf"),
    "walk": ("walk", "{}", "0"),
    "trace": ("report", "--html", "x.html", "{}"),
    "statistics": ("stat", "-i", "{}"),
}


@pytest.mark.parametrize("what", READERS)
@pytest.mark.parametrize("name", ["socket", ".", "/dev/null"])
def test_a_file_that_is_none_is_one_line(strange: Path, what: str, name: str) -> None:
    if (what, name) == ("machine", "/dev/null"):
        pytest.skip("an empty description is one")
    arguments = [part.format(name) for part in READERS[what]]
    assert_refused(armvcpu(*arguments, cwd=strange), name)
    assert not (strange / "x.html").exists()


@contextmanager
def waiting(folder: Path, *arguments: str, start: Sequence[str] = ()) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [*start, *COMMAND, *arguments],
        cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def opened(fifo: Path, flags: int) -> int:
    """Open the other end of a FIFO: returns when the command has come to it."""
    return os.open(fifo, flags)


@pytest.mark.parametrize("what", [name for name in READERS if name not in ("trace", "statistics")])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_for_what_a_guest_is_made_of(strange: Path, what: str, how: signal.Signals) -> None:
    with waiting(strange, *(part.format("fifo") for part in READERS[what])) as process:
        writer = opened(strange / "fifo", os.O_WRONLY)
        process.send_signal(how)
        out, err = process.communicate(timeout=GUARD_SECONDS)
        os.close(writer)
    assert (process.returncode, out, err) == (130, b"", b"armvcpu: interrupted\n")


def test_a_signal_that_is_ignored_from_outside_does_not_end_it(strange: Path) -> None:
    with waiting(strange, "run", "fifo", start=("sh", "-c", 'trap "" HUP; exec "$@"', "sh")) as process:
        writer = opened(strange / "fifo", os.O_WRONLY)
        process.send_signal(signal.SIGHUP)
        os.write(writer, (strange / "guest.elf").read_bytes())
        os.close(writer)
        out, err = process.communicate(timeout=GUARD_SECONDS)
    assert (process.returncode, err) == (0, b"")
    assert out.startswith(b"Hello from EL1!\n")


@pytest.mark.parametrize("what", [name for name in READERS if name not in ("trace", "statistics")])
def test_a_timeout_ends_the_wait_for_what_a_guest_is_made_of(strange: Path, what: str) -> None:
    command, *rest = (part.format("fifo") for part in READERS[what])
    finished = armvcpu(command, "--timeout", "1", *rest, cwd=strange)
    assert (finished.status, finished.out) == (124, b"")
    assert finished.err == "armvcpu: stopped after 1 s, while its files were read\n"


@pytest.mark.parametrize("what", ["trace", "statistics"])
def test_ctrl_c_ends_the_wait_for_a_trace(strange: Path, what: str) -> None:
    with waiting(strange, *(part.format("fifo") for part in READERS[what])) as process:
        writer = opened(strange / "fifo", os.O_WRONLY)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=GUARD_SECONDS)
        os.close(writer)
    assert (process.returncode, out, err) == (130, b"", b"armvcpu: interrupted\n")


def test_a_guest_may_come_through_a_fifo_but_not_be_recorded(strange: Path) -> None:
    script = 'armvcpu run <(cat "$1"); armvcpu run --record "$2" <(cat "$1")'
    finished = shell(script, strange / "guest.elf", strange / "log")
    assert finished.out.startswith(b"Hello from EL1!\n")
    assert finished.out.count(b"Hello") == 1
    assert finished.status == 2
    assert "expected a regular file: a recording needs files that can be read again" in finished.err
    assert not list(strange.glob("log*"))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("how", ["timeout", "interrupt"])
def test_the_wait_for_the_reader_of_a_fifo_ends(strange: Path, command: str, how: str) -> None:
    rest = ("guest.elf", *(("0",) if command == "walk" else ()))
    limit = ("--timeout", "1") if how == "timeout" else ()
    with waiting(strange, command, COMMANDS[command], "fifo", *limit, *rest) as process:
        if how == "interrupt":
            # What stops a guest has a handler for this one, and what loads it has none.
            wait_until_caught(process.pid, signal.SIGQUIT)
            process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=GUARD_SECONDS)
    said = "stopped after 1 s" if how == "timeout" else "interrupted"
    assert (process.returncode, out) == (124 if how == "timeout" else 130, b"")
    assert err.decode() == f"armvcpu: {said}: fifo: it has no reader\n"


def wait_until_caught(pid: int, number: signal.Signals) -> None:
    """Wait until a process has a handler for a signal (SigCgt of proc_pid_status(5))."""
    deadline = time.monotonic() + GUARD_SECONDS
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/status").read_text()
        mask = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
        if int(mask, 16) >> number - 1 & 1:
            return


def test_a_reader_that_comes_later_gets_it_all(strange: Path) -> None:
    with waiting(strange, "trace", "-o", "fifo", "guest.elf") as process:
        wait_until_caught(process.pid, signal.SIGQUIT)
        read = (strange / "fifo").read_text()
        assert process.wait(GUARD_SECONDS) == 0
    assert read.startswith("# guest.elf on virt")
    assert "149  total" in read
