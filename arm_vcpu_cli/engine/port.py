"""What the hypervisor asks of a CPU core: the port between it and an emulation engine.

A core is one physical CPU that starts at EL2 with everything above it (EL3) set up to stay out of the way.
It executes the guest's EL1 and EL0, walks both stages of translation and raises real exceptions, which arrive
in the hook. Only the hook and the time between two ``run`` calls may touch the state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from arm_vcpu_cli.arch.sysreg import SysReg
from arm_vcpu_cli.engine.layout import CpuState, StateLayout

ExceptionHook = Callable[[int], None]
"""Called with the kind of the exception: 0 synchronous, 1 IRQ, 2 FIQ, 3 SError (the order of a vector table)."""


class CpuCore(Protocol):
    """One physical CPU."""

    @property
    def model(self) -> str:
        """The name of the modelled CPU, such as ``cortex-a72``."""

    @property
    def layout(self) -> StateLayout:
        """Where things lie in a saved state."""

    def new_state(self) -> CpuState:
        """Memory for one saved state, filled with the state of the core as it is now."""

    def saver(self, state: CpuState) -> Callable[[], object]:
        """A function that saves the core's state into ``state`` (a single call, for the exit path)."""

    def restorer(self, state: CpuState) -> Callable[[], object]:
        """A function that loads ``state`` into the core (a single call, for the exit path)."""

    def pstate_writer(self) -> Callable[[int], object]:
        """A function that sets PSTATE and makes the core take notice of a changed Exception level."""

    def read_sysreg(self, reg: SysReg) -> int:
        """The value of a system register as the core holds it. Raises :class:`EngineError` if it has none."""

    def write_sysreg(self, reg: SysReg, value: int) -> None:
        """Write a system register, with the side effects of that register on the core."""

    def set_exception_hook(self, hook: ExceptionHook | None) -> None:
        """Set who is called for every exception that the core takes to EL1 or EL2."""

    def run(self, pc: int) -> None:
        """Execute from ``pc`` until :meth:`stop`. Raises :class:`EngineError` when the engine gives up."""

    def stop(self) -> None:
        """End :meth:`run`. From another thread it stops in mid-instruction: the guest must not be resumed."""

    def map_memory(self, paddr: int, size: int, host_address: int) -> None:
        """Put host memory at a host-physical address; multiples of 4 KiB."""

    def flush_tlb(self) -> None:
        """Forget all cached translations of both stages."""

    def flush_code(self) -> None:
        """Forget translated code, after memory that the guest executes was written from outside."""

    def read_virtual(self, vaddr: int, size: int) -> bytes | None:
        """Read guest memory through both stages as the core is now; None where a translation fails."""

    def fetcher(self) -> Callable[[int], int | None]:
        """A function from a virtual address to the instruction there, a 32-bit word; None where a fetch faults."""

    def translate(self, vaddr: int) -> int | None:
        """The host-physical address of ``vaddr`` for a read, as the core translates it; None if it faults."""

    def close(self) -> None:
        """Release the engine. The mapped host memory must outlive this call."""
