"""Parses a register's value as users write it and kernels print it: hexadecimal, without a prefix."""

from __future__ import annotations

import re
from typing import Final

from arm_vcpu_cli.record import Record

_KERNEL_DIGITS: Final = (8, 16)
"""The numbers of digits of a register in a kernel's log: ``ESR_EL1=96000210``, ``x0 : ffff800008000000``."""
_PLAIN: Final = re.compile(r"[0-9a-f]+", re.IGNORECASE)


class ReadValue(Record):
    """A value; ``other`` is the value of the same digits in the other base, None if the base is unambiguous."""

    digits: str
    value: int
    hexadecimal: bool = True
    other: int | None = None

    def turned(self) -> ReadValue:
        """Return the same digits in the other base."""
        if self.other is None:
            return self
        return ReadValue(self.digits, self.other, not self.hexadecimal, self.value)

    @property
    def note(self) -> str:
        """A note on which of two possible bases was used, and how to write the other; empty if it is
        unambiguous."""
        if self.other is None:
            return ""
        if self.hexadecimal:
            return f"{self.digits} is read as hexadecimal; write 0d{self.digits} for decimal."
        return f"{self.digits} is read as decimal; write 0x{self.digits} for hexadecimal."


def read_value(text: str, word: str) -> ReadValue:
    """Read a number with a prefix (0x, 0b, 0o, 0d), or digits alone.

    Digits alone are decimal, unless they have letters or begin with 0 or are 8 or 16 of them, as kernels print them.
    Raises ValueError, in one line that names the ``word`` of the command line.
    """
    digits = text.strip().replace("_", "")
    if _PLAIN.fullmatch(digits) and digits[:2].lower() not in ("0b", "0d"):
        value = int(digits, 16)
        if not digits.isdecimal() or (digits[0] == "0" and len(digits) > 1):
            return ReadValue(digits, value)
        decimal = int(digits)
        if decimal == value:
            return ReadValue(digits, value)
        read = ReadValue(digits, decimal, False, value)
        return read.turned() if len(digits) in _KERNEL_DIGITS else read
    try:
        return ReadValue(digits, int(digits[2:]) if digits[:2].lower() == "0d" else int(text.strip(), 0))
    except ValueError as error:
        raise ValueError(f"{word}: expected a number such as 0x1f, 0b11, 0o17 or 31") from error
