"""The layout of every register that running a guest requires, by name (DDI 0487, D24).

They come from several packages, so this module is above those; ``explain.registers`` has the layouts of all registers.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import Register
from arm_vcpu_cli.arch.identification.idregs import ID_LAYOUTS
from arm_vcpu_cli.arch.registers.cacheregs import CACHE_LAYOUTS
from arm_vcpu_cli.arch.registers.el1regs import (
    CntCtl,
    Cntkctl,
    Cpacr,
    Mair,
    Mdscr,
    Mpidr,
    Par,
    ParFault,
    Pmcr,
    Sctlr,
    Spsr,
    Tcr,
    Ttbr,
)
from arm_vcpu_cli.arch.registers.el2regs import Cnthctl, Cptr, Hcr, Hpfar, Mdcr, Scr, Vtcr, Vttbr
from arm_vcpu_cli.arch.registers.gicregs import ICC_LAYOUTS
from arm_vcpu_cli.arch.syndrome.esr import Esr

LAYOUTS: Final[Mapping[str, type[Register]]] = MappingProxyType(
    {
        "HCR_EL2": Hcr,
        "PSTATE": Spsr,
        "SPSR_EL1": Spsr,
        "SPSR_EL2": Spsr,
        "SPSR_EL3": Spsr,
        "VTCR_EL2": Vtcr,
        "VTTBR_EL2": Vttbr,
        "TTBR0_EL1": Ttbr,
        "TTBR1_EL1": Ttbr,
        "MPIDR_EL1": Mpidr,
        "VMPIDR_EL2": Mpidr,
        "SCTLR_EL1": Sctlr,
        "TCR_EL1": Tcr,
        "MAIR_EL1": Mair,
        "CPACR_EL1": Cpacr,
        "CPTR_EL2": Cptr,
        "MDCR_EL2": Mdcr,
        "MDSCR_EL1": Mdscr,
        "SCR_EL3": Scr,
        "CNTHCTL_EL2": Cnthctl,
        "CNTKCTL_EL1": Cntkctl,
        "CNTP_CTL_EL0": CntCtl,
        "CNTV_CTL_EL0": CntCtl,
        "CNTHP_CTL_EL2": CntCtl,
        "PAR_EL1": Par,
        "HPFAR_EL2": Hpfar,
        "PMCR_EL0": Pmcr,
        "ESR_EL1": Esr,
        "ESR_EL2": Esr,
        "ESR_EL3": Esr,
        **ID_LAYOUTS,
        **CACHE_LAYOUTS,
        **ICC_LAYOUTS,
    }
)
"""The layout of each register by name; PAR_EL1 has another one after a failed translation (``layout_of``)."""


def layout_of(name: str, value: int) -> type[Register] | None:
    """Return the layout of a register that has ``value``; None for an unknown register."""
    if name == "PAR_EL1" and Par(value).F:
        return ParFault
    return LAYOUTS.get(name)
