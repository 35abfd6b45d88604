"""Checks of faults that require the guest and the built machine: symbols, and interrupts that exist."""

from __future__ import annotations

import re
from typing import Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.registers.gicregs import FIRST_SPI
from arm_vcpu_cli.board.description import MachineDescription
from arm_vcpu_cli.board.fault_description import (
    AtCode,
    AtInterrupt,
    FaultDescription,
    FlipMemory,
    SpuriousInterrupt,
)
from arm_vcpu_cli.devices.gic.controller import InterruptController
from arm_vcpu_cli.errors import MachineFileError
from arm_vcpu_cli.guest.image import GuestImage
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.record import replace

_WITH_OFFSET: Final = re.compile(r"(.+?)\+(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})", re.ASCII)
_INSTRUCTION: Final = 4
"""The size of an instruction in bytes."""


def with_addresses(description: MachineDescription, image: GuestImage) -> tuple[FaultDescription, ...]:
    """Return the faults of a machine with the addresses of the guest's symbols in place of their names.

    Raises MachineFileError for a name that the guest does not have.
    """
    found = []
    for fault in description.faults:
        trigger, effect = fault.trigger, fault.effect
        if isinstance(trigger, AtCode) and isinstance(trigger.place, str):
            place = _address(description, image.symbols, fault, "at.symbol", trigger.place)
            if place % _INSTRUCTION:
                message = f"{trigger.place} is {place:#x}, which is not the address of an instruction"
                raise _error(description, fault, "at.symbol", message)
            trigger = replace(trigger, place=place)
        if isinstance(effect, FlipMemory) and isinstance(effect.address, str):
            address = _address(description, image.symbols, fault, "symbol", effect.address)
            effect = replace(effect, address=address)
        found.append(replace(fault, trigger=trigger, effect=effect))
    return tuple(found)


def check_interrupts(
    description: MachineDescription,
    faults: tuple[FaultDescription, ...],
    gic: InterruptController | None,
    driven: frozenset[int],
) -> None:
    """Raise MachineFileError for a fault of an interrupt that the machine does not have; ``driven`` are the INTIDs of
    faults that a device asserts."""
    for fault in faults:
        trigger, effect = fault.trigger, fault.effect
        if isinstance(trigger, AtInterrupt) and trigger.intid not in driven:
            message = f"no device of this machine asserts INTID {trigger.intid}"
            raise _error(description, fault, "at.intid", message)
        if isinstance(effect, SpuriousInterrupt) and gic is not None and effect.intid >= FIRST_SPI:
            try:
                gic.spi(effect.intid)
            except ValueError as error:
                raise _error(description, fault, "intid", str(error)) from error


def _address(
    description: MachineDescription, symbols: SymbolTable, fault: FaultDescription, key: str, text: str
) -> int:
    address = symbols.lookup(text)
    if address is not None:
        return address
    split = _WITH_OFFSET.fullmatch(text[:512])
    if split is not None and (base := symbols.lookup(split[1])) is not None:
        return base + int(split[2], 0) & MASK64
    if not len(symbols):
        raise _error(description, fault, key, "the guest has no symbols; add some with --symbols FILE")
    close = symbols.close_names(text)
    hint = f" (did you mean {' or '.join(close)}?)" if close else ""
    raise _error(description, fault, key, f"no symbol of the guest is called {text[:64]}{hint}")


def _error(description: MachineDescription, fault: FaultDescription, key: str, message: str) -> MachineFileError:
    source = fault.file or description.path or description.name
    return MachineFileError(source, message, key=f"{fault.key}.{key}")
