"""The generic interrupt controller, version 3."""

from arm_vcpu_cli.arch.gicregs import ICC_REGISTERS
from arm_vcpu_cli.devices.gicv3.cpu_interface import CpuInterface
from arm_vcpu_cli.devices.gicv3.gic import DEFAULT_SPIS, DISTRIBUTOR_SIZE, REDISTRIBUTOR_SIZE, GicV3

__all__ = ["DEFAULT_SPIS", "DISTRIBUTOR_SIZE", "ICC_REGISTERS", "REDISTRIBUTOR_SIZE", "CpuInterface", "GicV3"]
