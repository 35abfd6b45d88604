"""The generic interrupt controller, version 3."""

from arm_vcpu_cli.arch.registers.gicregs import ICC_REGISTERS
from arm_vcpu_cli.devices.gic.common.watch import ACKNOWLEDGED, ENDED, INJECTED, RAISED, WITHDRAWN, InterruptWatcher
from arm_vcpu_cli.devices.gic.v3.cpu_interface import CpuInterface
from arm_vcpu_cli.devices.gic.v3.gicv3 import DEFAULT_SPIS, DISTRIBUTOR_SIZE, REDISTRIBUTOR_SIZE, GicV3

__all__ = [
    "ACKNOWLEDGED",
    "DEFAULT_SPIS",
    "DISTRIBUTOR_SIZE",
    "ENDED",
    "ICC_REGISTERS",
    "INJECTED",
    "RAISED",
    "REDISTRIBUTOR_SIZE",
    "WITHDRAWN",
    "CpuInterface",
    "GicV3",
    "InterruptWatcher",
]
