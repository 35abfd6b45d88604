"""The identification registers at the end of each frame, and GICD_IIDR and GICR_IIDR (IHI 0069H, 12.1)."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.registers.gicregs import GicIidr, GicPidr2
from arm_vcpu_cli.devices.gic.v3.registers import ID_BASE

IIDR: Final = int(GicIidr.of(Implementer=0x43B))
_PIDR2: Final = int(GicPidr2.of(ArchRev=3, JEDEC=1, DES_1=3))
_ARM_PIDR1, _ARM_PIDR4 = 0xB4, 0x44
_COMPONENT_ID: Final = (0x0D, 0xF0, 0x05, 0xB1)


def id_registers(part: int) -> dict[int, int]:
    """PIDR4 to PIDR7, PIDR0 to PIDR3 and CIDR0 to CIDR3 by offset; ``part`` is bits 7:0 of Arm's part number."""
    values = (_ARM_PIDR4, 0, 0, 0, part, _ARM_PIDR1, _PIDR2, 0, *_COMPONENT_ID)
    return {ID_BASE + 4 * index: value for index, value in enumerate(values)}
