"""The registers of devices by name, as traces and reports show them: what a value of one means."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from arm_vcpu_cli.arch.explain.explanation import Explanation, explain, explain_layout
from arm_vcpu_cli.arch.explain.registers import RegisterInfo
from arm_vcpu_cli.devices import pl011_registers, pl031
from arm_vcpu_cli.devices.gic.v2 import registers as gicv2
from arm_vcpu_cli.devices.gic.v3 import registers as gicv3
from arm_vcpu_cli.devices.naming import RegisterMap

DEVICES: Final = "devices"
"""The group of these registers."""
_BITS: Final = 8
_OF_A_CPU: Final = re.compile(r"GICR\[[0-9]+\]_")
"""Traces say whose Redistributor it is."""


class _Frame(NamedTuple):
    """Registers of a device: how names may begin to mean this one, what it is called, and its manual."""

    prefix: str
    title: str
    section: str
    registers: RegisterMap


# A name that two devices have is that of the first.
_FRAMES: Final = (
    _Frame("GICV3.", "the Distributor of a GICv3", "IHI 0069H", gicv3.DISTRIBUTOR),
    _Frame("GICV3.", "a Redistributor of a GICv3", "IHI 0069H", gicv3.RD_BASE),
    _Frame("GICV3.", "the SGI frame of a Redistributor", "IHI 0069H", gicv3.SGI_BASE),
    _Frame("GICV2.", "the Distributor of a GICv2", "IHI 0048B", gicv2.DISTRIBUTOR),
    _Frame("GICV2.", "the CPU interface of a GICv2", "IHI 0048B", gicv2.CPU_INTERFACE),
    _Frame("", "a PL011", "DDI 0183G", pl011_registers.REGISTERS),
    _Frame("", "a PL031", "DDI 0224C", pl031.REGISTERS),
)


class DeviceRegister(NamedTuple):
    """A register of a device; ``size`` in bytes."""

    info: RegisterInfo
    registers: RegisterMap
    offset: int
    size: int

    def explanation(self, value: int | None) -> Explanation:
        """Explain a value, or the layout. Raises ValueError if the value is negative or wider than the register."""
        if value is None:
            return explain_layout(self.info)
        found = explain(self.info, value)
        if self.info.layout is not None:
            return found
        meaning = self.registers.meaning(self.offset, self.size, value)
        return Explanation(self.info, value, (), (), (f"{meaning}.",) if meaning else ())


def device_register(name: str) -> DeviceRegister | None:
    """Return the register of a name, such as GICD_CTLR, GICv2.GICD_CTLR or UARTFR; None if no device has it."""
    wanted = _OF_A_CPU.sub("GICR_", name.upper())
    for frame in _FRAMES:
        place = frame.registers.find(wanted.removeprefix(frame.prefix))
        if place is not None:
            offset, size = place
            layout = frame.registers.layout(offset)
            width = _BITS * size if layout is None else layout.WIDTH
            title = f"register of {frame.title} at offset {offset:#x}"
            own = frame.registers.name(offset, size)
            info = RegisterInfo(own, None, layout, title, DEVICES, frame.section, None, own, width=width)
            return DeviceRegister(info, frame.registers, offset, size)
    return None
