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


def open_console(*, reads_input: bool = True, keys: bool = True) -> Console:
    """Connect the guest's serial line to our stdout, and to our stdin if ``reads_input``. On a terminal the guest
    receives each key; without ``keys`` it receives whole lines, and Ctrl-C ends the run."""
    sys.stdout.flush()
    output = _output(sys.stdout.fileno())
    errors = sys.stderr.fileno()
    if not reads_input:
        return Console(output, None, error_fd=errors)
    return Console(output, sys.stdin.fileno(), interactive=keys and is_interactive(), error_fd=errors)


def _output(fd: int) -> int:
    """The descriptor for console output: a terminal is reopened, so that writes to it cannot block.

    Setting O_NONBLOCK on the inherited descriptor would also set it for the shell.
    """
    if not os.isatty(fd):
        return fd
    try:
        return os.open(os.ttyname(fd), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return fd


class Terminal:
    """The terminal that keys are read from while a guest runs."""

    def __init__(self) -> None:
        self._hinted = False

    def hint_once(self) -> None:
        """Print how to quit, once, if the guest ignores its input."""
        if not self._hinted:
            self._hinted = True
            say("the guest is not reading your input; Ctrl-A x quits")


@contextlib.contextmanager
def raw_terminal(console: Console) -> Iterator[Terminal]:
    """Send every key to the guest as it is typed, if ``console`` is interactive. The terminal is restored on every exit
    path, and while the process is stopped (SIGTSTP; Ctrl-Z is a key like any other). No signal may raise an exception
    meanwhile: see :func:`signals_stop`."""
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
    """The modes of the terminal ``fd``: the guest's, and the original ones. Thread-safe."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()
        self._before = termios.tcgetattr(fd)
        self._raw: list[Any] | None = None
        self._over = False

    def enter(self) -> None:
        """Save the current modes, and set the guest's."""
        with self._lock:
            if not self._over:
                self._enter()

    def leave(self) -> None:
        """Restore the original modes."""
        with self._lock:
            if not self._over:
                self._leave()

    def end(self) -> None:
        """Restore the original modes permanently."""
        with self._lock:
            self._over = True
            self._leave()

    def enter_again(self) -> None:
        """Set the guest's modes again after a stop. In the background the terminal is the shell's, until SIGCONT."""
        with contextlib.suppress(termios.error):
            if self._in_foreground():
                self.enter()

    def _enter(self) -> None:
        found = termios.tcgetattr(self._fd)
        if found == self._raw:
            return
        self._before = found
        # Do not drain or flush: output may be stuck, and keys typed ahead are the guest's.
        termios.tcsetattr(self._fd, termios.TCSANOW, _guest_modes(found))
        self._raw = termios.tcgetattr(self._fd)

    def _leave(self) -> None:
        # A terminal that has hung up has no modes to restore.
        with contextlib.suppress(termios.error):
            termios.tcsetattr(self._fd, termios.TCSANOW, self._before)

    def _in_foreground(self) -> bool:
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:
            # This terminal has no job control.
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
    # Output, the guest's and ours, still needs newlines converted.
    modes[tty.OFLAG] |= termios.OPOST | termios.ONLCR
    modes[tty.CFLAG] = modes[tty.CFLAG] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    modes[tty.LFLAG] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    modes[tty.CC][termios.VMIN] = 1
    modes[tty.CC][termios.VTIME] = 0
    return modes


@contextlib.contextmanager
def _job_control(raw: _RawMode) -> Iterator[None]:
    """Restore the terminal while the process is stopped by SIGTSTP, and make it raw again after SIGCONT.

    A thread waits for the signals: a handler would not run while the guest executes, and any signal that has one writes
    a byte that the watchdog reads as a request to stop the guest.
    """
    over = threading.Event()

    def watch() -> None:
        while True:
            number = signal.sigwait(_JOB_CONTROL)
            if over.is_set():
                return
            if number == signal.SIGTSTP:
                raw.leave()
                # It stops the whole process, and this thread before the call returns. A signal to the process need not
                # do that, so the next line must run only after SIGCONT. SIGTSTP itself is blocked.
                signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
            raw.enter_again()

    # Threads that start later inherit the mask, which leaves the signals to the waiting thread.
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
    """Make Ctrl-C and the signals that end a process stop the guest instead; ignored signals stay ignored.

    No exception is raised inside. A signal too late to stop the guest has its original effect at the end.
    """
    last: list[int] = []

    def handler(number: int, _frame: FrameType | None) -> None:
        last[:] = [number]
        watchdog.signalled = True
        # A signal may have arrived before the wake-up descriptor was set. The watchdog may be closed by now.
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
    """Make signals reach the watchdog while the guest executes: no Python handler runs then, but the interpreter's
    wake-up descriptor receives its byte. The context must end before the watchdog is closed."""
    before = signal.set_wakeup_fd(watchdog.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
