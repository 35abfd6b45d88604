"""SIGINT and SIGTERM at random moments of every command: one line and status 130, or the normal end.

    python -m tests.fuzz.signals --count 500
    python -m tests.fuzz.signals --command run-terminal --seed 7 --count 2000

A signal is sent between the first line of the command's own code, as far as that is visible from outside (the handler
of SIGTERM is installed), and a little after the command's usual run time.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Final

from tests.integration.command import COMMAND, environment, guest, sample

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED: Final = 130
LINE: Final = "armvcpu: interrupted"
_GUARD_SECONDS: Final = 60.0
"""A command that has not ended by then hangs."""
_BEYOND: Final = 1.6
"""How much later than the end of a command left alone: those that run at once take longer."""
_EXAMINED: Final = (
    sys.executable,
    "-c",
    "import sys\n"
    "from arm_vcpu_cli.engine import discovery, levers\n"
    "from arm_vcpu_cli.__main__ import main\n"
    "for module in (discovery, levers):\n"
    "    if hasattr(module, 'known_build'):\n"
    "        module.known_build = lambda: None\n"
    "main()",
)
"""The command with an engine that nobody knows, which it has to examine."""


@dataclass(frozen=True)
class Subject:
    """A command that is interrupted: how it is started (``{}`` is a directory of its own), the file that it writes, and
    whether it is on a terminal. ``answers``: an interrupt while the guest runs is what it waits for, and no failure."""

    arguments: tuple[object, ...]
    prefix: tuple[str, ...] = COMMAND
    output: str | None = None
    terminal: bool = False
    answers: bool = False


@dataclass(frozen=True)
class End:
    """How a command ended: ``status`` None is that it had to be killed."""

    status: int | None
    out: str
    err: str
    files: tuple[str, ...]
    empty: tuple[str, ...]
    restored: bool
    seconds: float


@dataclass(frozen=True)
class Finding:
    """What a command did that it should not."""

    command: str
    signal: str
    delay: float
    what: str
    err: str


SUBJECTS: Final = MappingProxyType(
    {
        "run": Subject(("run", sample("hello"))),
        "run-input": Subject(("run", "--timeout", "0.2", guest("keys"))),
        "run-terminal": Subject(("run", "--timeout", "0.1", guest("keys")), terminal=True),
        "run-examined": Subject(("run", sample("hello")), prefix=_EXAMINED),
        "trace": Subject(("trace", "-o", "{}/out.jsonl.gz", sample("exits")), output="out.jsonl.gz"),
        "stat": Subject(("stat", "-o", "{}/out.txt", sample("exits")), output="out.txt"),
        "report": Subject(("report", "--html", "{}/out.html", "{}/a.jsonl"), output="out.html"),
        "diff": Subject(("diff", "{}/a.jsonl", "{}/b.jsonl")),
        "probe": Subject(("probe",)),
        "probe-examined": Subject(("probe",), prefix=_EXAMINED),
        "walk": Subject(("walk", sample("paging"), "pc"), answers=True),
        "explain": Subject(("explain", "ESR_EL2=0x93258005")),
        "dtb": Subject(("dtb", "-o", "{}/out.dtb"), output="out.dtb"),
    }
)


class Lab:
    """Starts one command again and again, in a directory with two traces."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.subject = SUBJECTS[name]
        self._directory = directory
        for trace, other in (("a", "exits"), ("b", "hello")):
            argv = [*COMMAND, "trace", "-o", str(directory / f"{trace}.jsonl"), str(sample(other))]
            subprocess.run(argv, stdout=subprocess.DEVNULL, env=environment(), check=True, timeout=_GUARD_SECONDS)
        self.natural = self.run(None, 0.0)

    def run(self, number: signal.Signals | None, delay: float) -> End:
        """The end of the command when the signal is sent ``delay`` seconds after its start."""
        own = Path(tempfile.mkdtemp(dir=self._directory))
        for trace in ("a.jsonl", "b.jsonl"):
            (own / trace).symlink_to(self._directory / trace)
        argv = [*self.subject.prefix, *(str(word).replace("{}", str(own)) for word in self.subject.arguments)]
        start = self._on_terminal if self.subject.terminal else self._on_pipes
        status, out, err, restored, seconds = start(argv, number, delay)
        made = [path for path in sorted(own.iterdir()) if not path.is_symlink()]
        files, empty = (path.name for path in made), (path.name for path in made if not path.stat().st_size)
        end = End(status, out, err.replace(str(own), "{}"), tuple(files), tuple(empty), restored, seconds)
        for path in own.iterdir():
            path.unlink()
        own.rmdir()
        return end

    def _on_pipes(
        self, argv: list[str], number: signal.Signals | None, delay: float
    ) -> tuple[int | None, str, str, bool, float]:
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        )
        assert process.stdin is not None
        with _guarded(process) as killed:
            begun = _send(process, number, delay)
            # What waits for input gets none until it is interrupted, or gives up.
            assert process.stdout is not None
            assert process.stderr is not None
            out, err = process.stdout.read().decode(), process.stderr.read().decode()
            process.wait()
            seconds = time.monotonic() - begun
            for stream in (process.stdin, process.stdout, process.stderr):
                stream.close()
        return None if killed.is_set() else process.returncode, out, err, True, seconds

    def _on_terminal(
        self, argv: list[str], number: signal.Signals | None, delay: float
    ) -> tuple[int | None, str, str, bool, float]:
        master, slave = pty.openpty()
        before = termios.tcgetattr(slave)
        process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=environment()
        )
        seen = b""
        with _guarded(process) as killed:
            begun = _send(process, number, delay)
            while process.poll() is None:
                seen += _available(master, 0.02)
            seconds = time.monotonic() - begun
        while more := _available(master, 0):
            seen += more
        restored = termios.tcgetattr(slave) == before
        os.close(master)
        os.close(slave)
        lines = seen.decode(errors="replace").replace("\r\n", "\n")
        err = "".join(f"{line}\n" for line in lines.splitlines() if not "ready".startswith(line))
        return None if killed.is_set() else process.returncode, lines, err, restored, seconds


