"""What a machine needs from its host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from arm_vcpu_cli.arm_vcpu.platform import Aarch64Hal
from arm_vcpu_cli.engine.port import CpuCore, MmioWindow


class MachineHost(Aarch64Hal, Protocol):
    """The vCPUs' HAL, plus memory and devices for guests. Addresses and sizes are in bytes."""

    timer_is_due: Callable[[], bool]
    """Whether the timer that ends a guest's budget is one that the guest causes; the machine says so."""

    @property
    def cpus(self) -> int:
        """How many physical CPUs there are."""

    @property
    def cores(self) -> tuple[CpuCore, ...]:
        """The physical CPUs by number."""

    def forget_code(self, paddr: int, size: int) -> None:
        """Have every physical CPU forget translated code of a range that was written from outside."""

    def alloc_guest_memory(self, size: int, ipa: int) -> int:
        """Memory for a guest that will be mapped at ``ipa``; its host-physical address, which suits the largest blocks.

        Raises :class:`MemoryMapError` where there is none left.
        """

    def clear(self, paddr: int, size: int) -> None:
        """Make guest memory zero, without touching what was never used; whole pages."""

    def add_device(self, size: int, device: MmioWindow) -> int:
        """Put a device into physical memory; its host-physical address, a multiple of 2 MiB."""

    def close(self) -> None:
        """Release the CPUs, then the memory."""
