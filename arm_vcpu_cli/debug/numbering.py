"""The numbers of a vCPU's registers in the GDB protocol, and the encoding of their values.

Source: Debugging with GDB, appendix G, "AArch64 Features". gdb assumes the numbers of the core and floating-point
registers; all others are defined only by the target description.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.debug.target import Register
from arm_vcpu_cli.record import Record

GENERAL: Final = "general"
VECTOR: Final = "vector"
SVE: Final = "sve"
"""Replaces the vector group: gdb refuses a CPU that has both."""
SYSTEM: Final = "system"
PC: Final = 32
"""The number of the PC."""
_FIRST: Final[Mapping[str, int]] = MappingProxyType({GENERAL: 0, VECTOR: 34, SVE: 34, SYSTEM: 68})
_IN_FILE: Final = (GENERAL, VECTOR)
"""The vectors of SVE would add 18 KiB to each answer to ``g``, and so to each step; debuggers request those that they
show."""


class Numbered(Record):
    """A register with its number; ``in_file``: whether it is part of what ``g`` transfers."""

    number: int
    register: Register
    in_file: bool

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return self.register.bits // 8

    def encoded(self, value: int) -> bytes:
        """Return a value in the protocol's encoding."""
        return value.to_bytes(self.size, "little").hex().encode()

    @property
    def unavailable(self) -> bytes:
        """The encoding of an unavailable value."""
        return b"xx" * self.size


def numbered(registers: Sequence[Register]) -> tuple[Numbered, ...]:
    """Return the registers with their numbers, in numeric order."""
    found: list[Numbered] = []
    for group, first in _FIRST.items():
        members = (register for register in registers if register.group == group)
        free = max(first, found[-1].number + 1 if found else 0)
        found += [Numbered(number, each, group in _IN_FILE) for number, each in enumerate(members, free)]
    return tuple(found)
