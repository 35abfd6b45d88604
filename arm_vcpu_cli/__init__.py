"""armvcpu: AArch64 guests at EL1 under a modelled EL2.

The Rust crates arm_vcpu and axvcpu in Python, over the Unicorn engine. The names below are the library; the manual's
topic ``library`` has an example that runs a guest with its own exit loop.

Importing the package loads nothing else: each name loads its module on first use (PEP 562).
"""

from __future__ import annotations

from importlib import import_module

# Every type checker assumes that a constant of this name is true. Importing the typing module would take most of the
# time that an import of this package takes.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from arm_vcpu_cli.api import Machine
    from arm_vcpu_cli.arch.registers.sysreg import SysReg
    from arm_vcpu_cli.arch.translation.descriptor import Stage2Attributes
    from arm_vcpu_cli.arch.translation.memtype import MemoryType
    from arm_vcpu_cli.arm_vcpu.config import Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig
    from arm_vcpu_cli.arm_vcpu.context_frame import GuestSystemRegisters, TrapFrame
    from arm_vcpu_cli.arm_vcpu.observer import El1ExceptionRecord, ExitObserver, ExitRecord, SilentObserver
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
    from arm_vcpu_cli.devices.bus import Bus, MmioDevice
    from arm_vcpu_cli.devices.gic.controller import InterruptController
    from arm_vcpu_cli.devices.gic.v2.gicv2 import GicV2
    from arm_vcpu_cli.devices.gic.v3.gicv3 import GicV3
    from arm_vcpu_cli.devices.irq import IrqLine
    from arm_vcpu_cli.errors import ArmVcpuError
    from arm_vcpu_cli.guest.loader import load_guest
    from arm_vcpu_cli.host.console import Console
    from arm_vcpu_cli.host.hardware_support import has_hardware_support
    from arm_vcpu_cli.host.machine_host import Host
    from arm_vcpu_cli.inspect.virtual_cpu import VirtualCpu
    from arm_vcpu_cli.observe.tracing import Tracer
    from arm_vcpu_cli.observe.tracing_options import TraceOptions
    from arm_vcpu_cli.trace.jsonlines import JsonLinesSink
    from arm_vcpu_cli.trace.selection import Selection
    from arm_vcpu_cli.trace.sinks import TraceSink
    from arm_vcpu_cli.trace.text import TextSink
    from arm_vcpu_cli.vm.conversation import ExpectationError
    from arm_vcpu_cli.vm.cpu import Activity
    from arm_vcpu_cli.vm.endings import Ending
    from arm_vcpu_cli.vm.forked import Child, ChildError
    from arm_vcpu_cli.vm.outcome import Result

