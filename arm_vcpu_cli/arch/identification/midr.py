"""Names a CPU by its MIDR_EL1 (DDI 0487, D24.2; part numbers from the Technical Reference Manuals)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.identification.idregs import Midr

_ARM: Final = 0x41

ARM_PARTS: Final[Mapping[int, str]] = MappingProxyType(
    {
        0xD02: "Cortex-A34",
        0xD03: "Cortex-A53",
        0xD04: "Cortex-A35",
        0xD05: "Cortex-A55",
        0xD07: "Cortex-A57",
        0xD08: "Cortex-A72",
        0xD09: "Cortex-A73",
        0xD0A: "Cortex-A75",
        0xD0B: "Cortex-A76",
        0xD0C: "Neoverse N1",
        0xD0D: "Cortex-A77",
        0xD40: "Neoverse V1",
        0xD41: "Cortex-A78",
        0xD44: "Cortex-X1",
        0xD46: "Cortex-A510",
        0xD47: "Cortex-A710",
        0xD48: "Cortex-X2",
        0xD49: "Neoverse N2",
        0xD4D: "Cortex-A715",
        0xD4E: "Cortex-X3",
        0xD4F: "Neoverse V2",
    }
)
"""MIDR_EL1.PartNum of Arm's own designs (Implementer 0x41)."""


def midr_name(midr: int) -> str:
    """Return ``Arm Cortex-A72 r0p3``; for an unknown CPU its numbers: ``implementer 0x00, part 0x051, r0p0``."""
    fields = Midr(midr)
    release = f"r{fields.Variant}p{fields.Revision}"
    implementer = Midr.Implementer.values.get(fields.Implementer)
    part = ARM_PARTS.get(fields.PartNum) if fields.Implementer == _ARM else None
    if implementer is None:
        return f"implementer {fields.Implementer:#04x}, part {fields.PartNum:#05x}, {release}"
    return f"{implementer} {part or f'part {fields.PartNum:#05x}'} {release}"
