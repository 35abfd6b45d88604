"""The ``armvcpu`` command as a subprocess, and the files that the tests give it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[2]
SAMPLES: Final = REPOSITORY / "samples"
GUESTS: Final = Path(__file__).resolve().parent / "guests"
COMMAND: Final = (sys.executable, "-m", "arm_vcpu_cli")
GUARD_SECONDS: Final = 90
"""Only so that a command that hangs fails its test; nothing is measured by it."""


@dataclass(frozen=True)
class Finished:
    """How a command ended: its status, stdout as bytes, and stderr as text."""

    status: int
    out: bytes
    err: str

    @property
    def last(self) -> str:
        """The last line of stderr."""
        return self.err.splitlines()[-1] if self.err else ""


def environment() -> dict[str, str]:
    """Ours, with the package importable from wherever the command is started."""
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}


def armvcpu(*arguments: object, stdin: bytes = b"", cwd: Path | None = None) -> Finished:
    """Run the command to its end. ``stdin`` is a pipe that ends after these bytes."""
    finished = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        timeout=GUARD_SECONDS,
        check=False,
        cwd=cwd,
        env=environment(),
    )
    return Finished(finished.returncode, finished.stdout, finished.stderr.decode())


def shell(script: str, *arguments: object) -> Finished:
    """Run a line of shell in which ``armvcpu`` is the command and $1... are the arguments."""
    prelude = f'armvcpu() {{ "{sys.executable}" -m arm_vcpu_cli "$@"; }}\n'
    finished = subprocess.run(
        ["bash", "-c", prelude + script, "bash", *map(str, arguments)],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=GUARD_SECONDS,
        check=False,
        env=environment(),
    )
    return Finished(finished.returncode, finished.stdout, finished.stderr.decode())


def sample(name: str) -> Path:
    """The ELF file of a sample."""
    return SAMPLES / name / f"{name}.elf"


def guest(name: str) -> Path:
    """The ELF file of a guest of these tests."""
    return GUESTS / f"{name}.elf"


def assert_refused(finished: Finished, *expected: str) -> None:
    """The command refused to run anything: status 2, nothing on stdout, one line on stderr with these parts."""
    assert finished.status == 2, finished
    assert finished.out == b""
    assert finished.err.startswith("armvcpu: error: "), finished.err
    assert finished.err.count("\n") == 1, finished.err
    for part in expected:
        assert part in finished.err
