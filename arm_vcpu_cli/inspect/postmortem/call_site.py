"""How a guest reached an address: the call, branch or return that led there, as far as its registers show it."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arm_vcpu.context_frame import INSTRUCTION_SIZE, LINK_REGISTER
from arm_vcpu_cli.inspect.postmortem.memory_words import word_at
from arm_vcpu_cli.vm.diagnosis import with_symbol
from arm_vcpu_cli.vm.machine import Machine

_BL_MASK: Final = 0xFC000000
_BL: Final = 0x94000000
_BLR_MASK: Final = 0xFFFFFC1F
_BLR: Final = 0xD63F0000
_RN_SHIFT: Final = 5
_REGISTER: Final = 0x1F
_OFFSET: Final = (1 << 26) - 1
_OFFSET_SIGN: Final = 1 << 25


def call_site(machine: Machine, address: int) -> str:
    """The branch that led to ``address``, given registers unchanged since; empty if they do not show it.

    ``the call BLR x8 at 0x40080010 <main+0x10>``, or ``a return to x30``.
    """
    registers = machine.current.arch.ctx.gprs()
    link = registers[LINK_REGISTER]
    call = link - INSTRUCTION_SIZE
    word = word_at(machine, call) if link else None
    if word is not None:
        at = with_symbol(machine, call)
        number = word >> _RN_SHIFT & _REGISTER
        if word & _BLR_MASK == _BLR and number < len(registers) and registers[number] == address:
            return f"the call BLR x{number} at {at}"
        offset = word & _OFFSET
        if word & _BL_MASK == _BL and call + (((offset ^ _OFFSET_SIGN) - _OFFSET_SIGN) << 2) == address:
            return f"the call BL {address:#x} at {at}"
    if link == address:
        return "a return (RET) to x30, which some function did not save or restore"
    held = [f"x{number}" for number, value in enumerate(registers) if value == address]
    if address and len(held) == 1 and held[0] in ("x16", "x17"):
        return f"a branch through {held[0]}, such as linkers insert"
    return ""
