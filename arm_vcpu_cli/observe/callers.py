"""Finds the caller of the function in which a guest exited."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from arm_vcpu_cli.arm_vcpu.byte_order import ByteOrder, data_order
from arm_vcpu_cli.guest.symbols import SymbolTable
from arm_vcpu_cli.vm.machine import Machine

_REMEMBERED: Final = 1 << 14
_RETURN_ADDRESS: Final = 8
"""The offset of the return address in a frame record (AAPCS64, 6.2.3)."""
_ADDRESS_BYTES: Final = 8

ReadVirtual = Callable[[int, int], bytes | None]


class CallerFinder:
    """Finds return addresses: in x30 until the function makes a call, afterwards in its frame record."""

    def __init__(self, symbols: SymbolTable, read: ReadVirtual, order: Callable[[], ByteOrder]) -> None:
        self._symbols = symbols
        self._read = read
        self._order = order
        self._own = lru_cache(_REMEMBERED)(self._is_own)

    def _is_own(self, pc: int, lr: int) -> bool:
        """Whether x30 points into the function at ``pc`` itself, and so is left over from its last call."""
        here, there = self._symbols.resolve(pc), self._symbols.resolve(lr)
        return here is not None and there is not None and pc - here[1] == lr - there[1]

    def return_address(self, pc: int, lr: int, fp: int) -> int:
        """The return address of the function at ``pc``; 0 if unknown."""
        if not self._own(pc, lr):
            return lr
        record = self._read(fp + _RETURN_ADDRESS, _ADDRESS_BYTES)
        return 0 if record is None else int.from_bytes(record, self._order())


def caller_finder(machine: Machine) -> CallerFinder:
    """Return a finder for the current vCPU of a machine."""
    return CallerFinder(machine.image.symbols, _virtual_reader(machine), lambda: data_order(machine.current.arch))


def _virtual_reader(machine: Machine) -> ReadVirtual:
    """A function that reads memory as the current vCPU sees it, on whichever core it is."""
    if machine.host.cpus == 1:
        return machine.core.read_virtual
    return lambda address, size: machine.core.read_virtual(address, size)
