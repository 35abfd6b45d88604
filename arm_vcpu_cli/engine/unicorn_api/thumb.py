"""A throw-away engine of another architecture, to learn from how it changes its own structure."""

from __future__ import annotations

import ctypes
from typing import Final

import unicorn
from unicorn import unicorn_const

from arm_vcpu_cli.engine.unicorn_api.binding import TARGET_PAGE
from arm_vcpu_cli.errors import EngineError

_STRUCTURE_SIZE: Final = 4096
"""Bytes at the beginning of the engine's structure, which is larger, that are looked at."""
_CODE: Final = 0x1000


class ThumbEngine:
    """A throw-away engine of the 32-bit Arm architecture: it shares its structure with the AArch64 engine."""

    def __init__(self) -> None:
        try:
            self._binding = unicorn.Uc(unicorn_const.UC_ARCH_ARM, unicorn_const.UC_MODE_THUMB)
            self._binding.mem_map(_CODE, TARGET_PAGE)
        except unicorn.UcError as error:
            raise EngineError(f"the Unicorn engine cannot be opened: {error}") from error

    def run(self, code: bytes) -> bytes:
        """Execute T32 instructions; the beginning of the engine's structure afterwards."""
        try:
            self._binding.mem_write(_CODE, code)
            self._binding.ctl_flush_tb()
            self._binding.emu_start(_CODE | 1, _CODE + len(code))
        except unicorn.UcError as error:
            raise EngineError(f"T32 instructions cannot be executed: {error}") from error
        address = ctypes.cast(self._binding._uch, ctypes.c_void_p).value or 0
        return ctypes.string_at(address, _STRUCTURE_SIZE)

    def close(self) -> None:
        """Free the engine."""
        self._binding._Uc__finalizer()
