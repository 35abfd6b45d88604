"""The host's CPU and operating system, some of which support machine code and access to the engine's internals."""

from __future__ import annotations

import os
import sys


def host_cpu() -> str:
    """Return the host's instruction set as its kernel names it, in lower case, such as ``x86_64`` or ``aarch64``; empty
    if unknown. Importing ``platform`` instead would take 2 ms."""
    return os.uname().machine.lower() if hasattr(os, "uname") else ""


def is_x86() -> bool:
    """Return whether the host executes x86-64 code."""
    return host_cpu() in ("x86_64", "amd64")


def is_linux() -> bool:
    """Return whether the host's kernel is Linux."""
    return sys.platform == "linux"
