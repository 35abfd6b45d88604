"""The VMM of a machine: completes exits in place with the devices, memory regions and tables of a description."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final, Protocol, TypeVar

from arm_vcpu_cli.arch.registers.constant_registers import ConstantRegister
from arm_vcpu_cli.arch.registers.sysreg import SysReg
from arm_vcpu_cli.arch.smccc import SmcccStatus, to_u64
from arm_vcpu_cli.arm_vcpu.platform import Outcome
from arm_vcpu_cli.axvcpu.exit import AccessFlags, SystemDown
from arm_vcpu_cli.board.description import MemoryRegion, OnFault
from arm_vcpu_cli.devices.bus import Bus
from arm_vcpu_cli.devices.gic.v3 import ICC_REGISTERS, CpuInterface
from arm_vcpu_cli.devices.timer import Handlers
from arm_vcpu_cli.errors import EngineError
from arm_vcpu_cli.vm.semihosting.lazy_service import Call

_T = TypeVar("_T")
_ABSENT_CRN: Final = (9, 11, 15)
"""CRn of the performance monitors' registers, which are hidden from guests, and of implementation defined registers.
Those that exist are among the constants."""
_COUNTER_CRN: Final = 14
_COUNTER_CRM: Final = 8
"""CRn of their counters and of the generic timer's registers, and the lowest CRm of the former."""
_OF_EL0: Final = 3
"""op1 of registers that belong to EL0."""
_INSTRUCTIONS: Final = 1
"""op0 of system instructions: cache and TLB maintenance, address translation."""
_TLB_CRN: Final = 8
"""CRn of TLB maintenance instructions."""
_REMEMBERED: Final = 4096
"""The most addresses in the device cache: a guest that probes them all must not exhaust the host's memory."""


NO_TIMER: Final[Handlers] = MappingProxyType({})
NO_CONSTANTS: Final[Mapping[SysReg, ConstantRegister]] = MappingProxyType({})


class RegisterAccess(Protocol):
    """Read and write access to the guest's own system registers, as provided by a vCPU."""

    def read_sysreg(self, reg: SysReg) -> int:
        """Read the register from the core."""

    def write_sysreg(self, reg: SysReg, value: int) -> None:
        """Write the register, with its side effects."""


