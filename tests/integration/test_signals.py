"""Signals at rare moments, sent by a hook at exactly that moment."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.fuzz import signals as campaign
from tests.integration.command import GUARD_SECONDS, environment, guest, sample

ENDING: Final = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
PRELUDE: Final = """
import os, signal, sys
import arm_vcpu_cli.__main__ as entry

sent = []

def send():
    if not sent:
        sent.append(True)
        signal.raise_signal({number})

def hooked(function, *, before, after):
    def call(*arguments, **named):
        if before:
            send()
        result = function(*arguments, **named)
        if after:
            send()
        return result
    return call

{hook}
entry.main()
"""


@dataclass(frozen=True)
class Ended:
    """Status, all that was printed, and what became of the terminal."""

    status: int
    lines: list[str]
    modes: list[Any] | None = None
    modes_before: list[Any] | None = None


def hooked(hook: str, number: signal.Signals, *arguments: object) -> list[str]:
    code = PRELUDE.format(hook=hook, number=int(number))
    return [sys.executable, "-c", code, *map(str, arguments)]


def on_pipes(hook: str, number: signal.Signals, *arguments: object) -> Ended:
    finished = subprocess.run(
        hooked(hook, number, *arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=GUARD_SECONDS,
        check=False,
        env=environment(),
    )
    return Ended(finished.returncode, finished.stderr.splitlines())


def on_terminal(hook: str, number: signal.Signals, *arguments: object) -> Ended:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    process = subprocess.Popen(
        hooked(hook, number, *arguments),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env=environment(),
    )
    try:
        status = process.wait(GUARD_SECONDS)
        after = termios.tcgetattr(slave)
        os.set_blocking(master, False)
        lines = os.read(master, 1 << 16).decode().split("\r\n")
    finally:
        process.kill()
        process.wait()
        os.close(master)
        os.close(slave)
    return Ended(status, [line for line in lines if line.startswith("armvcpu")], after, before)


SETTING: Final = """
import termios
calls = []
def setting(*arguments):
    calls.append(arguments)
    if len(calls) == {call}:
        set_then(*arguments)
    else:
        plainly(*arguments)
plainly = termios.tcsetattr
set_then = hooked(termios.tcsetattr, before={before}, after={after})
termios.tcsetattr = setting
"""


@pytest.mark.parametrize("number", [*ENDING, signal.SIGQUIT])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("call", [1, 2], ids=["set", "put-back"])
def test_a_signal_while_the_terminal_is_set_leaves_it_as_it_was(
    call: int, before: bool, number: signal.Signals
) -> None:
    hook = SETTING.format(call=call, before=before, after=not before)
    ended = on_terminal(hook, number, "run", "--timeout", "0.1" if call == 2 else "60", guest("keys"))
    assert ended.modes == ended.modes_before
    if number != signal.SIGQUIT or call == 1:
        assert (ended.status, len(ended.lines)) == (130, 1)
        assert ended.lines[0].startswith("armvcpu: interrupted")


WITNESS: Final = """
import termios, time
send_to = os.getpid()
if os.fork() == 0:
    before, seen = termios.tcgetattr(0), set()
    while os.getppid() == send_to:
        with open(f"/proc/{send_to}/stat") as stat:
            stopped = stat.read().rpartition(")")[2].split()[0] == "T"
        if stopped and not seen:
            seen.add("as before" if termios.tcgetattr(0) == before else "raw")
            print("armvcpu stopped, terminal", *seen, flush=True)
        if stopped:
            os.kill(send_to, signal.SIGCONT)
        time.sleep(0.01)
    os._exit(0)
send = lambda: os.kill(send_to, signal.SIGTSTP)
"""


def test_a_stop_while_the_terminal_is_set_finds_it_as_it_was() -> None:
    hook = WITNESS + SETTING.format(call=1, before=False, after=True)
    ended = on_terminal(hook, signal.SIGTSTP, "run", "--timeout", "0.5", guest("keys"))
    assert ended.modes == ended.modes_before
    assert ended.status == 124
    assert ended.lines[0] == "armvcpu stopped, terminal as before"
    assert ended.lines[1].startswith("armvcpu: stopped after 0.5 s")


AT_THE_END: Final = """
leave = os._exit
def late(status):
    send()
    leave(status)
os._exit = late
"""


@pytest.mark.parametrize("number", ENDING)
@pytest.mark.parametrize("arguments", [("run", sample("hello")), ("explain", "--list"), ("--help",)], ids=str)
def test_a_signal_when_everything_is_done(arguments: tuple[object, ...], number: signal.Signals) -> None:
    ended = on_pipes(AT_THE_END, number, *arguments)
    assert (ended.status, ended.lines) == (130, ["armvcpu: interrupted"])


@pytest.mark.parametrize("number", ENDING)
@pytest.mark.parametrize("name", ["arm_vcpu_cli.cli.main", "arm_vcpu_cli.cli.inheritance"])
def test_a_signal_while_the_command_is_loaded(name: str, number: signal.Signals) -> None:
    """As later: the same line, the same status."""
    hook = f"""
load = entry.import_module
def loading(name):
    if name == {name!r}:
        send()
    return load(name)
entry.import_module = loading
"""
    ended = on_pipes(hook, number, "explain", "--list")
    assert (ended.status, ended.lines) == (130, ["armvcpu: interrupted"])


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_in_a_destructor_is_not_lost(number: signal.Signals) -> None:
    """An exception there goes no further; the command would never end."""
    hook = """
class Dropped:
    def __del__(self):
        send()

def wait():
    Dropped()
    signal.sigtimedwait([signal.SIGUSR1], 600)
    return 0

import arm_vcpu_cli.cli.main as command
command.load = lambda: wait
"""
    ended = on_pipes(hook, number)
    assert (ended.status, ended.lines) == (130, ["armvcpu: interrupted"])


def test_a_signal_that_is_ignored_from_outside_stays_ignored() -> None:
    script = 'trap "" HUP INT; exec "$@"'
    finished = subprocess.run(
        ["sh", "-c", script, "sh", *hooked(AT_THE_END, signal.SIGHUP, "run", sample("hello"))],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=GUARD_SECONDS,
        check=False,
        env=environment(),
    )
    assert (finished.returncode, finished.stderr) == (0, b"")


@pytest.mark.parametrize("name", campaign.SUBJECTS)
def test_signals_at_random_moments(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status = campaign.main(["--command", name, "--count", "4", "--jobs", "1"])
    assert status == 0, capfd.readouterr().out


def test_an_end_that_is_wrong_is_a_finding() -> None:
    """The driver itself: it is of no use if it takes everything."""
    subject = campaign.Subject(("run", "a"), output="out")
    natural = campaign.End(0, "", "", ("out",), (), True, 1.0)

    def judged(**changed: Any) -> str | None:
        return campaign.judge(subject, natural, campaign.End(**{**vars(natural), **changed}))

    assert judged() is None
    assert judged(status=130, err="armvcpu: interrupted\n", files=()) is None
    assert judged(status=130, err="armvcpu: interrupted\narmvcpu: interrupted\n") == "2 lines"
    assert judged(status=130) == "0 lines"
    assert judged(status=None) == "it does not end"
    assert judged(status=-2) == "status -2, 0 lines"
    assert judged(restored=False) == "the terminal is not as it was"
    assert judged(status=130, err="Traceback (most recent call last):\n") == "a traceback"
    assert judged(empty=("out.partial",)) == "empty: out.partial"
    assert judged(files=("out", "out.partial")) == "left over: out, out.partial"
    assert judged(files=()) == "no output"
