"""Saying something to the user."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO


def say(message: str) -> None:
    """A line for the user, on stderr: stdout is the guest's."""
    tell(f"armvcpu: {message}")


def tell(text: str) -> None:
    """Text for the user, on stderr. Where nobody is left to read it, the exit status still has to be right."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError:
        sys.stderr = null_stream("w")


def null_stream(mode: str) -> TextIO:
    """The null device in the place of a standard stream, for the rest of the process."""
    stream = open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123, SIM115
    assert isinstance(stream, io.TextIOWrapper)
    return stream
