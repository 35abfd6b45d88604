"""A throw-away engine of another architecture, for experiments on how it changes its own structure."""

from __future__ import annotations

import ctypes
from typing import Final

from arm_vcpu_cli.engine.unicorn_api.binding import (
    TARGET_PAGE,
    check,
    close_engine,
    control,
    open_engine,
    unicorn_const,
)
from arm_vcpu_cli.engine.unicorn_api.library import bare_library, released_library

_STRUCTURE_SIZE: Final = 4096
"""The size of the examined beginning of the engine's structure, in bytes."""
_CODE: Final = 0x1000


class ThumbEngine:
    """A throw-away engine of the 32-bit Arm architecture: it shares its structure with the AArch64 engine."""

    def __init__(self) -> None:
        self._handle = open_engine(unicorn_const.UC_ARCH_ARM, unicorn_const.UC_MODE_THUMB)
        where, size, may = ctypes.c_uint64(_CODE), ctypes.c_size_t(TARGET_PAGE), unicorn_const.UC_PROT_ALL
        check(bare_library().uc_mem_map(self._handle, where, size, ctypes.c_uint32(may)), "memory cannot be mapped")

    def run(self, code: bytes) -> bytes:
        """Execute T32 instructions; return the beginning of the engine's structure afterwards."""
        where, size = ctypes.c_uint64(_CODE), ctypes.c_size_t(len(code))
        check(bare_library().uc_mem_write(self._handle, where, code, size), "memory cannot be written")
        control(self._handle, unicorn_const.UC_CTL_TB_FLUSH, "translated code cannot be dropped")
        status = released_library().uc_emu_start(self._handle, _CODE | 1, _CODE + len(code), 0, 0)
        check(status, "T32 instructions cannot be executed")
        return ctypes.string_at(self._handle.value or 0, _STRUCTURE_SIZE)

    def close(self) -> None:
        """Free the engine."""
        close_engine(self._handle)
