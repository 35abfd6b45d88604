"""Guests under a GDB server, and the distribution's debuggers on them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.integration.command import COMMAND, GUARD_SECONDS, environment
from tests.support.tools import missing, require_program

_PLACE: Final = re.compile(r"^armvcpu: (?:waiting for a debugger|a debugger can attach): .*'target remote (.*)'$")


def gdb() -> str:
    """gdb for AArch64."""
    return require_program("gdb-multiarch")


def lldb() -> str:
    """lldb, under whichever name it is installed."""
    folders = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep)]
    versioned = sorted(
        path.name for folder in folders for path in folder.glob("lldb-[0-9]*") if path.name[5:].isdigit()
    )
    found = next((program for name in ("lldb", *versioned) if (program := shutil.which(name)) is not None), None)
    if found is None:
        missing("lldb")
    return found or "lldb"


class Guest:
    """A command that runs a guest, and what it has printed."""

    def __init__(self, *arguments: object, feeds: bool = False) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            stdin=subprocess.PIPE if feeds else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )
        self.out = bytearray()
        self.err: list[str] = []
        self._news = threading.Condition()
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._read_out, self._read_err)]
        for thread in self._threads:
            thread.start()

    def _read_out(self) -> None:
        assert self.process.stdout is not None
        while data := os.read(self.process.stdout.fileno(), 65536):
            with self._news:
                self.out += data
                self._news.notify_all()

    def _read_err(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.err.append(line.decode().rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def wait_for_output(self, wanted: bytes) -> None:
        """Return when the guest has printed ``wanted``."""
        with self._news:
            assert self._news.wait_for(lambda: wanted in self.out, GUARD_SECONDS), (bytes(self.out), self.err)

    def wait_for_line(self, wanted: str) -> str:
        """Return the line on stderr that has ``wanted`` in it when there is one."""
        with self._news:
            found = self._news.wait_for(lambda: [line for line in self.err if wanted in line], GUARD_SECONDS)
            assert found, self.err
            return found[0]

    @property
    def place(self) -> str:
        """Where it waits for debuggers, as gdb takes it."""
        found = _PLACE.match(self.wait_for_line("'target remote "))
        assert found is not None, self.err
        return found[1]

    def end(self) -> int:
        """Its exit status."""
        status = self.process.wait(GUARD_SECONDS)
        for thread in self._threads:
            thread.join(GUARD_SECONDS)
        return status


@contextmanager
def running(*arguments: object, feeds: bool = False) -> Iterator[Guest]:
    """A command in the background, which does not outlive the test."""
    guest = Guest(*arguments, feeds=feeds)
    try:
        yield guest
    finally:
        if guest.process.poll() is None:
            guest.process.send_signal(signal.SIGKILL)
        guest.end()


def batch(place: str | None, commands: Sequence[str], file: Path | None = None, folder: Path | None = None) -> str:
    """What gdb prints that connects to ``place`` and executes the commands."""
    first = [] if place is None else [f"target remote {place}"]
    words = [f"-ex={command}" for command in ("set pagination off", "set width 0", *first, *commands)]
    return _output([gdb(), "-nx", "-batch", *words, *([] if file is None else [str(file)])])


def lldb_batch(place: str, commands: Sequence[str], file: Path | None = None) -> str:
    """The same with lldb, which takes an address as gdb does."""
    where = f"unix-connect://{place}" if place.startswith("/") else f"connect://127.0.0.1{place}"
    words = [word for command in (f"process connect {where}", *commands) for word in ("-o", command)]
    return _output([lldb(), "--no-lldbinit", "-b", *words, *([] if file is None else [str(file)])])


def _output(argv: Sequence[str]) -> str:
    finished = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=GUARD_SECONDS,
        check=False,
        env={**environment(), "DEBUGINFOD_URLS": "", "LC_ALL": "C.UTF-8"},
    )
    return finished.stdout.decode()


def in_order(text: str, *wanted: str) -> None:
    """Assert that lines that fit these patterns are there, in this order."""
    at = 0
    for pattern in wanted:
        found = re.compile(pattern, re.MULTILINE).search(text, at)
        assert found is not None, f"nothing like {pattern!r} from here on:\n{text[at:]}\n\nall of it:\n{text}"
        at = found.end()
