"""armvcpu: AArch64 guests at EL1 under a modelled EL2.

The Rust crates arm_vcpu and axvcpu in Python, over the Unicorn engine. The names below are the library; see the
README for an example that runs a guest with an exit loop of its own.
"""

from __future__ import annotations

from arm_vcpu_cli.arch.descriptor import Stage2Attributes
from arm_vcpu_cli.arch.memtype import MemoryType
from arm_vcpu_cli.arm_vcpu.config import Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig
from arm_vcpu_cli.arm_vcpu.context_frame import GuestSystemRegisters, TrapFrame
from arm_vcpu_cli.arm_vcpu.pcpu import Aarch64PerCpu
from arm_vcpu_cli.arm_vcpu.platform import ExitToCaller, Outcome, Platform
from arm_vcpu_cli.arm_vcpu.smc import SecureMonitor, smc_call
from arm_vcpu_cli.arm_vcpu.stage2 import Stage2AddressSpace
from arm_vcpu_cli.arm_vcpu.vcpu import Aarch64VCpu
from arm_vcpu_cli.arm_vcpu.vectors import TrapKind, TrapSource, VectorTable
from arm_vcpu_cli.axvcpu.arch import AxArchPerCpu, AxArchVCpu
from arm_vcpu_cli.axvcpu.exit import (
    AccessFlags,
    AccessWidth,
    AxVCpuExitReason,
    CpuDown,
    CpuUp,
    ExternalInterrupt,
    FailEntry,
    Halt,
    Hypercall,
    IoRead,
    IoWrite,
    MmioRead,
    MmioWrite,
    NestedPageFault,
    Nothing,
    PowerAction,
    SendIPI,
    SysRegRead,
    SysRegWrite,
    SystemDown,
)
from arm_vcpu_cli.axvcpu.hal import AxVCpuHal
from arm_vcpu_cli.axvcpu.vcpu import AxPerCpu, AxVCpu, VCpuState
from arm_vcpu_cli.errors import ArmVcpuError
from arm_vcpu_cli.guest.loader import load_guest
from arm_vcpu_cli.machine.host import Host
from arm_vcpu_cli.machine.support import has_hardware_support

__all__ = [
    "Aarch64PerCpu",
    "Aarch64VCpu",
    "Aarch64VCpuCreateConfig",
    "Aarch64VCpuSetupConfig",
    "AccessFlags",
    "AccessWidth",
    "ArmVcpuError",
    "AxArchPerCpu",
    "AxArchVCpu",
    "AxPerCpu",
    "AxVCpu",
    "AxVCpuExitReason",
    "AxVCpuHal",
    "CpuDown",
    "CpuUp",
    "ExitToCaller",
    "ExternalInterrupt",
    "FailEntry",
    "GuestSystemRegisters",
    "Halt",
    "Host",
    "Hypercall",
    "IoRead",
    "IoWrite",
    "MemoryType",
    "MmioRead",
    "MmioWrite",
    "NestedPageFault",
    "Nothing",
    "Outcome",
    "Platform",
    "PowerAction",
    "SecureMonitor",
    "SendIPI",
    "Stage2AddressSpace",
    "Stage2Attributes",
    "SysRegRead",
    "SysRegWrite",
    "SystemDown",
    "TrapFrame",
    "TrapKind",
    "TrapSource",
    "VCpuState",
    "VectorTable",
    "has_hardware_support",
    "load_guest",
    "smc_call",
]
