"""Advice on interrupts that are held back: what to write, or for Linux what to change in the device tree."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.registers.gicregs import FIRST_SPI
from arm_vcpu_cli.devices.gic.gates.gate import Gate
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.evidence import Evidence
from arm_vcpu_cli.vm.awaited import Awaited
from arm_vcpu_cli.vm.awaited_words import held_words

_LINUX: Final = "linux"


def held_advice(awaited: Awaited, evidence: Evidence) -> Advice:
    """Advice on one interrupt that is held back."""
    meaning, step = held_words(awaited, evidence.description.gic)
    if evidence.image_kind == _LINUX and awaited.intid >= FIRST_SPI and awaited.closed[0].gate is Gate.ENABLE:
        # Under Linux, drivers write to the GIC, not the user.
        step = (
            "no driver has enabled it: check that the device tree gives its device this interrupt (interrupts = "
            f"<0 {awaited.intid - FIRST_SPI} 4>), and that the kernel has the driver"
        )
    return Advice(meaning, step)
