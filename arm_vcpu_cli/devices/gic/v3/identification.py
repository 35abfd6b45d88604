"""The identification registers of each frame (IHI 0069H, 12.1)."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.devices.gic.common.frame_id import PeripheralId
from arm_vcpu_cli.devices.gic.v3.registers import ID_BASE

_VERSION: Final = 3
_SIZE: Final = 4


def id_registers(part: int) -> dict[int, int]:
    """Return the registers by offset; ``part`` is bits 7:0 of Arm's part number."""
    return PeripheralId(_VERSION, part, _SIZE).registers(ID_BASE)
