"""Runs the command in a forked child with limited resources, in a fiftieth of a second and without residue."""

from __future__ import annotations

import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from arm_vcpu_cli.cli.main import main

STATUSES: Final = frozenset({0, 1, 2, 3, 120, 121, 122, 123, 124, 130, 143})
"""All that the documentation knows; a guest's own are kept out by what the drivers run."""
SECONDS: Final = 20
"""Processor time after which a child is a finding; what it does is bounded to a few."""
ADDRESS_SPACE: Final = 6 << 30
"""The engine reserves 1 GiB, guests have some of their own."""
_WALL_SECONDS: Final = 60


@dataclass(frozen=True)
class Outcome:
    """How a command ended: an exit status or the name of a signal, and what it has written."""

    end: int | str
    out: bytes
    err: str

    @property
    def complaint(self) -> str:
        """What is wrong with it, if anything is."""
        if isinstance(self.end, str):
            return f"ended by {self.end}"
        if "Traceback" in self.err or "Exception ignored" in self.err:
            return next((line for line in reversed(self.err.splitlines()) if line.strip()), "a traceback")
        if self.end not in STATUSES:
            return f"status {self.end}"
        if self.end == 2 and not self.err.strip():
            return "refused without a word"
        if "\x1b" in self.err:
            return "an escape sequence on stderr"
        return ""


def run(arguments: Sequence[object], *, stdin: bytes = b"") -> Outcome:
    """The command with these arguments, in a child."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        child = os.fork()
        if not child:
            _become_command([str(each) for each in arguments], given.fileno(), out.fileno(), err.fileno())
        end = _wait(child)
        out.seek(0)
        err.seek(0)
        return Outcome(end, out.read(), err.read().decode(errors="replace"))


def _become_command(arguments: list[str], *streams: int) -> None:
    """In the child: run the command and never return."""
    status = 99
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.stdin, sys.stdout, sys.stderr = (
            open(0, encoding="utf-8", closefd=False),  # noqa: SIM115
            open(1, "w", encoding="utf-8", closefd=False),  # noqa: SIM115
            open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False),  # noqa: SIM115
        )
        sys.argv = ["armvcpu", *arguments]
        main(arguments)
    except SystemExit as exit_:
        status = exit_.code if isinstance(exit_.code, int) else 0
    except BaseException:  # noqa: BLE001
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _wait(child: int) -> int | str:
    deadline = time.monotonic() + _WALL_SECONDS
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return signal.Signals(-code).name if code < 0 else code
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "standstill"
        time.sleep(0.002)


def write(folder: Path, name: str, data: bytes) -> Path:
    """A file for a command."""
    path = folder / name
    path.write_bytes(data)
    return path
