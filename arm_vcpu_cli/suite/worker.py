"""A process for one run of a guest: whatever happens in it, the other guests are unaffected."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from arm_vcpu_cli.errors import ArmVcpuError
from arm_vcpu_cli.printable import decoded
from arm_vcpu_cli.suite.cases import Outcome
from arm_vcpu_cli.suite.plain_verdict import LONGEST, from_bytes, to_bytes
from arm_vcpu_cli.suite.verdict import Verdict

_PR_SET_PDEATHSIG: Final = 1
_STANDARD: Final = (0, 1, 2)
_MOST_SAID: Final = 1000


class Process:
    """A child process that runs ``work`` and leaves its verdict in a file. ``fd`` becomes readable when it has ended,
    or is about to end."""

    def __init__(self, work: Callable[[], Verdict], verdict: Path, errors: Path) -> None:
        """Start the process. Raises OSError if the system lacks resources."""
        self._verdict = verdict
        self.fd, writer = os.pipe()
        try:
            parent = os.getpid()
            self.pid = os.fork()
            if not self.pid:
                _live(work, verdict, errors, parent, writer)
        except BaseException:
            os.close(self.fd)
            raise
        finally:
            os.close(writer)

    def kill(self) -> None:
        """Kill the process."""
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> Verdict:
        """Wait for the end, and read the verdict; a process that leaves none has died."""
        _, status = os.waitpid(self.pid, 0)
        said = os.read(self.fd, _MOST_SAID)
        os.close(self.fd)
        try:
            with self._verdict.open("rb") as file:
                return from_bytes(file.read(LONGEST))
        except (OSError, ValueError):
            return Verdict(Outcome.ERROR, _cause(os.waitstatus_to_exitcode(status), said))


def _cause(code: int, said: bytes) -> str:
    if code < 0:
        return f"its process was killed by signal {-code} ({signal.strsignal(-code)})"
    return f"its process ended with status {code} without a verdict: {decoded(said) or 'it printed nothing'}"


def _live(work: Callable[[], Verdict], verdict: Path, errors: Path, parent: int, writer: int) -> NoReturn:
    """Run as the child. An error is reported in one line to ``writer``, and in full in the file ``errors``."""
    status = 1
    try:
        _cut_off(errors, parent)
        # Objects that the parent loaded stay; the garbage of the run is collected.
        gc.freeze()
        gc.enable()
        try:
            found = work()
        except ArmVcpuError as error:
            found = Verdict(Outcome.ERROR, str(error))
        partial = verdict.with_suffix(".partial")
        partial.write_bytes(to_bytes(found))
        partial.replace(verdict)
        status = 0
    except BaseException as error:  # noqa: BLE001
        # Nothing may escape from here: it would become a second parent.
        os.write(writer, f"{type(error).__name__}: {error}".encode("utf-8", "backslashreplace")[:_MOST_SAID])
        with errors.open("a", encoding="utf-8", errors="backslashreplace") as file:
            traceback.print_exc(file=file)
    finally:
        os._exit(status)


def _cut_off(errors: Path, parent: int) -> None:
    """Detach from the terminal, and end together with the parent."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    said = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    for standard, source in zip(_STANDARD, (nowhere, nowhere, said), strict=True):
        os.dup2(source, standard)
