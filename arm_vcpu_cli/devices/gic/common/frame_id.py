"""The identification registers at the end of a frame, and GICD_IIDR and GICR_IIDR (IHI 0069H, 12.1; IHI 0048B, 4.3)."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.registers.gicregs import GicIidr, GicPidr2
from arm_vcpu_cli.record import Record

IIDR: Final = int(GicIidr.of(Implementer=0x43B))
_ARM_PIDR1, _ARM_PIDR4 = 0xB4, 0x04
_SIZE: Final = 4
"""The lowest bit of PIDR4.SIZE."""
_COMPONENT_ID: Final = (0x0D, 0xF0, 0x05, 0xB1)


class PeripheralId(Record):
    """How a frame identifies itself: ``version`` of the architecture, bits 7:0 of Arm's ``part`` number, and the binary
    logarithm of its ``size`` in blocks of 4 KiB."""

    version: int
    part: int
    size: int

    def registers(self, base: int) -> dict[int, int]:
        """Return PIDR4 to PIDR7, PIDR0 to PIDR3 and CIDR0 to CIDR3 by offset, the first at ``base``."""
        pidr2 = int(GicPidr2.of(ArchRev=self.version, JEDEC=1, DES_1=3))
        values = (_ARM_PIDR4 | self.size << _SIZE, 0, 0, 0, self.part, _ARM_PIDR1, pidr2, 0, *_COMPONENT_ID)
        return {base + 4 * index: value for index, value in enumerate(values)}
