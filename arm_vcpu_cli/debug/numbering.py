"""The numbers of a vCPU's registers in the protocol, and their values as it has them.

Facts: Debugging with GDB, appendix G, "AArch64 Features". The numbers of the core and of the floating-point registers
are what gdb takes for granted; all others are in the target description only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.debug.target import Register
from arm_vcpu_cli.record import Record

GENERAL: Final = "general"
VECTOR: Final = "vector"
SYSTEM: Final = "system"
PC: Final = 32
"""The number of the PC."""
_FIRST: Final[Mapping[str, int]] = MappingProxyType({GENERAL: 0, VECTOR: 34, SYSTEM: 68})


class Numbered(Record):
    """A register with its number; ``in_file`` tells whether it is part of what ``g`` transfers."""

    number: int
    register: Register
    in_file: bool

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.register.bits // 8

    def encoded(self, value: int) -> bytes:
        """A value as the protocol has it."""
        return value.to_bytes(self.size, "little").hex().encode()

    @property
    def unavailable(self) -> bytes:
        """What stands for a value that cannot be had."""
        return b"xx" * self.size


def numbered(registers: Sequence[Register]) -> tuple[Numbered, ...]:
    """The registers with their numbers, by number."""
    found = []
    for group, first in _FIRST.items():
        members = (register for register in registers if register.group == group)
        found += [Numbered(number, each, group != SYSTEM) for number, each in enumerate(members, first)]
    return tuple(found)
