"""Drops inherited resources that a command does not need, and that an escaped guest should not find."""

from __future__ import annotations

import os
import re
import resource
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Final

CORE_DUMPS: Final = "ARMVCPU_CORE_DUMPS"
"""The environment variable that keeps core dumps enabled; its only valid value is ``on``."""
_STANDARD: Final = 2
"""The last of the standard streams."""
_DIRECTORY: Final = "/dev/fd"
_DESCRIPTORS: Final = "/fd/"
_NAMED: Final = r"/(?:dev|proc/(?:self|thread-self|\d+))/fd/(\d+)"
_CTYPES: Final = "ctypes"
_PR_SET_NO_NEW_PRIVS: Final = 38
_CORE_BYTES: Final = 1
"""Smaller than any core dump; unlike 0 it also keeps the kernel from starting a program to receive one."""


def give_up(words: Iterable[str]) -> None:
    """Drop all of these for the rest of the process, whose arguments are ``words``."""
    close_descriptors(words)
    if os.environ.get(CORE_DUMPS) != "on":
        refuse_core_dumps()
    refuse_privileges()


def close_descriptors(words: Iterable[str]) -> None:
    """Close inherited descriptors except the standard streams and those named in ``words`` (``/dev/fd/3``).

    Descriptors opened by this process stay open: no program that it starts inherits them.
    """
    try:
        numbers = [int(name) for name in os.listdir(_DIRECTORY)]  # noqa: PTH208
    except (OSError, ValueError):
        # No directory lists the open descriptors.
        return
    kept = {int(number) for word in words if _DESCRIPTORS in word for number in re.findall(_NAMED, word)}
    for number in numbers:
        if number > _STANDARD and number not in kept and _is_inherited(number):
            os.close(number)


def _is_inherited(descriptor: int) -> bool:
    try:
        return os.get_inheritable(descriptor)
    except OSError:
        # The descriptor of the directory itself, already closed.
        return False


def refuse_core_dumps() -> None:
    """Disable core dumps, which would contain the guest's memory."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if soft:
        least = _CORE_BYTES if hard == resource.RLIM_INFINITY else min(_CORE_BYTES, hard)
        resource.setrlimit(resource.RLIMIT_CORE, (least, hard))


def refuse_privileges() -> None:
    """Prevent programs started by this process from gaining privileges (prctl(2), Linux).

    This happens only if ctypes is already loaded, as for any command with an engine.
    """
    if sys.platform == "linux" and _CTYPES in sys.modules:
        import_module(_CTYPES).CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
