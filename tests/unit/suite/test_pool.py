"""Processes of guests: each has its own verdict, whatever the others do."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from arm_vcpu_cli.errors import GuestFileError
from arm_vcpu_cli.suite.cases import Outcome
from arm_vcpu_cli.suite.pool import Plan, Pool, Result
from arm_vcpu_cli.suite.trial import Files
from arm_vcpu_cli.suite.verdict import Verdict

# The test runner has threads of its own; the command has none when it forks.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
PASSED = Verdict(Outcome.PASSED)


class Seen:
    """Notes how far the guests are, and asks to stop when it is told to."""

    def __init__(self, stops_after: int | None = None) -> None:
        self.running = self.most = self.done = 0
        self._stops_after = stops_after

    def started(self, index: int, guest: Path) -> None:
        self.running += 1
        self.most = max(self.most, self.running)

    def ended(self, index: int, result: Result) -> None:
        self.done += 1
        self.running -= 1

    def tick(self) -> None:
        pass

    def is_stopped(self) -> bool:
        return self._stops_after is not None and self.done >= self._stops_after


@pytest.fixture
def wakes() -> Iterator[int]:
    reader, writer = os.pipe()
    yield reader
    os.close(reader)
    os.close(writer)


RunAll = Callable[..., list[Result]]


@pytest.fixture
def run_all(tmp_path: Path, wakes: int) -> RunAll:
    def run(
        *works: Callable[[Files], Verdict],
        seen: Seen | None = None,
        jobs: int = 2,
        timeout: float = 0.0,
        retries: int = 0,
    ) -> list[Result]:
        plan = Plan(jobs, timeout, retries, tmp_path, grace=0.1)
        seen = seen or Seen()
        pool = Pool(lambda guest, files: works[int(guest.name)](files), plan, seen, seen.is_stopped, wakes)
        return pool.run_all([Path(str(number)) for number in range(len(works))])

    return run


def passes(_files: Files) -> Verdict:
    return PASSED


def sleeps(_files: Files) -> Verdict:
    time.sleep(600)
    return PASSED


def words(results: list[Result]) -> list[str]:
    return [result.verdict.outcome.value for result in results]


def test_results_are_in_the_order_of_the_guests_and_no_more_run_than_may(run_all: RunAll) -> None:
    def slow(_files: Files) -> Verdict:
        time.sleep(0.2)
        return Verdict(Outcome.FAILED, "slow")

    seen = Seen()
    results = run_all(slow, passes, passes, slow, passes, seen=seen)
    assert words(results) == ["failed", "passed", "passed", "failed", "passed"]
    assert [result.guest.name for result in results] == list("01234")
    assert seen.most == 2


def killed(_files: Files) -> Verdict:
    os.kill(os.getpid(), signal.SIGKILL)
    return PASSED


def leaves(_files: Files) -> Verdict:
    os._exit(0)


def exits(_files: Files) -> Verdict:
    sys.exit(3)


def raises(_files: Files) -> Verdict:
    raise RuntimeError("bug\x1b")


def refuses(_files: Files) -> Verdict:
    raise GuestFileError("g.elf", "no guest")


def forges(files: Files) -> Verdict:
    files.path("verdict").write_text('{"outcome": "passed"}')
    os._exit(0)


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (killed, "its process was killed by signal 9 (Killed)"),
        (leaves, "its process ended with status 0 without a verdict: it printed nothing"),
        (exits, "its process ended with status 1 without a verdict: SystemExit: 3"),
        (raises, "its process ended with status 1 without a verdict: RuntimeError: bug\ufffd"),
        (refuses, "g.elf: no guest"),
        (forges, "its process ended with status 0 without a verdict: it printed nothing"),
    ],
)
def test_a_process_without_a_verdict_is_an_error_of_its_guest(
    work: Callable[[Files], Verdict], reason: str, run_all: RunAll
) -> None:
    results = run_all(passes, work, passes)
    assert words(results) == ["passed", "error", "passed"]
    assert results[1].verdict.reason == reason


def test_a_process_that_does_not_end_in_time_is_killed(run_all: RunAll) -> None:
    def matches(_files: Files) -> Verdict:
        # In the middle of this nothing else runs in its process.
        re.search("^(a+)+$", "a" * 60 + "!")
        return PASSED

    results = run_all(matches, passes, timeout=0.1)
    assert words(results) == ["error", "passed"]
    assert results[0].verdict.reason == (
        "it did not end within 0.1 s of host time, and did not stop when told to: "
        "its process was killed by signal 9 (Killed)"
    )


def test_who_fails_is_run_again_until_it_passes(run_all: RunAll, tmp_path: Path) -> None:
    def flaky(files: Files) -> Verdict:
        with (tmp_path / "attempts").open("a") as file:
            file.write("x")
        enough = (tmp_path / "attempts").stat().st_size >= 3
        return PASSED if enough else Verdict(Outcome.FAILED, "not yet")

    (result,) = run_all(flaky, retries=4)
    assert (result.verdict, result.attempts) == (PASSED, 3)


def test_who_is_not_run_any_more_says_so_and_who_runs_is_killed(run_all: RunAll) -> None:
    def notes(files: Files) -> Verdict:
        files.path("pid").write_text(str(os.getpid()))
        return sleeps(files)

    results = run_all(notes, passes, passes, seen=Seen(stops_after=1))
    assert words(results)[:2] == ["not run", "passed"]
    assert results[0].attempts == 0


def test_a_process_that_cannot_be_started_is_an_error_or_waits_for_another(
    run_all: RunAll, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.fork, []

    def fork() -> int:
        calls.append(True)
        if len(calls) in (2, 4):
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return real()

    monkeypatch.setattr(os, "fork", fork)
    # The second is started once the first has ended; the fourth attempt meets nobody who could end.
    assert words(run_all(passes, passes)) == ["passed", "passed"]
    assert words(run_all(passes)) == ["error"]


def test_descriptors_are_closed(run_all: RunAll) -> None:
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208
    run_all(passes, killed, passes, jobs=3)
    run_all(sleeps, passes, seen=Seen(stops_after=1))
    assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208


def test_a_signal_that_asks_for_nothing_wakes_once(run_all: RunAll, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"\0")
    seen = Seen()
    pool = Pool(lambda _guest, files: passes(files), Plan(1, 0.0, 0, tmp_path), seen, seen.is_stopped, reader)
    assert words(pool.run_all([Path("0")])) == ["passed"]
    os.set_blocking(reader, False)
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)
    os.close(reader)
    os.close(writer)
