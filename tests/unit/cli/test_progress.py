"""A progress message for users who wait."""

from __future__ import annotations

import io
import sys
import threading

import pytest

from arm_vcpu_cli.cli import progress
from arm_vcpu_cli.cli.progress import doing


class Terminal(io.StringIO):
    """A stream that somebody reads, and that tells when something was written."""

    def __init__(self, *, tty: bool = True) -> None:
        super().__init__()
        self._tty = tty
        self.written = threading.Event()

    def isatty(self) -> bool:
        return self._tty

    def flush(self) -> None:
        self.written.set()


def test_what_takes_long_is_told_on_a_terminal_and_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    with doing("loading vmlinux"):
        assert terminal.written.wait(60)
        assert terminal.getvalue() == "armvcpu: loading vmlinux ..."
    assert terminal.getvalue() == "armvcpu: loading vmlinux ...\r\x1b[K"


def test_what_is_done_at_once_is_not_worth_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "_PATIENCE", 3600.0)
    with doing("loading vmlinux"):
        pass
    assert terminal.getvalue() == ""


def test_a_file_gets_nothing_however_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(tty=False)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    before = threading.active_count()
    with doing("loading vmlinux"):
        assert threading.active_count() == before
    assert terminal.getvalue() == ""


def test_an_error_takes_the_word_back_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    with pytest.raises(ValueError, match="broken"), doing("loading vmlinux"):
        assert terminal.written.wait(60)
        raise ValueError("broken")
    assert terminal.getvalue().endswith("\r\x1b[K")
