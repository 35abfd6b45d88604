"""System registers of a modelled CPU that always read as the same value.

These are the debug communication channel, to which nothing is connected, and the implementation defined registers that
kernels and firmware read at EL1 (the CPUs' technical reference manuals, DDI 0500, DDI 0488 and 100095, "AArch64
implementation defined registers"). Writes of those that can be written are ignored: ACTLR_EL2 and ACTLR_EL3 let EL1
write none of the latter after a reset, and there is no firmware that could permit it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup
from arm_vcpu_cli.record import Record


class ConstantRegister(Record):
    """``value`` is what a read returns; ``writable``: a write is ignored rather than undefined."""

    value: int
    writable: bool = True


_ZERO: Final = ConstantRegister(0)
_CLAIM_TAGS: Final = 0xFF
"""DBGCLAIMSET_EL1 always reads as the tags that exist."""
_NO_DEBUGGER: Final = 0xAA
"""DBGAUTHSTATUS_EL1: all four kinds of external debug are implemented and disabled."""

_DEBUG: Final[Mapping[SysReg, ConstantRegister]] = MappingProxyType(
    {
        **{
            lookup(name): _ZERO
            for name in (
                *("MDCCINT_EL1", "DBGDTR_EL0", "DBGDTRRX_EL0", "OSDTRRX_EL1", "OSDTRTX_EL1", "OSECCR_EL1"),
                *("OSDLR_EL1", "DBGPRCR_EL1", "DBGCLAIMCLR_EL1"),
            )
        },
        lookup("MDCCSR_EL0"): ConstantRegister(0, writable=False),
        lookup("DBGCLAIMSET_EL1"): ConstantRegister(_CLAIM_TAGS),
        lookup("DBGAUTHSTATUS_EL1"): ConstantRegister(_NO_DEBUGGER, writable=False),
    }
)

_L2ACTLR, _CPUACTLR, _CPUECTLR, _CPUMERRSR, _L2MERRSR, _CBAR = (
    SysReg(3, 1, 15, crm, op2) for crm, op2 in ((0, 0), (2, 0), (2, 1), (2, 2), (2, 3), (3, 0))
)
_L2CTLR, _L2ECTLR = (SysReg(3, 1, 11, 0, op2) for op2 in (2, 3))
_CPUS_PLACE: Final = 24
_MOST_CPUS: Final = 4
"""A cluster of these CPUs has at most four, and L2CTLR_EL1[25:24] is their number minus one."""

_BOTH_PREFETCHES_FURTHEST: Final = 0x1B_0000_0000
_DEVICE_BUS: Final = 0x10
_RESET: Final[Mapping[str, Mapping[SysReg, int]]] = MappingProxyType(
    {
        "cortex-a53": {_CPUACTLR: 0x090C_A000, _L2ACTLR: 0x8000_0000},
        "cortex-a57": {_CPUECTLR: _BOTH_PREFETCHES_FURTHEST, _L2ACTLR: _DEVICE_BUS},
        "cortex-a72": {_CPUECTLR: _BOTH_PREFETCHES_FURTHEST, _L2ACTLR: _DEVICE_BUS},
    }
)
"""Registers that do not read as zero after a reset, by model."""


def constant_registers(model: str, cluster: int) -> dict[SysReg, ConstantRegister]:
    """Return the constant registers of a CPU model, in a cluster of ``cluster`` CPUs. Models that are not listed add
    none."""
    registers = dict(_DEBUG)
    reset = _RESET.get(model)
    if reset is not None:
        for reg in (_CPUACTLR, _CPUECTLR, _CPUMERRSR, _L2MERRSR, _L2ECTLR, _L2ACTLR):
            registers[reg] = ConstantRegister(reset.get(reg, 0))
        registers[_L2CTLR] = ConstantRegister(min(cluster, _MOST_CPUS) - 1 << _CPUS_PLACE)
        # The base of a GIC's memory-mapped CPU interface, where the implementation has one.
        registers[_CBAR] = ConstantRegister(0, writable=False)
    return registers
