"""The interfaces below and above a vCPU: the host that it runs on, and the VMM that completes its exits in place."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from arm_vcpu_cli.arch.registers.sysreg import SysReg
from arm_vcpu_cli.axvcpu.exit import AccessFlags, SystemDown
from arm_vcpu_cli.axvcpu.hal import AxVCpuHal
from arm_vcpu_cli.engine.port import CpuCore


class Aarch64Hal(AxVCpuHal, Protocol):
    """The host of AArch64 vCPUs: the neutral HAL, plus physical CPUs and access to physical memory."""

    def core(self, cpu_id: int) -> CpuCore:
        """Return the physical CPU of that number. Raises :class:`VCpuError` if there is none."""

    def flush_tlbs(self) -> None:
        """Make every physical CPU invalidate its cached translations, because shared tables have changed."""

    def alloc_frames(self, count: int) -> int | None:
        """Allocate contiguous zeroed 4 KiB frames, aligned to their total size; None if too few are left."""

    def memory(self, paddr: int, size: int) -> memoryview:
        """Return a writable view of a host-physical range. Raises :class:`MemoryMapError` where there is no memory."""


class Outcome(Enum):
    """The outcome of a VMM's handler of an exit."""

    DONE = "done"
    """Completed; the guest resumes."""
    EXIT = "exit"
    """Not handled by the VMM: ``run()`` returns the exit to its caller."""
    ABORT = "abort"
    """Nothing responds there: the guest takes a synchronous external abort."""
    UNDEFINED = "undefined"
    """No such register: the guest takes an Undefined Instruction exception."""


class Platform(Protocol):
    """The VMM's handlers of exits that are completed without leaving ``run()``.

    Addresses are IPAs in bytes, widths are 1, 2, 4 or 8 bytes, values are unsigned.
    """

    def mmio_read(self, ipa: int, width: int) -> int | Outcome:
        """Read a device; return the value, or another outcome."""

    def mmio_write(self, ipa: int, width: int, value: int) -> Outcome:
        """Write a device."""

    def sysreg_read(self, reg: SysReg) -> int | Outcome:
        """Read a trapped system register."""

    def sysreg_write(self, reg: SysReg, value: int) -> Outcome:
        """Write a trapped system register."""

    def page_fault(self, ipa: int, access: AccessFlags) -> Outcome:
        """Handle an access refused by stage 2: no permission, or a fetch where nothing is mapped. DONE skips a
        write."""

    def hypercall(self, number: int, args: tuple[int, ...]) -> int | Outcome:
        """Handle a call that is neither PSCI nor SMCCC's own; return the value for x0."""

    def semihosting(self, operation: int, parameter: int) -> int | SystemDown | Outcome:
        """Handle HLT #0xF000; return UNDEFINED if the machine has no semihosting."""


class ExitToCaller:
    """A platform that completes nothing: ``run()`` returns every such exit."""

    def mmio_read(self, ipa: int, width: int) -> int | Outcome:  # noqa: ARG002
        """Return MmioRead from ``run()``."""
        return Outcome.EXIT

    def mmio_write(self, ipa: int, width: int, value: int) -> Outcome:  # noqa: ARG002
        """Return MmioWrite from ``run()``."""
        return Outcome.EXIT

    def sysreg_read(self, reg: SysReg) -> int | Outcome:  # noqa: ARG002
        """Return SysRegRead from ``run()``."""
        return Outcome.EXIT

    def sysreg_write(self, reg: SysReg, value: int) -> Outcome:  # noqa: ARG002
        """Return SysRegWrite from ``run()``."""
        return Outcome.EXIT

    def page_fault(self, ipa: int, access: AccessFlags) -> Outcome:  # noqa: ARG002
        """Return NestedPageFault from ``run()``."""
        return Outcome.EXIT

    def hypercall(self, number: int, args: tuple[int, ...]) -> int | Outcome:  # noqa: ARG002
        """Return Hypercall from ``run()``."""
        return Outcome.EXIT

    def semihosting(self, operation: int, parameter: int) -> int | SystemDown | Outcome:  # noqa: ARG002
        """Refuse the call: HLT is an undefined instruction."""
        return Outcome.UNDEFINED
