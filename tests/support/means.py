"""Processes with limited resources: reading an input must not cost more than its size justifies."""

from __future__ import annotations

import resource
import subprocess
import sys
from typing import Final

SECONDS: Final = 10
"""Processor time, for what takes one or two."""
BYTES: Final = 512 << 20
"""Address space."""


def python(code: str, *arguments: object, seconds: int = SECONDS, size: int = BYTES) -> str:
    """What a Python program prints that may take ``seconds`` of processor time and ``size`` bytes of address space."""
    return _finished(["-c", code, *map(str, arguments)], seconds, size, check=True).stdout.strip()


def armvcpu(*arguments: object, seconds: int = SECONDS, size: int = 4 * BYTES) -> subprocess.CompletedProcess[str]:
    """The command, which may take as much; the engine reserves address space that it does not use."""
    return _finished(["-m", "arm_vcpu_cli", *map(str, arguments)], seconds, size, check=False)


def _finished(arguments: list[str], seconds: int, size: int, *, check: bool) -> subprocess.CompletedProcess[str]:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_AS, (size, size))

    return subprocess.run(
        [sys.executable, *arguments],
        preexec_fn=limit,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=check,
    )
