"""Measures the CPU seconds from a booted Linux to the first output of a command typed into it."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from arm_vcpu_cli import Machine
from arm_vcpu_cli.board.loading import load_machine
from arm_vcpu_cli.debug.control import MachineControl
from arm_vcpu_cli.host.watchdog import Watchdog
from arm_vcpu_cli.record import replace

from .processes import ROOT, BenchError

LINUX: Final = ROOT / "samples" / "linux" / "build"
COMMAND: Final = b"echo $((6 * 7))\n"
ANSWER: Final = b"42\r\n"
BY_FILE: Final = 0.3
BY_FORK: Final = 0.05
"""The limits of the project."""
_PLACE: Final = 500_000_000
"""An instruction in the middle of a boot."""
_NEAR: Final = 3_500_000
"""How far before it the places are to which a debugger goes."""
_STEPS: Final = 10


def lacks() -> str | None:
    """Why there is no Linux here."""
    lacking = [str(file) for file in (LINUX / "vmlinuz", LINUX / "initrd.gz") if not file.exists()]
    return f"{' and '.join(lacking)} not there" if lacking else None


def _opened(arguments: str) -> Machine:
    described = load_machine(None, bootargs=f"console=ttyAMA0 {arguments}")
    described = replace(described, boot=replace(described.boot, initrd=LINUX / "initrd.gz"))
    return Machine.open(LINUX / "vmlinuz", described)


@cache
def _booted() -> Machine:
    """A machine at the prompt of its shell, which has executed a command already."""
    machine = _opened("quiet")
    machine.expect("^# ")
    machine.send(COMMAND)
    machine.expect("^42$")
    machine.expect("^# ")
    return machine


@cache
def _snapshot() -> tuple[tempfile.TemporaryDirectory[str], Path]:
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "booted.snap"
    _booted().snapshot(path)
    return folder, path


def time_by_file(_count: int) -> float:
    """Of a new process that goes on from a snapshot."""
    _, path = _snapshot()
    words = (sys.executable, "-m", "arm_vcpu_cli", "run", "--from", str(path))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        process.stdin.write(COMMAND)
        process.stdin.flush()
        printed = b""
        while ANSWER not in printed:
            data = os.read(process.stdout.fileno(), 4096)
            if not data:
                raise BenchError(f"the guest did not answer: {printed!r}")
            printed += data
        process.kill()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def time_by_fork(_count: int) -> float:
    """Of a fork, on both sides."""
    machine = _booted()
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.process_time()
    with machine.fork() as child:
        child.send(COMMAND)
        child.expect("^42$")
    here, after = time.process_time() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return here + after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@cache
def _debugged() -> MachineControl:
    """A machine in the middle of its boot under a debugger, which keeps a moment a few million instructions before."""
    machine = _opened("quiet poweroff")
    machine.start()
    control = MachineControl(machine.parts, Watchdog(machine.parts.request_stop))
    control.keep_history()
    control.goto(_PLACE)
    control.reverse_step(control.current)
    return control


def time_reverse_steps(count: int) -> float:
    """Of some steps back."""
    control = _debugged()
    return _time_near(control, count, lambda: control.reverse_step(control.current))


def time_ways_back(count: int) -> float:
    """Of going where they lead, by the number of the instruction: from the nearest moment that is kept."""
    control = _debugged()
    return _time_near(control, count, lambda: control.goto(control.position().instructions - 1))


def _time_near(control: MachineControl, count: int, move: Callable[[], object]) -> float:
    """Of a move from the same places each time."""
    chance, taken = random.Random(count), 0.0
    for _ in range(_STEPS):
        control.goto(_PLACE - chance.randrange(_NEAR))
        before = time.process_time()
        move()
        taken += time.process_time() - before
    return taken
