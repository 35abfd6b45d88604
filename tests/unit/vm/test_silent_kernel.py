"""A Linux kernel that panics before it has a console, in a loop that counts time: what detects it, and when."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from arm_vcpu_cli.board.description import Limits
from arm_vcpu_cli.guest.kernel_log import Message
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.vm import kernel_messages
from arm_vcpu_cli.vm.endings import STATUS_FAULT, Ending, RunResult
from arm_vcpu_cli.vm.guest_run import GuestRun
from arm_vcpu_cli.vm.machine import Machine
from arm_vcpu_cli.vm.runner import run_machine
from tests.support.fake_core import Trap, hvc
from tests.unit.vm.test_hang import BRANCH, READ_COUNTER, Block, loop

Kind = Literal["elf", "linux"]
RESET = hvc(0x8400_0009)
REASON = "no memory"
PANIC = [f"Kernel panic - not syncing: {REASON}", "Call trace:", f"---[ end Kernel panic - not syncing: {REASON} ]---"]
WORK = 5
"""Seconds of guest time after which a guest that nobody stops has been left alone."""


class Log:
    """A kernel's log, and how often it was read."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.readings = 0

    def read(self, _machine: Machine, _most: int) -> list[Message]:
        self.readings += 1
        return [Message(0, 0, line) for line in self.lines]


def end_of(
    monkeypatch: pytest.MonkeyPatch,
    log: Log,
    *,
    kind: Kind = "linux",
    printed: bytes = b"",
    leaves: Trap | None = None,
) -> RunResult:
    """The end of a kernel in a delay loop with this log."""
    monkeypatch.setattr(kernel_messages, "kernel_messages", log.read)
    with loop(Block([READ_COUNTER, BRANCH], leaves=leaves)) as (made, core):
        made.image = replace(made.image, kind=kind)
        made.description = replace(made.description, limits=Limits(0.0, 0, guest_timeout=WORK))
        run = GuestRun(made, Watchdog(core.stop))
        run.panic.see(printed)
        return run_machine(made, run.watchdog, run)


def test_a_panic_in_the_log_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(PANIC)
    result = end_of(monkeypatch, log)
    assert (result.ending, result.status) == (Ending.PANIC, STATUS_FAULT)
    assert REASON in result.message
    assert log.readings == 1


def test_a_kernel_that_resets_itself_after_a_panic_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    result = end_of(monkeypatch, Log(PANIC[:2]), leaves=RESET)
    assert result.ending is Ending.PANIC
    assert result.message == f"the guest's kernel panicked: {REASON}; then the guest requested a reset"
    assert end_of(monkeypatch, Log(["reboot: Restarting system"]), leaves=RESET).ending is Ending.RESET


def test_a_panic_that_has_not_ended_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(PANIC[:2])
    assert end_of(monkeypatch, log).ending is Ending.LIMIT
    assert 1 < log.readings < 40


@pytest.mark.parametrize(("kind", "printed"), [("elf", b""), ("linux", b"Booting\n")])
def test_nobody_else_is_looked_at(kind: Kind, printed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(PANIC)
    assert end_of(monkeypatch, log, kind=kind, printed=printed).ending is Ending.LIMIT
    assert not log.readings
