"""Decides whether a guest that polls UARTFR after the end of its input waits for input."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.instructions.conditions import awaited_condition
from arm_vcpu_cli.arm_vcpu.context_frame import LINK_REGISTER
from arm_vcpu_cli.axvcpu.exit import MmioRead
from arm_vcpu_cli.devices.pl011 import Pl011
from arm_vcpu_cli.devices.pl011_registers import FR, FlagRegister
from arm_vcpu_cli.vm.machine import Machine

_NO_INPUT: Final = int(FlagRegister.of(RXFE=1))


def polls_another_flag(machine: Machine) -> bool:
    """Whether the last exit is a read of UARTFR in a loop whose code tests flags other than RXFE."""
    arch = machine.current.arch
    last = arch.recent_exits()[-1:]
    if not last or not isinstance(last[0].record.reason, MmioRead):
        return False
    read = last[0].record.reason
    window = machine.current.bus.find(read.addr)
    if window is None or not isinstance(window.device, Pl011) or read.addr - window.base != FR:
        return False
    bits, link = 8 * int(read.width), arch.ctx.gpr(LINK_REGISTER)
    condition = awaited_condition(machine.core.fetcher(), last[0].record.pc, read.reg, bits, link)
    return condition is not None and not condition.mask & _NO_INPUT
