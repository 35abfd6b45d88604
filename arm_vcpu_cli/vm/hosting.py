"""The interface that a machine requires of its host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from arm_vcpu_cli.arm_vcpu.platform import Aarch64Hal
from arm_vcpu_cli.engine.port import CpuCore, MmioWindow


class MachineHost(Aarch64Hal, Protocol):
    """The vCPUs' HAL, plus memory and devices for guests. Addresses and sizes are in bytes."""

    timer_is_due: Callable[[], bool]
    """Whether the guest itself causes the timer interrupt that ends its budget; the machine sets this."""

    @property
    def cpus(self) -> int:
        """The number of physical CPUs."""

    @property
    def cores(self) -> tuple[CpuCore, ...]:
        """The physical CPUs by number."""

    def forget_code(self, paddr: int, size: int) -> None:
        """Discard every physical CPU's translated code for a range that was written from outside."""

    def alloc_guest_memory(self, size: int, ipa: int) -> int:
        """Allocate guest memory to be mapped at ``ipa``; return its host-physical address, aligned for the largest
        blocks.

        Raises :class:`MemoryMapError` if none is left.
        """

    def clear(self, paddr: int, size: int) -> None:
        """Zero whole pages of guest memory, without touching those never used."""

    def add_device(self, size: int, device: MmioWindow) -> int:
        """Map a device into physical memory; return its host-physical address, a multiple of 2 MiB."""

    def close(self) -> None:
        """Release the CPUs, then the memory."""
