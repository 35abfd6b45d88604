"""The host's CPU and operating system: machine code and the engine's internals are known for some of them."""

from __future__ import annotations

import os
import sys


def host_cpu() -> str:
    """The host's instruction set as its kernel names it, in lower case, such as ``x86_64`` or ``aarch64``; empty if it
    does not say. Not taken from ``platform``, whose import takes 2 ms."""
    return os.uname().machine.lower() if hasattr(os, "uname") else ""


def is_x86() -> bool:
    """Whether the host executes x86-64 code."""
    return host_cpu() in ("x86_64", "amd64")


def is_linux() -> bool:
    """Whether the host's kernel is Linux."""
    return sys.platform == "linux"
