"""Saying something to the user: everything that people are to read goes through here, or through a sink of a trace.

What is said has been made printable where it came in; here that is made sure of.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

from arm_vcpu_cli.cli.encoding import escape_unknown
from arm_vcpu_cli.printable import printable_lines, printable_message


def say(message: str) -> None:
    """A line for the user, on stderr: stdout is the guest's."""
    tell(f"armvcpu: {printable_message(message)}")


def tell(text: str, *, coloured: bool = False) -> None:
    """Text for the user, on stderr. Where nobody is left to read it, the exit status still has to be right."""
    try:
        sys.stderr.write(f"{printable_lines(text, coloured=coloured)}\n")
        sys.stderr.flush()
    except OSError:
        sys.stderr = null_stream("w")


def show(text: str, *, coloured: bool = False) -> None:
    """What the user has asked for, on stdout. Raises OSError where it cannot be written."""
    stream = escape_unknown(sys.stdout)
    stream.write(f"{printable_lines(text, coloured=coloured)}\n")
    stream.flush()


def null_stream(mode: str) -> TextIO:
    """The null device in the place of a standard stream, for the rest of the process."""
    stream = open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123, SIM115
    assert isinstance(stream, io.TextIOWrapper)
    return stream
