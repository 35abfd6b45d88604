"""Runs many guests, several at a time, each in a separate process. Results are in the order of the guests."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from arm_vcpu_cli.record import Record, replace
from arm_vcpu_cli.suite.cases import Outcome
from arm_vcpu_cli.suite.trial import CONSOLE, ERRORS, Files
from arm_vcpu_cli.suite.verdict import Verdict
from arm_vcpu_cli.suite.worker import Process

GRACE_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.1
"""Seconds between two updates of the display of running guests."""
_TAIL_BYTES: Final = 1 << 14
_MOST_SIGNALS: Final = 1 << 10

Run = Callable[[Path, Files], Verdict]
"""Runs a guest in a separate process."""


class Plan(Record):
    """How to run the guests. ``timeout`` is in seconds of the host, 0 for none; ``folder`` is where their files go, and
    ``tracer`` is as in :class:`Files`."""

    jobs: int
    timeout: float
    retries: int
    folder: Path
    tracer: str = ""
    grace: float = GRACE_SECONDS
    """Seconds that a run may continue after its time limit, to write a report, before its process is killed."""


class Result(Record):
    """The verdict on a guest, with ``seconds`` of host time, the number of ``attempts``, its ``files``, and the last
    bytes of its console."""

    guest: Path
    verdict: Verdict
    seconds: float = 0.0
    attempts: int = 0
    files: Files | None = None
    tail: bytes = b""


class Progress(Protocol):
    """Receives the progress of the guests."""

    def started(self, index: int, guest: Path) -> None:
        """Receive the start of a guest, or of another attempt."""

    def ended(self, index: int, result: Result) -> None:
        """Receive the result of a guest."""

    def tick(self) -> None:
        """Receive the passing of some time."""


class _Running(Record):
    index: int
    attempt: int
    begun: float
    process: Process
    files: Files


class Pool:
    """Runs guests. ``is_stopped`` returns whether to give up and kill the running ones."""

    def __init__(self, run: Run, plan: Plan, progress: Progress, is_stopped: Callable[[], bool], wakes: int) -> None:
        self._run = run
        self._plan = plan
        self._progress = progress
        self._is_stopped = is_stopped
        self._selector = selectors.DefaultSelector()
        self._wakes = wakes
        self._selector.register(wakes, selectors.EVENT_READ)
        self._running: dict[int, _Running] = {}
        """The running guests, by the descriptor that reports the end."""
        self._results: dict[int, Result] = {}

    def run_all(self, guests: Sequence[Path]) -> list[Result]:
        """Run all guests. The results, in the order of ``guests``, include those that were not run."""
        waiting = [(index, 1) for index in reversed(range(len(guests)))]
        try:
            while (waiting or self._running) and not self._is_stopped():
                while waiting and len(self._running) < self._plan.jobs:
                    index, attempt = waiting.pop()
                    if not self._start(index, guests[index], attempt):
                        waiting.append((index, attempt))
                        break
                waiting += self._wait(guests)
        finally:
            for running in self._running.values():
                running.process.kill()
                running.process.end()
            self._selector.close()
        not_run = Verdict(Outcome.NOT_RUN, "interrupted")
        return [self._results.get(index, Result(guest, not_run)) for index, guest in enumerate(guests)]

    def _start(self, index: int, guest: Path, attempt: int) -> bool:
        files = Files(self._plan.folder, f"{index}-{attempt}", self._plan.tracer)
        try:
            process = Process(lambda: self._run(guest, files), files.path("verdict"), files.path(ERRORS))
        except OSError as error:
            if self._running:
                # The end of one may free the resources.
                return False
            self._tell(index, Result(guest, Verdict(Outcome.ERROR, f"no process can be started: {error.strerror}")))
            return True
        self._selector.register(process.fd, selectors.EVENT_READ)
        self._running[process.fd] = _Running(index, attempt, time.monotonic(), process, files)
        self._progress.started(index, guest)
        return True

    def _wait(self, guests: Sequence[Path]) -> list[tuple[int, int]]:
        """Wait a limited time until one has ended; return those to run again."""
        ready = self._selector.select(_LOOK_SECONDS)
        now = time.monotonic()
        again = []
        for key, _ in ready:
            if key.fd == self._wakes:
                # A signal interrupted the wait: either it requests a stop, or it is not ours.
                os.read(self._wakes, _MOST_SIGNALS)
            running = self._running.pop(key.fd, None)
            if running is not None and self._ended(running, guests[running.index], now):
                again.append((running.index, running.attempt + 1))
        if self._plan.timeout:
            for running in self._running.values():
                if now - running.begun > self._plan.timeout + self._plan.grace:
                    running.process.kill()
        self._progress.tick()
        return again

    def _ended(self, running: _Running, guest: Path, now: float) -> bool:
        """Record the verdict of a run; return whether to run the guest again."""
        self._selector.unregister(running.process.fd)
        verdict, seconds = running.process.end(), now - running.begun
        if verdict.outcome is Outcome.ERROR and self._plan.timeout and seconds > self._plan.timeout + self._plan.grace:
            limit = f"it did not end within {self._plan.timeout:g} s of host time, and did not stop when told to"
            verdict = replace(verdict, reason=f"{limit}: {verdict.reason}")
        failed = verdict.outcome in (Outcome.FAILED, Outcome.ERROR)
        if failed and running.attempt <= self._plan.retries:
            return True
        tail = _tail(running.files.path(CONSOLE)) if failed else b""
        self._tell(running.index, Result(guest, verdict, seconds, running.attempt, running.files, tail))
        return False

    def _tell(self, index: int, result: Result) -> None:
        self._results[index] = result
        self._progress.ended(index, result)


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - _TAIL_BYTES, 0))
            return file.read(_TAIL_BYTES)
    except OSError:
        return b""
