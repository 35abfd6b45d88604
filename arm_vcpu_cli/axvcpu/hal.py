"""What the architecture-neutral layer needs from the system below it (the crate's ``AxVCpuHal``).

The crate spells the last method ``irq_hanlder``; here it is ``irq_handler``.
"""

from __future__ import annotations

from typing import Protocol


class AxVCpuHal(Protocol):
    """Frames, address conversion and interrupts of the host. Addresses are integers in bytes."""

    def alloc_frame(self) -> int | None:
        """Allocate one zeroed 4 KiB frame; its host-physical address, or None when there is none left."""

    def dealloc_frame(self, paddr: int) -> None:
        """Give back a frame that ``alloc_frame`` returned."""

    def phys_to_virt(self, paddr: int) -> int:
        """The host-virtual address of a host-physical address."""

    def virt_to_phys(self, vaddr: int) -> int:
        """The host-physical address of a host-virtual address."""

    def irq_fetch(self) -> int:
        """The number of the interrupt that is pending at the host, 0 where there is none."""

    def irq_handler(self) -> None:
        """Dispatch the interrupt that is pending at the host."""
