"""Ctrl-C while the command starts: one line and status 130, whichever module is being loaded."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from typing import Final

import pytest

from tests.integration.command import GUARD_SECONDS, environment, guest

STARTED: Final = "arm_vcpu_cli.cli.output"
"""What the entry point loads first: before that, it is the interpreter that is interrupted."""
MESSAGE: Final = "armvcpu: interrupted"


def interrupted(*, after: str, seconds: float) -> tuple[int, list[str]]:
    """Start the command, send SIGINT ``seconds`` after it has loaded the module ``after``; status and stderr.

    The interpreter reports each import on stderr as it is done, which says how far it has come. The guest waits
    for input that never comes.
    """
    with subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "arm_vcpu_cli", "run", str(guest("keys"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stderr is not None
        # A module that is never loaded is waited for in vain.
        guard = threading.Timer(GUARD_SECONDS, process.kill)
        guard.start()
        try:
            assert any(line.rpartition("|")[2].strip() == after for line in process.stderr)
            time.sleep(seconds)
            process.send_signal(signal.SIGINT)
            rest = [line.rstrip("\n") for line in process.stderr if not line.startswith("import time:")]
            return process.wait(GUARD_SECONDS), rest
        finally:
            guard.cancel()
            process.kill()


@pytest.mark.parametrize(
    "module",
    [
        "arm_vcpu_cli.errors",
        "arm_vcpu_cli.arch.registers.el1regs",
        "arm_vcpu_cli.guest.loader",
        "ctypes",
        "arm_vcpu_cli.engine.unicorn_api",
    ],
)
def test_an_interrupt_right_after_a_module_was_loaded(module: str) -> None:
    status, lines = interrupted(after=module, seconds=0)
    assert (status, lines) == (130, [MESSAGE])


@pytest.mark.parametrize("milliseconds", [*range(10, 200, 15), 400])
def test_an_interrupt_some_time_after_the_start(milliseconds: int) -> None:
    status, lines = interrupted(after=STARTED, seconds=milliseconds / 1000)
    assert status == 130
    # Once the guest runs, the line says where it was stopped.
    assert len(lines) == 1
    assert lines[0].startswith(MESSAGE)
