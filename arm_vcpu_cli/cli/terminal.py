"""The user's terminal and signals while a guest runs."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from types import FrameType

from arm_vcpu_cli.cli.options import say
from arm_vcpu_cli.machine.console import Console
from arm_vcpu_cli.machine.watchdog import Watchdog

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def is_interactive() -> bool:
    """Whether both ends of the guest's serial line are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def open_console() -> Console:
    """The guest's serial line on our stdin and stdout."""
    sys.stdout.flush()
    return Console(_output(sys.stdout.fileno()), sys.stdin.fileno(), interactive=is_interactive())


def _output(fd: int) -> int:
    """Where to write the console: a terminal is opened once more, so that writes to it cannot block.

    Setting O_NONBLOCK on the descriptor that we were given would set it for the shell too.
    """
    if not os.isatty(fd):
        return fd
    try:
        return os.open(os.ttyname(fd), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return fd


class Terminal:
    """The terminal that keys come from while a guest runs."""

    def __init__(self) -> None:
        self._hinted = False

    def hint_once(self) -> None:
        """Say how to get out to somebody whose guest does not listen."""
        if not self._hinted:
            self._hinted = True
            say("the guest does not read what you type; Ctrl-A x quits")


@contextlib.contextmanager
def raw_terminal() -> Iterator[Terminal]:
    """Have every key go to the guest as it is typed; the terminal is put back on every way out."""
    if not is_interactive():
        yield Terminal()
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        # Nothing is waited for: output may be stuck, and keys typed ahead are the guest's.
        tty.setraw(fd, termios.TCSANOW)
        now = termios.tcgetattr(fd)
        # What the guest and we print still needs newlines turned into line ends.
        now[1] |= termios.OPOST | termios.ONLCR
        termios.tcsetattr(fd, termios.TCSANOW, now)
        yield Terminal()
    finally:
        # A terminal that has hung up has no modes to put back.
        with contextlib.suppress(termios.error):
            termios.tcsetattr(fd, termios.TCSANOW, before)


@contextlib.contextmanager
def signals_stop(watchdog: Watchdog) -> Iterator[None]:
    """Have Ctrl-C and the signals that end a process stop the guest instead.

    While the guest executes, no Python handler runs; the interpreter's wake-up descriptor still gets its byte.
    """

    def handler(_number: int, _frame: FrameType | None) -> None:
        return

    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    wakeup = signal.set_wakeup_fd(watchdog.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, old in before.items():
            signal.signal(number, old)
