"""The guest on a terminal: raw keys, the escape, and a restored terminal on every exit path."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.command import COMMAND, GUARD_SECONDS, environment, guest, sample

QUIT = b"\x01x"


class Terminal:
    """A pseudo terminal with the command on it: stdin, stdout and stderr."""

    def __init__(self, *arguments: object, controlling: bool = False) -> None:
        self.master, slave = pty.openpty()
        self.slave = slave
        self.before = self.modes()
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=(lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0)) if controlling else None,
            env=environment(),
        )
        self.seen = b""

    def modes(self) -> list[Any]:
        return termios.tcgetattr(self.slave)

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def expect(self, text: bytes) -> bytes:
        """Read until ``text`` has come; what came before it."""
        deadline = time.monotonic() + GUARD_SECONDS
        while text not in self.seen:
            ready, _, _ = select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} has not come, but {self.seen!r}"
            self.seen += os.read(self.master, 4096)
        before, _, self.seen = self.seen.partition(text)
        return before

    def end(self) -> int:
        """Wait for the command while its output is read; the status."""
        deadline = time.monotonic() + GUARD_SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"still running; {self.seen!r}"
            self._drain(0.05)
        self._drain(0)
        return self.process.returncode

    def wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + GUARD_SECONDS
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def is_raw(self) -> bool:
        return not self.modes()[tty.LFLAG] & termios.ICANON

    def is_stopped(self) -> bool:
        """Whether the process is in state T, see proc_pid_stat(5)."""
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def _drain(self, seconds: float) -> None:
        while select.select([self.master], [], [], seconds)[0]:
            self.seen += os.read(self.master, 4096)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@contextmanager
def terminal(*arguments: object, controlling: bool = False) -> Iterator[Terminal]:
    opened = Terminal(*arguments, controlling=controlling)
    try:
        yield opened
    finally:
        opened.close()


def test_every_key_reaches_the_guest_raw_and_is_not_echoed() -> None:
    with terminal("run", guest("keys")) as screen:
        screen.expect(b"ready\r\n")
        # Ctrl-C, Ctrl-D, Ctrl-Z, Ctrl-\\, Ctrl-S, Ctrl-Q, return, newline, escape, delete and a byte beyond ASCII.
        keys = b"\x03\x04\x1a\x1c\x13\x11\r\n\x1b\x7f\xffA"
        for key in keys:
            screen.type(bytes([key]))
            assert screen.expect(b"\r\n") == f"{key:02x}".encode()
        screen.type(b"q")
        assert screen.expect(b"\r\n") == b"71"
        assert screen.end() == 0
        assert screen.seen == b""


def test_the_terminal_is_raw_while_the_guest_runs_and_as_before_afterwards() -> None:
    with terminal("run", guest("keys")) as screen:
        screen.expect(b"ready\r\n")
        during = screen.modes()
        assert during != screen.before
        assert not during[tty.LFLAG] & (termios.ICANON | termios.ECHO | termios.ISIG)
        assert during[tty.OFLAG] & termios.OPOST
        screen.type(b"q")
        assert screen.end() == 0
        assert screen.modes() == screen.before


@pytest.mark.parametrize("key", [b"x", b"X"])
def test_ctrl_a_x_quits_a_guest_that_waits_for_keys(key: bytes) -> None:
    with terminal("run", guest("keys")) as screen:
        screen.expect(b"ready\r\n")
        screen.type(b"\x01" + key)
        assert screen.end() == 130
        assert screen.seen.startswith(b"armvcpu: interrupted at 0x")
        assert screen.seen.endswith(b"\r\n")
        assert screen.modes() == screen.before


def test_ctrl_a_x_quits_a_guest_that_only_computes() -> None:
    with terminal("run", guest("spin")) as screen:
        screen.expect(b"spinning\r\n")
        screen.type(QUIT)
        assert screen.end() == 130
        assert screen.modes() == screen.before


def test_ctrl_a_twice_sends_it_once_and_with_another_key_sends_both() -> None:
    with terminal("run", guest("keys")) as screen:
        screen.expect(b"ready\r\n")
        screen.type(b"\x01\x01")
        assert screen.expect(b"\r\n") == b"01"
        screen.type(b"\x01c")
        assert screen.expect(b"\r\n") == b"01"
        assert screen.expect(b"\r\n") == b"63"


def test_somebody_who_presses_ctrl_c_at_a_deaf_guest_is_told_the_way_out_once() -> None:
    with terminal("run", guest("spin")) as screen:
        screen.expect(b"spinning\r\n")
        screen.type(b"\x03")
        screen.type(b"\x03")
        assert screen.expect(b"Ctrl-A x quits\r\n").startswith(b"armvcpu: the guest is not reading your input")
        screen.type(b"\x03\x03")
        screen.type(QUIT)
        assert screen.end() == 130
        assert b"Ctrl-A x" not in screen.seen


def test_the_last_message_starts_on_a_line_of_its_own() -> None:
    with terminal("run", "--max-exits", "5", guest("flood")) as screen:
        assert screen.end() == 124
        assert screen.seen.startswith(b"01234\r\narmvcpu: stopped after 5 exits at 0x")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(("name", "greeting"), [("spin", b"spinning\r\n"), ("keys", b"ready\r\n")])
def test_a_signal_puts_the_terminal_back(number: signal.Signals, name: str, greeting: bytes) -> None:
    with terminal("run", guest(name)) as screen:
        screen.expect(greeting)
        screen.process.send_signal(number)
        assert screen.end() == 130
        assert screen.modes() == screen.before
        assert b"Traceback" not in screen.seen


@pytest.mark.parametrize("controlling", [False, True])
@pytest.mark.parametrize(("name", "greeting"), [("spin", b"spinning\r\n"), ("keys", b"ready\r\n")])
def test_a_stopped_guest_gives_the_terminal_back_and_takes_it_again(
    name: str, greeting: bytes, controlling: bool
) -> None:
    with terminal("run", guest(name), controlling=controlling) as screen:
        screen.expect(greeting)
        raw = screen.modes()
        for _ in range(2):
            screen.process.send_signal(signal.SIGTSTP)
            screen.wait_until(screen.is_stopped)
            assert screen.modes() == screen.before
            screen.process.send_signal(signal.SIGCONT)
            screen.wait_until(screen.is_raw)
            assert screen.modes() == raw
        if name == "keys":
            screen.type(b"k")
            screen.expect(b"6b\r\n")
        screen.type(QUIT)
        assert screen.end() == 130
        assert screen.modes() == screen.before


def test_modes_that_were_changed_while_the_guest_was_stopped_are_put_back() -> None:
    with terminal("run", guest("keys")) as screen:
        screen.expect(b"ready\r\n")
        screen.process.send_signal(signal.SIGTSTP)
        screen.wait_until(screen.is_stopped)
        changed = screen.modes()
        changed[tty.LFLAG] &= ~termios.ECHO
        termios.tcsetattr(screen.slave, termios.TCSANOW, changed)
        screen.process.send_signal(signal.SIGCONT)
        screen.wait_until(screen.is_raw)
        screen.type(b"q")
        assert screen.end() == 0
        assert screen.modes() == changed


def test_a_terminal_that_was_reset_behind_our_back_is_raw_again_after_a_continue() -> None:
    with terminal("run", guest("keys")) as screen:
        screen.expect(b"ready\r\n")
        screen.process.send_signal(signal.SIGSTOP)
        screen.wait_until(screen.is_stopped)
        termios.tcsetattr(screen.slave, termios.TCSANOW, screen.before)
        screen.process.send_signal(signal.SIGCONT)
        screen.wait_until(screen.is_raw)
        screen.type(b"q")
        assert screen.end() == 0
        assert screen.modes() == screen.before


@pytest.mark.parametrize(("name", "greeting"), [("spin", b"spinning\r\n"), ("keys", b"ready\r\n")])
def test_a_window_that_changes_its_size_disturbs_nothing(name: str, greeting: bytes) -> None:
    with terminal("run", guest(name)) as screen:
        screen.expect(greeting)
        for _ in range(3):
            screen.process.send_signal(signal.SIGWINCH)
            time.sleep(0.05)
        assert screen.process.poll() is None
        screen.type(QUIT)
        assert screen.end() == 130
        assert screen.modes() == screen.before


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ((sample("hello"),), 0),
        ((sample("crash"),), 122),
        ((sample("exit"),), 7),
        (("--timeout", "0.3", guest("spin")), 124),
        (("--max-exits", "100", guest("flood")), 124),
        (("missing.elf",), 2),
    ],
    ids=["off", "fault", "status", "timeout", "max-exits", "refused"],
)
def test_every_ending_puts_the_terminal_back(arguments: tuple[object, ...], status: int) -> None:
    with terminal("run", *arguments) as screen:
        assert screen.end() == status
        assert screen.modes() == screen.before


def test_a_flooding_guest_can_be_quit_while_nobody_reads_the_terminal() -> None:
    with terminal("run", guest("flood")) as screen:
        screen.expect(b"0123456789\r\n")
        screen.type(QUIT)
        deadline = time.monotonic() + GUARD_SECONDS
        while screen.modes() != screen.before:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        # Only now is there somebody who reads, and may be told.
        assert screen.end() == 130
        assert screen.seen.rstrip().rpartition(b"\n")[2].startswith(b"armvcpu: interrupted at 0x")


def test_the_guest_ends_when_its_terminal_hangs_up() -> None:
    screen = Terminal("run", guest("keys"))
    try:
        screen.expect(b"ready\r\n")
        os.close(screen.slave)
        os.close(screen.master)
        assert screen.process.wait(GUARD_SECONDS) in (123, 130)
    finally:
        screen.process.kill()
        screen.process.wait()


def test_a_device_tree_is_not_written_to_a_terminal() -> None:
    with terminal("dtb") as screen:
        assert screen.end() == 2
        assert b"-o FILE" in screen.seen
        assert b"\xd0\x0d\xfe\xed" not in screen.seen


def test_stdin_from_a_terminal_with_stdout_elsewhere_keeps_the_terminal_as_it_is() -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "run", str(guest("keys"))],
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=environment(),
    )
    try:
        before = termios.tcgetattr(slave)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert termios.tcgetattr(slave) == before
        os.write(master, b"aq\n")
        assert process.stdout.read() == b"61\n71\n"
        assert process.wait(GUARD_SECONDS) == 0
    finally:
        process.kill()
        process.communicate()
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize("option", [(), ("--clock", "instructions"), ("--clock", "auto"), ("--clock", "host")])
def test_a_trace_at_a_terminal_counts_time_by_instructions_unless_asked_otherwise(
    option: tuple[str, ...], tmp_path: Path
) -> None:
    trace = tmp_path / "trace.jsonl"
    with terminal("trace", "-o", trace, *option, sample("hello")) as screen:
        assert screen.end() == 0
    clock = json.loads(trace.read_text().splitlines()[0])["clock"]
    assert clock == ("host" if option in (("--clock", "auto"), ("--clock", "host")) else "instructions")


def test_a_trace_at_a_terminal_takes_the_clock_that_the_machine_file_asks_for(tmp_path: Path) -> None:
    trace, machine = tmp_path / "trace.jsonl", tmp_path / "machine.toml"
    machine.write_text("[clock]\nsource = 'host'\n")
    with terminal("trace", "-m", machine, "-o", trace, sample("hello")) as screen:
        assert screen.end() == 0
    assert json.loads(trace.read_text().splitlines()[0])["clock"] == "host"


def test_a_recording_at_a_terminal_implies_the_clock_that_can_be_repeated(tmp_path: Path) -> None:
    recorded, machine = tmp_path / "run.rec", tmp_path / "machine.toml"
    machine.write_text("[clock]\nsource = 'host'\n")
    with terminal("run", "-m", machine, "--record", recorded, guest("keys")) as screen:
        screen.expect(b"ready\r\n")
        screen.type(b"A")
        screen.expect(b"41\r\n")
        screen.type(b"q")
        assert screen.end() == 0
    with terminal("run", "-m", machine, "--replay", recorded, guest("keys")) as screen:
        screen.expect(b"ready\r\n41\r\n71\r\n")
        assert screen.end() == 0
    for option in ("--record", "--replay"):
        with terminal("run", "--clock", "host", option, recorded, guest("keys")) as screen:
            assert screen.end() == 2
            assert f"armvcpu: error: {option} needs --clock instructions".encode() in screen.seen
