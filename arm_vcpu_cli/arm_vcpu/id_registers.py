"""The ID registers that a guest sees: the core's own, less what the engine announces and cannot do.

HCR_EL2.TID3 traps the whole group (op0 3, op1 0, CRn 0, CRm 1 to 7); what is not listed by the manual reads zero.
"""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.idregs import Aa64Dfr0, Aa64Mmfr1, Aa64Pfr0
from arm_vcpu_cli.arch.sysreg import SysReg, lookup
from arm_vcpu_cli.engine.port import CpuCore
from arm_vcpu_cli.errors import EngineError

_PFR0: Final = lookup("ID_AA64PFR0_EL1")
_DFR0: Final = lookup("ID_AA64DFR0_EL1")
_MMFR1: Final = lookup("ID_AA64MMFR1_EL1")
_AARCH64_CRM: Final = range(4, 8)
_AARCH64_ONLY: Final = 1


def guest_id_registers(core: CpuCore) -> dict[SysReg, int]:
    """Values by register, 64 bits, of everything that TID3 traps."""
    values = {}
    for crm in range(1, 8):
        for op2 in range(8):
            reg = SysReg(3, 0, 0, crm, op2)
            # AArch32 is hidden: its ID registers are UNKNOWN without it, and read zero as under KVM.
            values[reg] = _read(core, reg) if crm in _AARCH64_CRM else 0
    values[_PFR0] = int(Aa64Pfr0(values[_PFR0]).replace(EL0=_AARCH64_ONLY, EL1=_AARCH64_ONLY, EL2=0, EL3=0, GIC=0))
    # Watchpoints never fire, so as few as the field can say (one); there is no usable PMU.
    values[_DFR0] = int(Aa64Dfr0(values[_DFR0]).replace(WRPs=0, PMUVer=0))
    # Without EL2 there is no VHE; limited ordering regions would have to be trapped and are not (HCR_EL2.TLOR).
    values[_MMFR1] = int(Aa64Mmfr1(values[_MMFR1]).replace(VH=0, LO=0))
    return values


def _read(core: CpuCore, reg: SysReg) -> int:
    try:
        return core.read_sysreg(reg)
    except EngineError:
        return 0