class MachinePlatform:
    """Implements the vCPU's :class:`~arm_vcpu_cli.arm_vcpu.platform.Platform` for one machine."""

    def __init__(self, bus: Bus, memory: Sequence[MemoryRegion]) -> None:
        self._memory = tuple(memory)
        self._registers: RegisterAccess | None = None
        self._readers: dict[SysReg, Callable[[], int | None]] = {}
        self._writers: dict[SysReg, Callable[[int], object]] = {}
        self._emulated: frozenset[SysReg] = frozenset()
        self._semihosting: Call | None = None
        self.mmio_read = _reader(bus)
        self.mmio_write = _writer(bus)

    def connect(
        self,
        registers: RegisterAccess,
        *,
        interface: CpuInterface | None = None,
        timer: Handlers = NO_TIMER,
        constants: Mapping[SysReg, ConstantRegister] = NO_CONSTANTS,
        semihosting: Call | None = None,
    ) -> None:
        """Connect the parts that exist only once the vCPU does: its own registers, the GIC's CPU interface, the
        functions for trapped timer registers, the registers that never change, and semihosting."""
        self._registers = registers
        self._semihosting = semihosting
        self._readers = {reg: read for reg, (read, _) in timer.items() if read is not None}
        self._writers = {reg: write for reg, (_, write) in timer.items() if write is not None}
        self._emulated = frozenset(timer).union(constants, () if interface is None else ICC_REGISTERS)
        for reg, constant in constants.items():
            self._readers[reg] = partial(int, constant.value)
            if constant.writable:
                self._writers[reg] = _ignore
        if interface is not None:
            self._readers.update((reg, partial(interface.read, reg)) for reg in ICC_REGISTERS)
            self._writers.update((reg, partial(interface.write, reg)) for reg in ICC_REGISTERS)

    def sysreg_read(self, reg: SysReg) -> int | Outcome:
        """Read an emulated register, or the register itself if the trap exists only for observation."""
        reader = self._readers.get(reg)
        if reader is not None:
            value = reader()
            return Outcome.UNDEFINED if value is None else value
        if self._registers is None or reg in self._emulated or _is_absent(reg) or reg.op0 == _INSTRUCTIONS:
            return Outcome.UNDEFINED
        try:
            return self._registers.read_sysreg(reg)
        except EngineError:
            return Outcome.UNDEFINED

    def sysreg_write(self, reg: SysReg, value: int) -> Outcome:
        """Write an emulated register, or the register itself, as :meth:`sysreg_read` reads it."""
        writer = self._writers.get(reg)
        if writer is not None:
            # The timer's writers return None, those of the GIC whether the register exists.
            return Outcome.UNDEFINED if writer(value) is False else Outcome.DONE
        if self._registers is None or reg in self._emulated or _is_absent(reg):
            return Outcome.UNDEFINED
        if reg.op0 == _INSTRUCTIONS and reg.crn != _TLB_CRN:
            # Maintenance of caches that do not exist. The engine must not execute it: if an address faults, the engine
            # takes a guest exception and abandons all its calling frames.
            return Outcome.DONE
        try:
            self._registers.write_sysreg(reg, value)
        except EngineError:
            return Outcome.UNDEFINED
        return Outcome.DONE

    def page_fault(self, ipa: int, access: AccessFlags) -> Outcome:
        """Apply the memory region's ``on_fault``: an external abort, the end of the run, or (for writes) nothing."""
        region = next((region for region in self._memory if region.base <= ipa < region.base + region.size), None)
        if region is None or region.on_fault is OnFault.ABORT:
            return Outcome.ABORT
        if region.on_fault is OnFault.IGNORE and access is AccessFlags.WRITE:
            return Outcome.DONE
        return Outcome.EXIT if region.on_fault is OnFault.STOP else Outcome.ABORT

    def hypercall(self, number: int, args: tuple[int, ...]) -> int | Outcome:  # noqa: ARG002
        """Return SMCCC's result for an unknown function, because no hypercall is defined."""
        return to_u64(SmcccStatus.NOT_SUPPORTED)

    def semihosting(self, operation: int, parameter: int) -> int | SystemDown | Outcome:
        """Handle HLT #0xF000, if the machine has semihosting."""
        if self._semihosting is None:
            return Outcome.UNDEFINED
        return self._semihosting(operation, parameter)


def _is_absent(reg: SysReg) -> bool:
    return reg.crn in _ABSENT_CRN or (reg.crn == _COUNTER_CRN and reg.op1 == _OF_EL0 and reg.crm >= _COUNTER_CRM)


def _ignore(_value: int) -> None:
    """Write a register that never changes."""


def _reader(bus: Bus) -> Callable[[int, int], int | Outcome]:
    # Guests use few registers: the device at an address is looked up once and cached.
    known: dict[int, tuple[Callable[[int, int], int], int, int]] = {}
    miss = Outcome.ABORT

    def mmio_read(ipa: int, width: int) -> int | Outcome:
        found = known.get(ipa)
        if found is None:
            window = bus.find(ipa, 1)
            if window is None:
                return miss
            found = (window.device.read, ipa - window.base, window.end - ipa)
            _remember(known, ipa, found)
        read, offset, room = found
        return read(offset, width) if width <= room else miss

    return mmio_read


def _writer(bus: Bus) -> Callable[[int, int, int], Outcome]:
    known: dict[int, tuple[Callable[[int, int, int], None], int, int]] = {}
    miss, done = Outcome.ABORT, Outcome.DONE

    def mmio_write(ipa: int, width: int, value: int) -> Outcome:
        found = known.get(ipa)
        if found is None:
            window = bus.find(ipa, 1)
            if window is None:
                return miss
            found = (window.device.write, ipa - window.base, window.end - ipa)
            _remember(known, ipa, found)
        write, offset, room = found
        if width > room:
            return miss
        write(offset, width, value)
        return done

    return mmio_write


def _remember(known: dict[int, _T], ipa: int, found: _T) -> None:
    if len(known) >= _REMEMBERED:
        known.clear()
    known[ipa] = found
