"""What the architecture-neutral layer needs from the host (the crate's ``AxVCpuHal``).

The crate misspells the last method ``irq_hanlder``; here it is ``irq_handler``.
"""

from __future__ import annotations

from typing import Protocol


class AxVCpuHal(Protocol):
    """Frames, address conversion and interrupts of the host. Addresses are integers in bytes."""

    def alloc_frame(self) -> int | None:
        """Allocate one zeroed 4 KiB frame and return its host-physical address, None if none is left."""

    def dealloc_frame(self, paddr: int) -> None:
        """Free a frame that ``alloc_frame`` returned."""

    def phys_to_virt(self, paddr: int) -> int:
        """Return the host-virtual address of a host-physical address."""

    def virt_to_phys(self, vaddr: int) -> int:
        """Return the host-physical address of a host-virtual address."""

    def irq_fetch(self) -> int:
        """Return the number of the interrupt pending at the host, 0 if there is none."""

    def irq_handler(self) -> None:
        """Dispatch the interrupt pending at the host."""