_MODULES: Final = {
    "Aarch64PerCpu": "arm_vcpu_cli.arm_vcpu.pcpu",
    "Aarch64VCpu": "arm_vcpu_cli.arm_vcpu.vcpu",
    "Aarch64VCpuCreateConfig": "arm_vcpu_cli.arm_vcpu.config",
    "Aarch64VCpuSetupConfig": "arm_vcpu_cli.arm_vcpu.config",
    "AccessFlags": "arm_vcpu_cli.axvcpu.exit",
    "AccessWidth": "arm_vcpu_cli.axvcpu.exit",
    "Activity": "arm_vcpu_cli.vm.cpu",
    "ArmVcpuError": "arm_vcpu_cli.errors",
    "AxArchPerCpu": "arm_vcpu_cli.axvcpu.arch",
    "AxArchVCpu": "arm_vcpu_cli.axvcpu.arch",
    "AxPerCpu": "arm_vcpu_cli.axvcpu.vcpu",
    "AxVCpu": "arm_vcpu_cli.axvcpu.vcpu",
    "AxVCpuExitReason": "arm_vcpu_cli.axvcpu.exit",
    "AxVCpuHal": "arm_vcpu_cli.axvcpu.hal",
    "Bus": "arm_vcpu_cli.devices.bus",
    "Child": "arm_vcpu_cli.vm.forked",
    "ChildError": "arm_vcpu_cli.vm.forked",
    "Console": "arm_vcpu_cli.host.console",
    "CpuDown": "arm_vcpu_cli.axvcpu.exit",
    "CpuUp": "arm_vcpu_cli.axvcpu.exit",
    "El1ExceptionRecord": "arm_vcpu_cli.arm_vcpu.observer",
    "Ending": "arm_vcpu_cli.vm.endings",
    "ExitObserver": "arm_vcpu_cli.arm_vcpu.observer",
    "ExitRecord": "arm_vcpu_cli.arm_vcpu.observer",
    "ExitToCaller": "arm_vcpu_cli.arm_vcpu.platform",
    "ExpectationError": "arm_vcpu_cli.vm.conversation",
    "ExternalInterrupt": "arm_vcpu_cli.axvcpu.exit",
    "FailEntry": "arm_vcpu_cli.axvcpu.exit",
    "GicV2": "arm_vcpu_cli.devices.gic.v2.gicv2",
    "GicV3": "arm_vcpu_cli.devices.gic.v3.gicv3",
    "GuestSystemRegisters": "arm_vcpu_cli.arm_vcpu.context_frame",
    "Halt": "arm_vcpu_cli.axvcpu.exit",
    "Host": "arm_vcpu_cli.host.machine_host",
    "Hypercall": "arm_vcpu_cli.axvcpu.exit",
    "InterruptController": "arm_vcpu_cli.devices.gic.controller",
    "IoRead": "arm_vcpu_cli.axvcpu.exit",
    "IoWrite": "arm_vcpu_cli.axvcpu.exit",
    "IrqLine": "arm_vcpu_cli.devices.irq",
    "JsonLinesSink": "arm_vcpu_cli.trace.jsonlines",
    "Machine": "arm_vcpu_cli.api",
    "MemoryType": "arm_vcpu_cli.arch.translation.memtype",
    "MmioDevice": "arm_vcpu_cli.devices.bus",
    "MmioRead": "arm_vcpu_cli.axvcpu.exit",
    "MmioWrite": "arm_vcpu_cli.axvcpu.exit",
    "NestedPageFault": "arm_vcpu_cli.axvcpu.exit",
    "Nothing": "arm_vcpu_cli.axvcpu.exit",
    "Outcome": "arm_vcpu_cli.arm_vcpu.platform",
    "Platform": "arm_vcpu_cli.arm_vcpu.platform",
    "PowerAction": "arm_vcpu_cli.axvcpu.exit",
    "Result": "arm_vcpu_cli.vm.outcome",
    "SecureMonitor": "arm_vcpu_cli.arm_vcpu.smc",
    "Selection": "arm_vcpu_cli.trace.selection",
    "SendIPI": "arm_vcpu_cli.axvcpu.exit",
    "SilentObserver": "arm_vcpu_cli.arm_vcpu.observer",
    "Stage2AddressSpace": "arm_vcpu_cli.arm_vcpu.stage2",
    "Stage2Attributes": "arm_vcpu_cli.arch.translation.descriptor",
    "SysReg": "arm_vcpu_cli.arch.registers.sysreg",
    "SysRegRead": "arm_vcpu_cli.axvcpu.exit",
    "SysRegWrite": "arm_vcpu_cli.axvcpu.exit",
    "SystemDown": "arm_vcpu_cli.axvcpu.exit",
    "TextSink": "arm_vcpu_cli.trace.text",
    "TraceOptions": "arm_vcpu_cli.observe.tracing_options",
    "TraceSink": "arm_vcpu_cli.trace.sinks",
    "Tracer": "arm_vcpu_cli.observe.tracing",
    "TrapFrame": "arm_vcpu_cli.arm_vcpu.context_frame",
    "TrapKind": "arm_vcpu_cli.arm_vcpu.vectors",
    "TrapSource": "arm_vcpu_cli.arm_vcpu.vectors",
    "VCpuState": "arm_vcpu_cli.axvcpu.vcpu",
    "VectorTable": "arm_vcpu_cli.arm_vcpu.vectors",
    "VirtualCpu": "arm_vcpu_cli.inspect.virtual_cpu",
    "has_hardware_support": "arm_vcpu_cli.host.hardware_support",
    "load_guest": "arm_vcpu_cli.guest.loader",
    "smc_call": "arm_vcpu_cli.arm_vcpu.smc",
}
"""Public name -> the module that defines it."""

__all__ = [
    "Aarch64PerCpu",
    "Aarch64VCpu",
    "Aarch64VCpuCreateConfig",
    "Aarch64VCpuSetupConfig",
    "AccessFlags",
    "AccessWidth",
    "Activity",
    "ArmVcpuError",
    "AxArchPerCpu",
    "AxArchVCpu",
    "AxPerCpu",
    "AxVCpu",
    "AxVCpuExitReason",
    "AxVCpuHal",
    "Bus",
    "Child",
    "ChildError",
    "Console",
    "CpuDown",
    "CpuUp",
    "El1ExceptionRecord",
    "Ending",
    "ExitObserver",
    "ExitRecord",
    "ExitToCaller",
    "ExpectationError",
    "ExternalInterrupt",
    "FailEntry",
    "GicV2",
    "GicV3",
    "GuestSystemRegisters",
    "Halt",
    "Host",
    "Hypercall",
    "InterruptController",
    "IoRead",
    "IoWrite",
    "IrqLine",
    "JsonLinesSink",
    "Machine",
    "MemoryType",
    "MmioDevice",
    "MmioRead",
    "MmioWrite",
    "NestedPageFault",
    "Nothing",
    "Outcome",
    "Platform",
    "PowerAction",
    "Result",
    "SecureMonitor",
    "Selection",
    "SendIPI",
    "SilentObserver",
    "Stage2AddressSpace",
    "Stage2Attributes",
    "SysReg",
    "SysRegRead",
    "SysRegWrite",
    "SystemDown",
    "TextSink",
    "TraceOptions",
    "TraceSink",
    "Tracer",
    "TrapFrame",
    "TrapKind",
    "TrapSource",
    "VCpuState",
    "VectorTable",
    "VirtualCpu",
    "has_hardware_support",
    "load_guest",
    "smc_call",
]

if not TYPE_CHECKING:
    # A type checker that saw this would accept every name.
    def __getattr__(name: str) -> Any:
        """Return the public name ``name`` from its module. Raises AttributeError for any other name."""
        module = _MODULES.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(module), name)


def __dir__() -> list[str]:
    """Return the names loaded so far and all public names."""
    return sorted({*globals(), *__all__})
