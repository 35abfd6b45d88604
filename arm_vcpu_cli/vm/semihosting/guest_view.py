"""A guest's memory as its semihosting calls address it: by arbitrary virtual addresses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from arm_vcpu_cli.arch.translation.descriptor import PAGE_SIZE
from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.arm_vcpu.byte_order import StoppedCpu, data_order
from arm_vcpu_cli.arm_vcpu.guest_memory import GuestMemory
from arm_vcpu_cli.engine.port import CpuCore
from arm_vcpu_cli.errors import MemoryMapError
from arm_vcpu_cli.vm.hosting import MachineHost

_ADDRESSES: Final = 1 << 64
_WORD: Final = 8


class GuestView:
    """The memory as seen by the vCPU ``cpu`` on ``core``, which made the call."""

    def __init__(self, core: CpuCore, host: MachineHost, cpu: StoppedCpu) -> None:
        self._core = core
        self._host = host
        self._cpu = cpu

    def read(self, address: int, size: int) -> bytes:
        """Read ``size`` bytes; fewer if the guest itself could not read them all."""
        found = bytearray()
        while len(found) < size:
            here = min(size - len(found), PAGE_SIZE - address % PAGE_SIZE)
            data = self._core.read_virtual(address, here)
            if data is None:
                break
            found += data
            address = (address + here) % _ADDRESSES
        return bytes(found)

    def write(self, address: int, data: bytes) -> int:
        """Write with the guest's own permissions; return the number of bytes written until they ran out."""
        done = 0
        for paddr, view in self._writable(address, len(data)):
            view[:] = data[done : done + len(view)]
            self._host.forget_code(paddr, len(view))
            done += len(view)
        return done

    def writable(self, address: int, size: int) -> int:
        """The number of ``size`` bytes from an address on that :meth:`write` would write."""
        return sum(len(view) for _, view in self._writable(address, size))

    def _writable(self, address: int, size: int) -> Iterator[tuple[int, memoryview]]:
        """The host-physical address and the bytes of each piece of a range, up to the first that the guest cannot
        write."""
        memory = GuestMemory(self._core, self._host)
        while size:
            here = min(size, PAGE_SIZE - address % PAGE_SIZE)
            paddr = memory.translate(address, access=Access.WRITE).paddr
            if paddr is None:
                return
            try:
                view = self._host.memory(paddr, here)
            except MemoryMapError:
                return
            yield paddr, view
            size -= here
            address = (address + here) % _ADDRESSES

    def words(self, address: int, count: int) -> tuple[int, ...] | None:
        """The fields of a parameter block, 64 bits each; None if there is no memory."""
        data = self.read(address, count * _WORD)
        if len(data) < count * _WORD:
            return None
        order = data_order(self._cpu)
        return tuple(int.from_bytes(data[at : at + _WORD], order) for at in range(0, len(data), _WORD))

    def write_words(self, address: int, *values: int) -> bool:
        """Write fields of 64 bits; return whether there is memory for all of them."""
        order = data_order(self._cpu)
        data = b"".join(value.to_bytes(_WORD, order) for value in values)
        return self.write(address, data) == len(data)

    def string(self, address: int, most: int) -> bytes:
        """A string up to its NUL or the end of memory; at most ``most`` bytes of it."""
        found = bytearray()
        while len(found) < most:
            size = min(most - len(found), PAGE_SIZE - address % PAGE_SIZE)
            head, end, _ = self.read(address, size).partition(b"\0")
            found += head
            if end or len(head) < size:
                break
            address = (address + size) % _ADDRESSES
        return bytes(found)
