"""The memory of a stopped guest, by virtual address and by IPA, accessed without the core.

Translations are looked up in the tables, so the core's cached translations stay as they are: reading memory from a
debugger does not disturb a guest that relies on stale ones. The guest's own permissions are ignored, and devices are
not accessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from arm_vcpu_cli.arch.registers.sysreg import SysReg
from arm_vcpu_cli.arch.translation.descriptor import PAGE_SIZE
from arm_vcpu_cli.arm_vcpu.guest_memory import GuestMemory
from arm_vcpu_cli.vm.cpu import Cpu
from arm_vcpu_cli.vm.machine import Machine

_TOP: Final = 1 << 64


class _SavedRegisters:
    """The system registers that translation depends on, from the saved state of a vCPU."""

    def __init__(self, cpu: Cpu) -> None:
        self._state = cpu.arch.state

    def read_sysreg(self, reg: SysReg) -> int:
        return int(self._state.u64[self._state.layout.sysregs[reg] // 8])


class Memory:
    """The memory of one machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def read(self, cpu: Cpu, address: int, size: int) -> bytes:
        """Return bytes from a virtual address on, as a vCPU translates it, up to the first that is not mapped."""
        found = bytearray()
        for ipa, length in self._pieces(cpu, address, size):
            view = None if ipa is None else self._machine.ram.view(ipa, length)
            if view is None:
                break
            found += view
        return bytes(found)

    def write(self, cpu: Cpu, address: int, data: bytes) -> bool:
        """Write to a virtual address; return False, without a change, unless the whole range is memory."""
        pieces = list(self._pieces(cpu, address, len(data)))
        if any(ipa is None or self._machine.ram.find(ipa, length) is None for ipa, length in pieces):
            return False
        start = 0
        for ipa, length in pieces:
            self._machine.ram.write(ipa or 0, data[start : start + length])
            start += length
        return True

    def read_physical(self, ipa: int, size: int) -> bytes:
        """Return bytes from an IPA on, up to the first that is not memory."""
        found = bytearray()
        while len(found) < size:
            start = ipa + len(found)
            length = min(PAGE_SIZE - start % PAGE_SIZE, size - len(found))
            view = self._machine.ram.view(start, length)
            if view is None:
                break
            found += view
        return bytes(found)

    def write_physical(self, ipa: int, data: bytes) -> bool:
        """Write to an IPA; return False, without a change, unless the whole range is memory."""
        return self._machine.ram.write(ipa, data)

    def _pieces(self, cpu: Cpu, address: int, size: int) -> Iterator[tuple[int | None, int]]:
        """Yield the IPAs of a range of virtual addresses, page by page, with the lengths; None where it is not
        mapped."""
        memory = GuestMemory(_SavedRegisters(cpu), self._machine.host)
        end = min(address + size, _TOP)
        while address < end:
            length = min(PAGE_SIZE - address % PAGE_SIZE, end - address)
            yield memory.translate(address).stage1.output, length
            address += length
