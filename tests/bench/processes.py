"""Runs whole processes, the command of this checkout or another and QEMU, and measures their CPU time."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]

QEMU: Final = "qemu-system-aarch64"
QEMU_MACHINE: Final = (
    *("-M", "virt,gic-version=3", "-cpu", "cortex-a72", "-accel", "tcg,thread=single", "-m", "512"),
    *("-nographic", "-nic", "none", "-monitor", "none"),
)


class BenchError(Exception):
    """What was to be measured failed, or cannot be compared."""


@dataclass(frozen=True)
class Command:
    """A process: its words, and the folder that it takes Python's packages from."""

    words: tuple[str, ...]
    packages: Path | None = None


@dataclass(frozen=True)
class Finished:
    """What a process took of the CPU, user and system, in seconds, and what it wrote to its console."""

    seconds: float
    output: bytes


def armvcpu(checkout: Path, *arguments: str) -> Command:
    """The command of a checkout, under the interpreter of its .venv if it has one that is not ours."""
    own = checkout / ".venv" / "bin" / "python"
    python = str(own) if checkout != ROOT and own.exists() else sys.executable
    return Command((python, "-m", "arm_vcpu_cli", *arguments), checkout)


def qemu(kernel: Path, *arguments: str) -> Command:
    """QEMU with the machine that the preset is like, and no hypervisor in between."""
    return Command((QEMU, *QEMU_MACHINE, "-kernel", str(kernel), *arguments))


def finish(command: Command) -> Finished:
    """Run a process to its end, in a folder that ends with it: what it writes there is not kept."""
    environment = dict(os.environ)
    if command.packages is not None:
        environment["PYTHONPATH"] = str(command.packages)
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
    ):
        process = subprocess.Popen(
            command.words, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, cwd=folder, env=environment
        )
        # Not wait(): only this call says what the CPU time of this one child was.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode != 0:
            raise BenchError(
                f"{' '.join(command.words)}: status {process.returncode}\n{errors.read().decode(errors='replace')}"
            )
        return Finished(usage.ru_utime + usage.ru_stime, output.read())
