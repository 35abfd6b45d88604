"""The registers common to all GIC versions: their offsets, and the meaning of their values.

(IHI 0069H, 12.8 to 12.11, and IHI 0048B, 4.1 and 4.3).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from arm_vcpu_cli.devices.naming import Meaning

IGROUPR, ISENABLER, ICENABLER, ISPENDR, ICPENDR, ISACTIVER, ICACTIVER = range(0x080, 0x400, 0x80)
IPRIORITYR, ITARGETSR, ICFGR, NSACR = 0x400, 0x800, 0xC00, 0xE00
"""Of a Distributor, and also of a GICv3 Redistributor's SGI_base."""
GICD_CTLR, GICD_TYPER, GICD_IIDR = range(0x0000, 0x000C, 4)
SGIR, CPENDSGIR, SPENDSGIR = 0x0F00, 0x0F10, 0x0F20

BITMAPS: Final = (
    (IGROUPR, "IGROUPR"),
    (ISENABLER, "ISENABLER"),
    (ICENABLER, "ICENABLER"),
    (ISPENDR, "ISPENDR"),
    (ICPENDR, "ICPENDR"),
    (ISACTIVER, "ISACTIVER"),
    (ICACTIVER, "ICACTIVER"),
)
"""The registers with one bit for each INTID."""
_WORD_BITS: Final = 32


def _told(intids: range, said: Iterable[str | None]) -> str:
    """Return ``INTID 32-34: 0xa0, 40: 0x80``: the text for each INTID, without those that have None. Bits at the end of
    the last register without an INTID are omitted."""
    spans = []
    for text, group in groupby(zip(intids, said, strict=False), key=lambda pair: pair[1]):
        numbers = [intid for intid, _ in group]
        if text is not None:
            span = f"{numbers[0]}-{numbers[-1]}" if len(numbers) > 1 else str(numbers[0])
            spans.append(span + text)
    return f"INTID {', '.join(spans)}" if spans else ""


def parts(value: int, bits: int, width: int) -> Iterator[int]:
    """Yield ``value`` of ``bits`` in parts of ``width`` bits, the lowest first."""
    return (value >> lsb & (1 << width) - 1 for lsb in range(0, bits, width))


def bitmap(intids: range) -> Meaning:
    """Describe one bit for each INTID: those whose bit is set."""

    def told(index: int, lsb: int, bits: int, value: int) -> str:
        first = _WORD_BITS * index + lsb
        return _told(intids[first:], ("" if bit else None for bit in parts(value, bits, 1)))

    return told


def byte_map(intids: range) -> Meaning:
    """Describe one byte for each INTID: a priority, or a mask of PEs."""

    def told(index: int, lsb: int, bits: int, value: int) -> str:
        first = (_WORD_BITS * index + lsb) // 8
        return _told(intids[first:], (f": {byte:#04x}" for byte in parts(value, bits, 8)))

    return told


def trigger(intids: range) -> Meaning:
    """Describe two bits for each INTID, of which the upper one is significant (12.9, GICD_ICFGR<n>)."""

    def told(index: int, lsb: int, bits: int, value: int) -> str:
        first = (_WORD_BITS * index + lsb) // 2
        return _told(intids[first:], (": edge" if pair & 2 else ": level" for pair in parts(value, bits, 2)))

    return told
