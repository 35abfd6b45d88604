"""Names and numbers of the unicorn binding, and its library."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Final

import unicorn
from unicorn import arm64_const, unicorn_const
from unicorn.unicorn_py3.unicorn import uclib

from arm_vcpu_cli.errors import EngineError

CPU_MODELS: Final = {
    "cortex-a53": arm64_const.UC_CPU_ARM64_A53,
    "cortex-a57": arm64_const.UC_CPU_ARM64_A57,
    "cortex-a72": arm64_const.UC_CPU_ARM64_A72,
    "max": arm64_const.UC_CPU_ARM64_MAX,
}

X: Final = tuple(getattr(arm64_const, f"UC_ARM64_REG_X{n}") for n in range(31))
Q: Final = tuple(getattr(arm64_const, f"UC_ARM64_REG_Q{n}") for n in range(32))
SP: Final = arm64_const.UC_ARM64_REG_SP
PC: Final = arm64_const.UC_ARM64_REG_PC
NZCV: Final = arm64_const.UC_ARM64_REG_NZCV
PSTATE: Final = arm64_const.UC_ARM64_REG_PSTATE
CP_REG: Final = arm64_const.UC_ARM64_REG_CP_REG

TARGET_PAGE: Final = 4096
InterruptCallback = Callable[[object, int], None]


def version() -> str:
    """The version of the engine's library, such as ``2.1.4``."""
    return str(unicorn.__version__)


def library_path() -> str:
    """The file of the engine's library."""
    return str(uclib._name)


@cache
def released_library() -> ctypes.CDLL:
    """The library for calls that give up the interpreter lock. One handle for all: to load it again takes its time."""
    return ctypes.CDLL(library_path())


@cache
def held_library() -> ctypes.PyDLL:
    """The library for calls that are too short to be worth giving up the interpreter lock."""
    return ctypes.PyDLL(library_path())


@cache
def bare_library() -> ctypes.PyDLL:
    """The same without argument types: every argument is given as an object of ctypes."""
    return ctypes.PyDLL(library_path())


def library_function(name: str) -> int | None:
    """The address of a function of the engine's library by its symbol, None where it exports none of that name."""
    try:
        function = released_library()[name]
    except AttributeError:
        return None
    return ctypes.cast(function, ctypes.c_void_p).value


def check(status: int, what: str) -> None:
    """Raise :class:`EngineError` that says ``what`` failed, unless a call has returned success."""
    if status != unicorn_const.UC_ERR_OK:
        raise EngineError(f"{what}: {unicorn.UcError(status)}")
