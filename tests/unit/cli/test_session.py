"""What lasts for how long while a guest runs for a person."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from arm_vcpu_cli.cli import session
from arm_vcpu_cli.cli.run import command
from arm_vcpu_cli.machine.watchdog import Watchdog


def test_no_signal_writes_to_a_watchdog_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its pipe is closed after the wake-up descriptor and the handlers have been put back."""
    found: list[tuple[int, object]] = []
    before = signal.getsignal(signal.SIGINT)

    class Observed(Watchdog):
        def __exit__(self, *_: object) -> None:
            wakeup = signal.set_wakeup_fd(-1)
            found.append((wakeup, signal.getsignal(signal.SIGINT)))
            super().__exit__()

    monkeypatch.setattr(session, "Watchdog", Observed)
    guest = tmp_path / "guest.bin"
    guest.write_bytes(bytes.fromhex("7f2003d5"))  # wfi
    with Path("/dev/null").open(encoding="utf-8") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert command.main([str(guest)], standalone_mode=False) == 123
    assert "waits for an interrupt" in capfd.readouterr().err
    assert found == [(-1, before)]
