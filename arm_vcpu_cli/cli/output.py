"""Output for the user: everything that people read goes through here, or through a sink of a trace.

Text has been made printable where it came in; here it is made sure of.
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
"""Only loaded where a reader may have to be waited for."""


def say(message: str, cancelled: Callable[[], bool] = bool) -> None:
    """A line for the user, on stderr: stdout is the guest's."""
    tell(f"armvcpu: {printable_message(message)}", cancelled)


def tell(text: str, cancelled: Callable[[], bool] = bool, *, coloured: bool = False) -> None:
    """Text for the user, on stderr. Where nobody is left to read it, the exit status still has to be right.

    ``cancelled`` says whether a reader who does not read need not be waited for any more.
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
    """What the user has asked for, on stdout. Raises OSError where it cannot be written."""
    stream = escape_unknown(sys.stdout)
    stream.write(f"{printable_lines(text, coloured=coloured)}\n")
    stream.flush()


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
