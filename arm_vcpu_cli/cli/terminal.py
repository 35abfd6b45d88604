"""The user's terminal and signals while a guest runs."""

from __future__ import annotations

import contextlib
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from types import FrameType

from arm_vcpu_cli.machine.console import Console
from arm_vcpu_cli.machine.watchdog import Watchdog

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def is_interactive() -> bool:
    """Whether both ends of the guest's serial line are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def open_console() -> Console:
    """The guest's serial line on our stdin and stdout; a closed stdin is one on which nothing arrives."""
    sys.stdout.flush()
    try:
        input_fd: int | None = sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):
        input_fd = None
    return Console(sys.stdout.fileno(), input_fd, interactive=is_interactive())


@contextlib.contextmanager
def raw_terminal() -> Iterator[None]:
    """Have every key go to the guest as it is typed; the terminal is put back on every way out."""
    if not is_interactive():
        yield
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd)
        # What the guest and we print still needs newlines turned into line ends.
        now = termios.tcgetattr(fd)
        now[1] |= termios.OPOST | termios.ONLCR
        termios.tcsetattr(fd, termios.TCSADRAIN, now)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


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
