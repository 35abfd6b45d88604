"""Kinds of interrupts by their INTID (IHI 0069H, 2.2)."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from arm_vcpu_cli.arch.registers.gicregs import FIRST_PPI, FIRST_SPI, LAST_SPI

EXTENDED_PPIS: Final = range(1056, 1120)
EXTENDED_SPIS: Final = range(4096, 5120)
"""The ranges that GICv3.1 added."""
FIRST_LPI: Final = 8192
_KINDS: Final = (
    (0, "SGI"),
    (FIRST_PPI, "PPI"),
    (FIRST_SPI, "SPI"),
    (LAST_SPI + 1, "special"),
    (EXTENDED_PPIS.start, "PPI"),
    (EXTENDED_PPIS.stop, "special"),
    (EXTENDED_SPIS.start, "SPI"),
    (EXTENDED_SPIS.stop, "special"),
    (FIRST_LPI, "LPI"),
)
_STARTS: Final = tuple(start for start, _ in _KINDS)


def is_private(intid: int) -> bool:
    """Return whether each PE has its own interrupt with that number: an SGI or a PPI."""
    return intid < FIRST_SPI or intid in EXTENDED_PPIS


def intid_kind(intid: int) -> str:
    """Return ``SGI``, ``PPI``, ``SPI`` or ``LPI``; ``special`` for 1020 to 1023 and reserved numbers."""
    return _KINDS[bisect_right(_STARTS, intid) - 1][1] if intid >= 0 else "special"
