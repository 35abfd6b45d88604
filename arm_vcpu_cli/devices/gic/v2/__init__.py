"""The generic interrupt controller, version 2."""

from arm_vcpu_cli.devices.gic.v2.banked_distributor import Distributor
from arm_vcpu_cli.devices.gic.v2.gicv2 import CPU_INTERFACE_SIZE, DEFAULT_SPIS, DISTRIBUTOR_SIZE, GicV2
from arm_vcpu_cli.devices.gic.v2.mmio_interface import CpuInterface

__all__ = ["CPU_INTERFACE_SIZE", "DEFAULT_SPIS", "DISTRIBUTOR_SIZE", "CpuInterface", "Distributor", "GicV2"]
