"""The user's terminal and signals while a guest runs."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from types import FrameType
from typing import Any

from arm_vcpu_cli.cli.output import say
from arm_vcpu_cli.host.console import Console
from arm_vcpu_cli.host.watchdog import Watchdog

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_JOB_CONTROL = frozenset({signal.SIGTSTP, signal.SIGCONT})


def is_interactive() -> bool:
    """Whether both ends of the guest's serial line are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def open_console(*, reads_input: bool = True) -> Console:
    """The guest's serial line on our stdout, and on our stdin unless it is not to be read."""
    sys.stdout.flush()
    output = _output(sys.stdout.fileno())
    errors = sys.stderr.fileno()
    if not reads_input:
        return Console(output, None, error_fd=errors)
    return Console(output, sys.stdin.fileno(), interactive=is_interactive(), error_fd=errors)


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
def raw_terminal(console: Console) -> Iterator[Terminal]:
    """Have every key go to the guest as it is typed, if ``console`` is interactive. The terminal is put back on every
    way out, and while the process is stopped (SIGTSTP; Ctrl-Z is a key like any other). No signal may raise an
    exception meanwhile: see :func:`signals_stop`."""
    if not console.interactive:
        yield Terminal()
        return
    raw = _RawMode(sys.stdin.fileno())
    with _job_control(raw):
        try:
            raw.enter()
            yield Terminal()
        finally:
            raw.end()


class _RawMode:
    """The modes of the terminal ``fd``: those of the guest, and those that were there before. Safe between threads."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()
        self._before = termios.tcgetattr(fd)
        self._raw: list[Any] | None = None
        self._over = False

    def enter(self) -> None:
        """Keep the modes that there are, and set the guest's."""
        with self._lock:
            if not self._over:
                self._enter()

    def leave(self) -> None:
        """Put the modes back that were there before."""
        with self._lock:
            if not self._over:
                self._leave()

    def end(self) -> None:
        """Put them back for good."""
        with self._lock:
            self._over = True
            self._leave()

    def enter_again(self) -> None:
        """After a stop. In the background the terminal is the shell's, until it brings us back with SIGCONT."""
        with contextlib.suppress(termios.error):
            if self._in_foreground():
                self.enter()

    def _enter(self) -> None:
        found = termios.tcgetattr(self._fd)
        if found == self._raw:
            return
        self._before = found
        # Nothing is waited for: output may be stuck, and keys typed ahead are the guest's.
        termios.tcsetattr(self._fd, termios.TCSANOW, _guest_modes(found))
        self._raw = termios.tcgetattr(self._fd)

    def _leave(self) -> None:
        # A terminal that has hung up has no modes to put back.
        with contextlib.suppress(termios.error):
            termios.tcsetattr(self._fd, termios.TCSANOW, self._before)

    def _in_foreground(self) -> bool:
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:
            # This terminal controls no jobs.
            return True


def _guest_modes(before: list[Any]) -> list[Any]:
    """Modes in which every key arrives as it is typed (POSIX.1, "General Terminal Interface")."""
    modes = [*before[: tty.CC], list(before[tty.CC])]
    modes[tty.IFLAG] &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.INPCK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    # What the guest and we print still needs newlines turned into line ends.
    modes[tty.OFLAG] |= termios.OPOST | termios.ONLCR
    modes[tty.CFLAG] = modes[tty.CFLAG] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    modes[tty.LFLAG] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    modes[tty.CC][termios.VMIN] = 1
    modes[tty.CC][termios.VTIME] = 0
    return modes


@contextlib.contextmanager
def _job_control(raw: _RawMode) -> Iterator[None]:
    """Have the terminal as it was while the process is stopped by SIGTSTP, and raw again after SIGCONT.

    A thread waits for the signals: a handler would not run while the guest executes, and any signal that has one
    leaves a byte where the watchdog takes it for the request to stop the guest.
    """
    over = threading.Event()

    def watch() -> None:
        while True:
            number = signal.sigwait(_JOB_CONTROL)
            if over.is_set():
                return
            if number == signal.SIGTSTP:
                raw.leave()
                # It stops the whole process, and this thread before the call returns, which a signal to the process
                # need not do; so the next line is for after SIGCONT. SIGTSTP itself is blocked.
                signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
            raw.enter_again()

    # Threads that start later inherit the mask; the signals are left to the one that waits for them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _JOB_CONTROL)
    thread = threading.Thread(target=watch, name="armvcpu-job-control", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        if thread.ident is not None and thread.is_alive():
            signal.pthread_kill(thread.ident, signal.SIGCONT)
        thread.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def signals_stop(watchdog: Watchdog) -> Iterator[None]:
    """Have Ctrl-C and the signals that end a process stop the guest instead; those that are ignored stay so.

    No exception is raised inside. One that has come too late to stop anybody does at the end what it did before.
    """
    last: list[int] = []

    def handler(number: int, _frame: FrameType | None) -> None:
        last[:] = [number]
        watchdog.signalled = True
        # For a signal that came before the wake-up descriptor was set. The watchdog may be closed by now.
        with contextlib.suppress(OSError):
            watchdog.interrupt()

    before: dict[signal.Signals, Any] = {}
    try:
        for number in _SIGNALS:
            found = signal.getsignal(number)
            if found not in (signal.SIG_IGN, None):
                before[number] = found
                signal.signal(number, handler)
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
        if last and not watchdog.answered:
            signal.raise_signal(last[0])


@contextlib.contextmanager
def signals_wake(watchdog: Watchdog) -> Iterator[None]:
    """Have signals reach the watchdog while the guest executes: no Python handler runs then, but the interpreter's
    wake-up descriptor gets its byte. It has to be over before the watchdog is closed."""
    before = signal.set_wakeup_fd(watchdog.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
