"""What an architecture must offer: the crate's ``AxArchVCpu`` and ``AxArchPerCpu`` as protocols.

The Rust crate finds the current physical CPU through a hidden register. Here there is no hidden state:
``bind`` is given the physical CPU.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from arm_vcpu_cli.axvcpu.exit import AxVCpuExitReason


class AxArchPerCpu(Protocol):
    """One physical CPU, as far as virtualisation goes."""

    @property
    def cpu_id(self) -> int:
        """The number of the physical CPU."""

    def is_enabled(self) -> bool:
        """Whether virtualisation is switched on."""

    def hardware_enable(self) -> None:
        """Switch virtualisation on. Raises :class:`VCpuError` where it is on already."""

    def hardware_disable(self) -> None:
        """Switch virtualisation off. Raises :class:`VCpuError` where it is off already."""


PerCpuT = TypeVar("PerCpuT", bound=AxArchPerCpu)
PerCpuT_contra = TypeVar("PerCpuT_contra", bound=AxArchPerCpu, contravariant=True)
SetupConfigT_contra = TypeVar("SetupConfigT_contra", contravariant=True)


class AxArchVCpu(Protocol[SetupConfigT_contra, PerCpuT_contra]):
    """One virtual CPU of an architecture.

    Order of calls: construct, ``set_entry``, ``set_ept_root``, ``setup``, then any number of
    ``bind``, ``run`` ..., ``unbind``.
    """

    def set_entry(self, entry: int) -> None:
        """Guest-physical address of the first instruction."""

    def set_ept_root(self, ept_root: int) -> None:
        """Host-physical address of the root of the second-stage translation table."""

    def setup(self, config: SetupConfigT_contra) -> None:
        """Complete the initialisation."""

    def run(self) -> AxVCpuExitReason:
        """Run the guest until it exits."""

    def bind(self, cpu: PerCpuT_contra) -> None:
        """Load the vCPU onto a physical CPU."""

    def unbind(self) -> None:
        """Take the vCPU off its physical CPU."""

    def set_gpr(self, reg: int, value: int) -> None:
        """Set a general-purpose register."""

    def inject_interrupt(self, vector: int) -> None:
        """Make an interrupt pending for the guest."""

    def set_return_value(self, value: int) -> None:
        """Set what the guest sees as the result of its hypercall."""
