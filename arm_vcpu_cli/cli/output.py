"""Saying something to the user."""

from __future__ import annotations

import io
import os
import select
import stat
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Final, TextIO

from arm_vcpu_cli.errors import OutputError

_STREAMS: Final = "arm_vcpu_cli.trace.output"
"""Only loaded where a reader may have to be waited for."""


def say(message: str, cancelled: Callable[[], bool] = bool) -> None:
    """A line for the user, on stderr: stdout is the guest's."""
    tell(f"armvcpu: {message}", cancelled)


def tell(text: str, cancelled: Callable[[], bool] = bool) -> None:
    """Text for the user, on stderr. Where nobody is left to read it, the exit status still has to be right.

    ``cancelled`` says whether a reader who does not read need not be waited for any more.
    """
    try:
        if _takes(len(text)):
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
        else:
            with import_module(_STREAMS).open_stderr(cancelled) as stream:
                stream.write(f"{text}\n")
    except (OSError, OutputError):
        sys.stderr = null_stream("w")


def _takes(size: int) -> bool:
    """Whether stderr takes so much at once, without a wait for its reader."""
    try:
        descriptor = sys.stderr.fileno()
        mode = os.fstat(descriptor).st_mode
    except (OSError, ValueError):
        # Then it is no file, or the write will say what is wrong with it.
        return True
    if stat.S_ISFIFO(mode):
        # A character of a pipe's encoding takes four bytes at most.
        return 4 * size < select.PIPE_BUF and bool(select.select([], [descriptor], [], 0)[1])
    return not (stat.S_ISSOCK(mode) or os.isatty(descriptor))


def null_stream(mode: str) -> TextIO:
    """The null device in the place of a standard stream, for the rest of the process."""
    stream = open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123, SIM115
    assert isinstance(stream, io.TextIOWrapper)
    return stream
