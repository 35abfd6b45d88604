"""What a process inherits that its command does not need, and that a guest which breaks out should not find."""

from __future__ import annotations

import os
import re
import resource
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Final

CORE_DUMPS: Final = "ARMVCPU_CORE_DUMPS"
"""The variable of the environment that keeps core dumps; ``on`` is its only value with a meaning."""
_STANDARD: Final = 2
"""The last of the standard streams."""
_DIRECTORY: Final = "/dev/fd"
_NAMED: Final = re.compile(r"/(?:dev|proc/(?:self|thread-self|\d+))/fd/(\d+)")
_CTYPES: Final = "ctypes"
_PR_SET_NO_NEW_PRIVS: Final = 38
_CORE_BYTES: Final = 1
"""Less than any core dump has; and for the kernel, unlike 0, also a reason to start no program that would take one."""


def give_up(words: Iterable[str]) -> None:
    """Give up all of it, for the rest of the process, whose arguments are ``words``."""
    close_descriptors(words)
    if os.environ.get(CORE_DUMPS) != "on":
        refuse_core_dumps()
    refuse_privileges()


def close_descriptors(words: Iterable[str]) -> None:
    """Close inherited descriptors but the standard streams and those that one of ``words`` names (``/dev/fd/3``).

    What this process has opened itself stays: no program that it starts would inherit that.
    """
    try:
        numbers = [int(name) for name in os.listdir(_DIRECTORY)]  # noqa: PTH208
    except (OSError, ValueError):
        # Nothing lists the descriptors that are open.
        return
    kept = {int(number) for word in words for number in _NAMED.findall(word)}
    for number in numbers:
        if number > _STANDARD and number not in kept and _is_inherited(number):
            os.close(number)


def _is_inherited(descriptor: int) -> bool:
    try:
        return os.get_inheritable(descriptor)
    except OSError:
        # That of the directory which has just been read.
        return False


def refuse_core_dumps() -> None:
    """A core dump would hold what the guest has in its memory."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if soft:
        least = _CORE_BYTES if hard == resource.RLIM_INFINITY else min(_CORE_BYTES, hard)
        resource.setrlimit(resource.RLIMIT_CORE, (least, hard))


def refuse_privileges() -> None:
    """Have no program that this process may start gain privileges (prctl(2), Linux).

    Only where ctypes is loaded anyway, as it is for whatever has an engine.
    """
    if sys.platform == "linux" and _CTYPES in sys.modules:
        import_module(_CTYPES).CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
