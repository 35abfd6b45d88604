"""A physical CPU with virtualisation (the crate's ``Aarch64PerCpu``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.arch.registers.el2regs import Hcr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.platform import Aarch64Hal
from arm_vcpu_cli.arm_vcpu.vectors import TABLE_ALIGNMENT
from arm_vcpu_cli.engine.port import CpuCore
from arm_vcpu_cli.errors import VCpuError

_HCR_EL2: Final = lookup("HCR_EL2")
_VBAR_EL2: Final = lookup("VBAR_EL2")
HYPERVISOR_HCR: Final = Hcr.of(VM=1, RW=1, IMO=1, FMO=1, TSC=1)
"""HCR_EL2 with virtualisation on and no vCPU loaded yet."""


class Aarch64PerCpu:
    """The virtualisation state of one physical CPU.

    ``hardware_enable`` saves VBAR_EL2, installs the hypervisor's vector table and sets HCR_EL2; ``hardware_disable``
    restores both.
    """

    def __init__(self, cpu_id: int, hal: Aarch64Hal) -> None:
        self._cpu_id = cpu_id
        self._hal = hal
        self._core = hal.core(cpu_id)
        self._irq_handler: Callable[[], None] | None = None
        self._saved: tuple[int, int] | None = None
        self._vectors: int | None = None
        self.loaded: object = None
        """The vCPU whose state the core holds; bound vCPUs take turns."""
        self.cached: object = None
        """The controls behind all cached translations, None if unknown."""
        self.register_irq_handler(hal.irq_handler)

    @property
    def cpu_id(self) -> int:
        """The number of the physical CPU."""
        return self._cpu_id

    @property
    def core(self) -> CpuCore:
        """The CPU core."""
        return self._core

    @property
    def vector_base(self) -> int | None:
        """The host-physical address of the installed vector table, 2 KiB aligned; None while disabled."""
        return self._vectors

    def register_irq_handler(self, handler: Callable[[], None]) -> None:
        """Set the handler for host interrupts. Raises :class:`VCpuError` the second time."""
        if self._irq_handler is not None:
            raise VCpuError(f"physical CPU {self._cpu_id}: an IRQ handler is registered already")
        self._irq_handler = handler

    def dispatch_irq(self) -> None:
        """Call the handler for a host interrupt taken at EL2."""
        if self._irq_handler is None:
            raise VCpuError(f"physical CPU {self._cpu_id}: no IRQ handler is registered")
        self._irq_handler()

    def is_enabled(self) -> bool:
        """Whether HCR_EL2.VM is set."""
        return bool(Hcr(self._core.read_sysreg(_HCR_EL2)).VM)

    def hardware_enable(self) -> None:
        """Switch virtualisation on. Raises :class:`VCpuError` if it is on, or if no frame is left for the vectors."""
        if self.is_enabled():
            raise VCpuError(f"physical CPU {self._cpu_id}: virtualisation is enabled already")
        vectors = self._hal.alloc_frame()
        if vectors is not None and vectors % TABLE_ALIGNMENT:
            self._hal.dealloc_frame(vectors)
            vectors = None
        if vectors is None:
            raise VCpuError(f"physical CPU {self._cpu_id}: no aligned frame for the EL2 vector table")
        self._saved = self._core.read_sysreg(_VBAR_EL2), self._core.read_sysreg(_HCR_EL2)
        self._vectors = vectors
        self._core.write_sysreg(_VBAR_EL2, vectors)
        self._core.write_sysreg(_HCR_EL2, HYPERVISOR_HCR)

    def hardware_disable(self) -> None:
        """Switch virtualisation off, restoring HCR_EL2 and VBAR_EL2. Raises :class:`VCpuError` if it is off."""
        if not self.is_enabled() or self._saved is None or self._vectors is None:
            raise VCpuError(f"physical CPU {self._cpu_id}: virtualisation is not enabled")
        vbar, hcr = self._saved
        self._core.write_sysreg(_HCR_EL2, hcr)
        self._core.write_sysreg(_VBAR_EL2, vbar)
        self._hal.dealloc_frame(self._vectors)
        self._saved = self._vectors = None
