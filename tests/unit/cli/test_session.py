"""The lifetime of resources while a guest runs for a user."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from arm_vcpu_cli.cli import session
from arm_vcpu_cli.cli.run import command
from arm_vcpu_cli.host.watchdog import Watchdog


def run_idle_guest(folder: Path, monkeypatch: pytest.MonkeyPatch, watchdog: type[Watchdog]) -> int:
    """The status of a guest that ends by itself at once, with a watchdog of ours."""
    monkeypatch.setattr(session, "Watchdog", watchdog)
    guest = folder / "guest.bin"
    guest.write_bytes(bytes.fromhex("7f2003d5"))  # wfi
    with Path("/dev/null").open(encoding="utf-8") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        status = command.main([str(guest)], standalone_mode=False)
    assert isinstance(status, int)
    return status


def test_no_signal_writes_to_a_watchdog_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its pipe is closed after the wake-up descriptor has been put back; the handlers are put back at the end."""
    found: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    class Observed(Watchdog):
        def __exit__(self, *_: object) -> None:
            found.append(signal.set_wakeup_fd(-1))
            super().__exit__()

    assert run_idle_guest(tmp_path, monkeypatch, Observed) == 123
    assert "waits for an interrupt" in capfd.readouterr().err
    assert found == [-1]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("closed", [False, True], ids=["before", "after"])
def test_a_signal_that_comes_when_the_end_has_been_told_changes_nothing(
    closed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Late(Watchdog):
        def __exit__(self, *_: object) -> None:
            if closed:
                super().__exit__()
            signal.raise_signal(signal.SIGINT)
            if not closed:
                super().__exit__()

    assert run_idle_guest(tmp_path, monkeypatch, Late) == 123
    assert capfd.readouterr().err.count("armvcpu: ") == 1


def test_a_signal_that_is_ignored_stays_ignored_while_a_guest_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Signalled(Watchdog):
        def __enter__(self) -> Watchdog:
            signal.raise_signal(signal.SIGHUP)
            return super().__enter__()

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run_idle_guest(tmp_path, monkeypatch, Signalled) == 123
    finally:
        signal.signal(signal.SIGHUP, before)