@contextmanager
def _guarded(process: subprocess.Popen[bytes]) -> Iterator[threading.Event]:
    killed = threading.Event()

    def kill() -> None:
        killed.set()
        process.kill()

    timer = threading.Timer(_GUARD_SECONDS, kill)
    timer.start()
    try:
        yield killed
    finally:
        timer.cancel()
        process.kill()
        process.wait()


def _send(process: subprocess.Popen[bytes], number: signal.Signals | None, delay: float) -> float:
    """Wait for the command to begin, and send it the signal ``delay`` seconds later; when it began."""
    while process.poll() is None and not _has_begun(process.pid):
        time.sleep(0.0005)
    begun = time.monotonic()
    if number is not None:
        time.sleep(delay)
        process.send_signal(number)
    return begun


def _has_begun(pid: int) -> bool:
    """Whether the process handles SIGTERM, see proc_pid_status(5)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) >> signal.SIGTERM - 1 & 1)


def _available(fd: int, seconds: float) -> bytes:
    if not select.select([fd], [], [], seconds)[0]:
        return b""
    try:
        return os.read(fd, 1 << 16)
    except OSError:
        return b""


def judge(subject: Subject, natural: End, end: End) -> str | None:
    """What is wrong with the end of an interrupted command, None if nothing is."""
    lines = end.err.splitlines()
    whole = subject.output is None or subject.output in end.files
    if end.status is None:
        return "it does not end"
    if not end.restored:
        return "the terminal is not as it was"
    if "Traceback" in end.err or "Exception ignored" in end.err:
        return "a traceback"
    if end.empty:
        return f"empty: {', '.join(end.empty)}"
    if subject.output is not None and whole and any(name != subject.output for name in end.files):
        return f"left over: {', '.join(end.files)}"
    if end.status == INTERRUPTED:
        if len(lines) != 1 or not lines[0].startswith(LINE):
            return f"{len(lines)} lines"
        return None
    if end.status == natural.status and (end.err == natural.err or subject.terminal):
        return None if whole else "no output"
    if subject.answers and end.out.startswith("interrupted at ") and not lines:
        return None
    return f"status {end.status}, {len(lines)} lines"


def hunt(name: str, seed: int, count: int, jobs: int, report: Callable[[Finding], None]) -> int:
    """Interrupt a command ``count`` times; how often it was in time."""
    with tempfile.TemporaryDirectory() as directory:
        lab = Lab(name, Path(directory))
        random = Random(f"{seed} {name}")
        plan = [(random.choice(SIGNALS), random.uniform(0, lab.natural.seconds * _BEYOND)) for _ in range(count)]

        def once(each: tuple[signal.Signals, float]) -> bool:
            number, delay = each
            end = lab.run(number, delay)
            what = judge(lab.subject, lab.natural, end)
            if what is not None:
                report(Finding(name, number.name, delay, what, end.err[-2000:]))
            return end.status == INTERRUPTED

        with ThreadPoolExecutor(jobs) as pool:
            return sum(pool.map(once, plan))


def main(arguments: Sequence[str] | None = None) -> int:
    """Hunt; status 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", action="append", choices=tuple(SUBJECTS), help="default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=50, help="signals for each command")
    parser.add_argument("--jobs", type=int, default=2, help="commands that run at once")
    options = parser.parse_args(arguments)
    found: list[Finding] = []

    def report(finding: Finding) -> None:
        found.append(finding)
        print(json.dumps(vars(finding)), flush=True)

    for name in options.command or SUBJECTS:
        started = time.monotonic()
        hit = hunt(name, options.seed, options.count, options.jobs, report)
        seconds = time.monotonic() - started
        print(f"{name}: {options.count} of seed {options.seed}, {hit} in time, {seconds:.0f} s", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
