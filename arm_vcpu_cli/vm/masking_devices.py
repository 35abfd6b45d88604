"""Finds devices that mask all of their interrupt sources although the GIC would forward their interrupt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from arm_vcpu_cli.devices import pl031
from arm_vcpu_cli.devices.gic.gates.gate import Closed, Frame, Gate, RegisterAt
from arm_vcpu_cli.devices.gic.gates.view import GicView
from arm_vcpu_cli.devices.pl011 import Pl011
from arm_vcpu_cli.devices.pl011_registers import IMSC, Interrupts
from arm_vcpu_cli.vm.machine import Machine

_WIDTH: Final = 4
_RECEIVES: Final = int(Interrupts.of(RXI=1, RTI=1))
"""The interrupts of a guest that waits for input."""


def masking_devices(machine: Machine, view: GicView) -> Iterator[tuple[int, str, Closed]]:
    """Yield each device's INTID, its name, and the mask with the write that unmasks it: for raised interrupts, or else
    for those that guests wait for."""
    for description in machine.description.devices:
        intid, device = description.intid, machine.devices.get(description.name)
        if intid is None or device is None or not view.is_enabled(0, intid) or view.is_pending(0, intid):
            continue
        if isinstance(device, Pl011):
            register, offset, write = "UARTIMSC", IMSC, _raised(device) or _RECEIVES
        elif isinstance(device, pl031.Pl031):
            register, offset, write = "RTCIMSC", pl031.IMSC, 1
        else:
            continue
        if not device.read(offset, _WIDTH):
            mask = RegisterAt(register, Frame.DEVICE, 0, description.base + offset, _WIDTH)
            yield intid, description.name, Closed(Gate.DEVICE_MASKED, mask, 0, mask, write)


def _raised(device: Pl011) -> int:
    """Return UARTRIS without a register read, which would request input."""
    raw = device.save()["raw"]
    return raw if isinstance(raw, int) else 0
