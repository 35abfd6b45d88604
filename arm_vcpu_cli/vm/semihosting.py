"""Arm semihosting for AArch64 (Semihosting 2.0), as far as it touches nothing of the host but the console.

A guest uses it to print and to end itself with a status. Files, time of day and commands of the host are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.arch.translation.descriptor import PAGE_SIZE
from arm_vcpu_cli.axvcpu.exit import PowerAction, SystemDown

SYS_WRITEC: Final = 0x03
SYS_WRITE0: Final = 0x04
SYS_ISERROR: Final = 0x08
SYS_ERRNO: Final = 0x13
SYS_EXIT: Final = 0x18
SYS_EXIT_EXTENDED: Final = 0x20

OPERATIONS: Final = {
    SYS_WRITEC: "SYS_WRITEC",
    SYS_WRITE0: "SYS_WRITE0",
    SYS_ISERROR: "SYS_ISERROR",
    SYS_ERRNO: "SYS_ERRNO",
    SYS_EXIT: "SYS_EXIT",
    SYS_EXIT_EXTENDED: "SYS_EXIT_EXTENDED",
}

APPLICATION_EXIT: Final = 0x20026
"""ADP_Stopped_ApplicationExit: the subcode is the status. Any other reason counts as status 1."""
_FAILED: Final = -1
_ENOSYS: Final = 38
_LONGEST_STRING: Final = 1 << 16

ReadMemory = Callable[[int, int], "bytes | None"]


class Semihosting:
    """The host's side of HLT #0xF000: ``read`` reads guest memory by VA, ``write`` prints."""

    def __init__(self, read: ReadMemory, write: Callable[[bytes], None]) -> None:
        self._read = read
        self._write = write

    def call(self, operation: int, parameter: int) -> int | SystemDown:
        """Carry out one operation: the value for x0 (-1 for what is refused), or the end of the guest."""
        if operation == SYS_WRITEC:
            self._write(self._read(parameter, 1) or b"")
            return 0
        if operation == SYS_WRITE0:
            self._write(self._string(parameter))
            return 0
        if operation in (SYS_EXIT, SYS_EXIT_EXTENDED):
            return SystemDown(PowerAction.EXIT, self._status(parameter))
        if operation == SYS_ISERROR:
            block = self._read(parameter, 8)
            return int(block is not None and int.from_bytes(block, "little", signed=True) < 0)
        if operation == SYS_ERRNO:
            return _ENOSYS
        return _FAILED

    def _status(self, parameter: int) -> int:
        block = self._read(parameter, 16)
        if block is None or int.from_bytes(block[:8], "little") != APPLICATION_EXIT:
            return 1
        return int.from_bytes(block[8:], "little") & 0xFF

    def _string(self, address: int) -> bytes:
        found = bytearray()
        while len(found) < _LONGEST_STRING:
            size = PAGE_SIZE - address % PAGE_SIZE
            block = self._read(address, size)
            if block is None:
                break
            head, end, _ = block.partition(b"\0")
            found += head
            if end:
                break
            address += size
        return bytes(found)
