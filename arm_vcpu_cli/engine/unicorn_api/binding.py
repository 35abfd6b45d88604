"""Names and numbers of the engine's interface, and functions that all its users need."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.engine.unicorn_api.library import constants, released_library
from arm_vcpu_cli.errors import EngineError

arm64_const: Final = constants("arm64_const")
unicorn_const: Final = constants("unicorn_const")

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
    """Return the version of the engine's library, such as ``2.1.4``."""
    packed = released_library().uc_version(None, None)
    return ".".join(str(packed >> shift & 0xFF) for shift in (24, 16, 8))


def check(status: int, what: str) -> None:
    """Raise :class:`EngineError`, stating that ``what`` failed, unless a call has returned success."""
    if status != unicorn_const.UC_ERR_OK:
        raise EngineError(f"{what}: {released_library().uc_strerror(status).decode()}")


def open_engine(architecture: int, mode: int) -> ctypes.c_void_p:
    """Open a new engine; :func:`close_engine` frees it."""
    handle = ctypes.c_void_p()
    check(released_library().uc_open(architecture, mode, ctypes.byref(handle)), "the Unicorn engine cannot be opened")
    return handle


def close_engine(handle: ctypes.c_void_p) -> None:
    """Free an engine."""
    released_library().uc_close(handle)


def control(handle: ctypes.c_void_p, kind: int, what: str, *arguments: object) -> None:
    """Call a control of an engine that sets something (``UC_CTL_*``); arguments are ctypes objects."""
    code = unicorn_const.UC_CTL_IO_WRITE << 30 | len(arguments) << 26 | kind
    check(released_library().uc_ctl(handle, code, *arguments), what)
