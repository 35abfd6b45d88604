"""Output for the user: all text for the user goes through this module, or through a trace sink.

Text is made printable where it enters the program; this module ensures that.
"""

from __future__ import annotations

import io
import os
import select
import stat
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Final, TextIO

from arm_vcpu_cli.cli.encoding import escape_unknown
from arm_vcpu_cli.errors import OutputError
from arm_vcpu_cli.printable import printable_lines, printable_message

_STREAMS: Final = "arm_vcpu_cli.trace.output_stream"
"""Loaded only if output may have to wait for a reader."""


def say(message: str, cancelled: Callable[[], bool] = bool) -> None:
    """Print a line for the user on stderr, because stdout is the guest's."""
    tell(f"armvcpu: {printable_message(message)}", cancelled)


def tell(text: str, cancelled: Callable[[], bool] = bool, *, coloured: bool = False) -> None:
    """Print text for the user on stderr. Without a reader, the exit status must still be right.

    ``cancelled`` returns whether to stop waiting for a reader that does not read.
    """
    lines = f"{printable_lines(text, coloured=coloured)}\n"
    try:
        if _takes(len(lines)):
            sys.stderr.write(lines)
            sys.stderr.flush()
        else:
            with import_module(_STREAMS).open_stderr(cancelled) as stream:
                stream.write(lines)
    except (OSError, OutputError):
        sys.stderr = null_stream("w")


def show(text: str, *, coloured: bool = False) -> None:
    """Print requested output on stdout. Raises OSError if it cannot be written."""
    stream = escape_unknown(sys.stdout)
    stream.write(f"{printable_lines(text, coloured=coloured)}\n")
    stream.flush()


def _takes(size: int) -> bool:
    """Whether stderr accepts ``size`` characters at once, without waiting for its reader."""
    try:
        descriptor = sys.stderr.fileno()
        mode = os.fstat(descriptor).st_mode
    except (OSError, ValueError):
        # It is no file then, or the write will raise the error.
        return True
    if stat.S_ISFIFO(mode):
        # A character takes at most four bytes in a pipe's encoding.
        return 4 * size < select.PIPE_BUF and bool(select.select([], [descriptor], [], 0)[1])
    return not (stat.S_ISSOCK(mode) or os.isatty(descriptor))


def null_stream(mode: str) -> TextIO:
    """The null device as a replacement for a standard stream, for the rest of the process."""
    stream = open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123, SIM115
    assert isinstance(stream, io.TextIOWrapper)
    return stream
