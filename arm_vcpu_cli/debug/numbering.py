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
SVE: Final = "sve"
"""In the place of the vector group: gdb refuses a CPU that has both."""
SYSTEM: Final = "system"
PC: Final = 32
"""The number of the PC."""
_FIRST: Final[Mapping[str, int]] = MappingProxyType({GENERAL: 0, VECTOR: 34, SVE: 34, SYSTEM: 68})
_IN_FILE: Final = (GENERAL, VECTOR)
"""With the vectors of SVE, each answer to ``g``, and so each step, would have 18 KiB; debuggers ask for those that they
show."""


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
    found: list[Numbered] = []
    for group, first in _FIRST.items():
        members = (register for register in registers if register.group == group)
        free = max(first, found[-1].number + 1 if found else 0)
        found += [Numbered(number, each, group in _IN_FILE) for number, each in enumerate(members, free)]
    return tuple(found)
