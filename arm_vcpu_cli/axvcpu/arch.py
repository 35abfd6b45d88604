"""What an architecture must provide: the crate's ``AxArchVCpu`` and ``AxArchPerCpu`` as protocols.

The Rust crate finds the current physical CPU through a hidden register; here ``bind`` receives the physical CPU.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from arm_vcpu_cli.axvcpu.exit import AxVCpuExitReason


class AxArchPerCpu(Protocol):
    """A physical CPU with regard to virtualisation."""

    @property
    def cpu_id(self) -> int:
        """The number of the physical CPU."""

    def is_enabled(self) -> bool:
        """Whether virtualisation is switched on."""

    def hardware_enable(self) -> None:
        """Switch virtualisation on. Raises :class:`VCpuError` if it is on already."""

    def hardware_disable(self) -> None:
        """Switch virtualisation off. Raises :class:`VCpuError` if it is off already."""


PerCpuT = TypeVar("PerCpuT", bound=AxArchPerCpu)
PerCpuT_contra = TypeVar("PerCpuT_contra", bound=AxArchPerCpu, contravariant=True)
SetupConfigT_contra = TypeVar("SetupConfigT_contra", contravariant=True)


class AxArchVCpu(Protocol[SetupConfigT_contra, PerCpuT_contra]):
    """One virtual CPU of an architecture.

    Order of calls: construct, ``set_entry``, ``set_ept_root``, ``setup``, then any number of
    ``bind``, ``run`` ..., ``unbind``.
    """

    def set_entry(self, entry: int) -> None:
        """Set the guest-physical address of the first instruction."""

    def set_ept_root(self, ept_root: int) -> None:
        """Set the host-physical address of the root of the stage-2 translation table."""

    def setup(self, config: SetupConfigT_contra) -> None:
        """Complete the initialisation."""

    def run(self) -> AxVCpuExitReason:
        """Run the guest until it exits."""

    def bind(self, cpu: PerCpuT_contra) -> None:
        """Load the vCPU onto a physical CPU."""

    def unbind(self) -> None:
        """Take the vCPU off its physical CPU."""

    def set_gpr(self, reg: int, value: int) -> None:
        """Set a general-purpose register to a 64-bit value; 31 is the zero register."""

    def inject_interrupt(self, vector: int) -> None:
        """Make an interrupt pending for the guest."""

    def set_return_value(self, value: int) -> None:
        """Set what the guest sees as the result of its hypercall."""
