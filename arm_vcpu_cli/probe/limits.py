"""What the CPU engine does not do as the manual says, and what a guest sees of it: one table."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Limit(NamedTuple):
    """A limit in one line. ``hidden_in`` names the ID register fields that tell the guest so."""

    topic: str
    text: str
    hidden_in: tuple[str, ...] = ()


LIMITS: Final = (
    Limit(
        "AArch32",
        "Guests run in AArch64 only, at EL1 and at EL0.",
        ("ID_AA64PFR0_EL1.EL1", "ID_AA64PFR0_EL1.EL0"),
    ),
    Limit("Watchpoints", "They never fire.", ("ID_AA64DFR0_EL1.WRPs",)),
    Limit("Performance monitors", "None; their registers trap and are undefined.", ("ID_AA64DFR0_EL1.PMUVer",)),
    Limit("Interrupt controller", "The core has no GIC CPU interface: undefined ICC_* accesses are taken for traps."),
    Limit("FP and SIMD traps", "CPACR_EL1.FPEN and CPTR_EL2.TFP are ignored: FP is always on."),
    Limit("Alignment", "Faults only for exclusives and LSE atomics; SCTLR_EL1.A, SA and PC alignment are ignored."),
    Limit("Virtual timer", "CNTV_* cannot be trapped: the machine executes MRS and MSR of them, without an exit."),
    Limit("WFE and YIELD", "They are no events: HCR_EL2.TWE is ignored."),
    Limit("SError", "HCR_EL2.VSE raises nothing."),
    Limit("Implementation defined", "HCR_EL2.TIDCP traps nothing."),
)
"""In the order in which a guest is likely to notice."""

_NO_EL2: Final = "a virtual machine has neither EL2 nor EL3"
_NO_AARCH32: Final = "AArch32 is not modelled for guests"
_NOT_WORKING: Final = "the core announces it and it does not work"
WHY_HIDDEN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ID_AA64PFR0_EL1.EL3": _NO_EL2,
        "ID_AA64PFR0_EL1.EL2": _NO_EL2,
        "ID_AA64PFR0_EL1.EL1": _NO_AARCH32,
        "ID_AA64PFR0_EL1.EL0": _NO_AARCH32,
        "ID_AA64PFR0_EL1.GIC": "the GIC is the machine's to announce",
        "ID_AA64PFR0_EL1.RAS": _NOT_WORKING,
        "ID_AA64PFR0_EL1.AMU": _NOT_WORKING,
        "ID_AA64PFR0_EL1.DIT": _NOT_WORKING,
        "ID_AA64PFR1_EL1.SSBS": _NOT_WORKING,
        "ID_AA64PFR1_EL1.MTE": _NOT_WORKING,
        "ID_AA64DFR0_EL1.WRPs": "watchpoints never fire; the field cannot say none",
        "ID_AA64DFR0_EL1.PMUVer": "there is no usable PMU",
        "ID_AA64MMFR1_EL1.VH": "without EL2 there is no VHE",
        "ID_AA64MMFR1_EL1.VMIDBits": "without EL2 there are no VMIDs",
        "ID_AA64MMFR1_EL1.LO": "limited ordering regions would have to be trapped",
    }
)
"""Why a guest reads a field otherwise than the core has it, by REGISTER.FIELD."""
