"""The stage-1 controls of a PE: a control that its ID registers do not announce is RES0 or reserved, and has no effect
(DDI 0487, D24.2, TCR_EL1 and SCTLR_EL1)."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.identification.idregs import (
    PA_RANGE_BITS,
    Aa64Isar1,
    Aa64Mmfr0,
    Aa64Mmfr1,
    Aa64Mmfr2,
)
from arm_vcpu_cli.arch.registers.el1regs import Sctlr, Tcr
from arm_vcpu_cli.record import Record

_NO_GRANULE: Final = 15
_PAN3: Final = 3
_ACCESS_FLAG, _DIRTY_STATE = 1, 2
_GRANULES_TG0: Final = (12, 16, 14, 16)
_GRANULES_TG1: Final = (12, 14, 12, 16)
"""log2 of the granule by TCR_EL1.TG0 and TG1. A reserved value selects an implemented size."""


class Stage1Controls(Record):
    """The controls that have an effect, as register bits. ``granules`` has the log2 of the page sizes."""

    tcr: int
    sctlr: int
    pa_range: int
    granules: frozenset[int]

    @property
    def pa_bits(self) -> int:
        """The implemented width of physical addresses."""
        return PA_RANGE_BITS[self.pa_range]

    def effective_tcr(self, value: int) -> int:
        """Return TCR_EL1 as the PE applies it."""
        tcr = Tcr(value & self.tcr)
        fields = {"IPS": min(tcr.IPS, self.pa_range)}
        # A size that is not implemented selects one that is.
        if _GRANULES_TG0[tcr.TG0] not in self.granules:
            fields["TG0"] = 0 if 12 in self.granules else 1
        if _GRANULES_TG1[tcr.TG1] not in self.granules:
            fields["TG1"] = 2 if 12 in self.granules else 3
        return int(tcr.replace(**fields))

    def effective_sctlr(self, value: int) -> int:
        """Return SCTLR_EL1 as the PE applies it, as far as translation is concerned."""
        return value & self.sctlr


def stage1_controls(*, mmfr0: int, mmfr1: int, mmfr2: int, isar1: int) -> Stage1Controls:
    """Return the controls of a PE with these ID registers."""
    sizes, features, more = Aa64Mmfr0(mmfr0), Aa64Mmfr1(mmfr1), Aa64Mmfr2(mmfr2)
    authentication = Aa64Isar1(isar1)
    absent = Tcr.of(
        HA=features.HAFDBS < _ACCESS_FLAG,
        HD=features.HAFDBS < _DIRTY_STATE,
        HPD0=not features.HPDS,
        HPD1=not features.HPDS,
        E0PD0=not more.E0PD,
        E0PD1=not more.E0PD,
        TBID0=not (authentication.APA or authentication.API),
        TBID1=not (authentication.APA or authentication.API),
    )
    found = ((12, sizes.TGran4 != _NO_GRANULE), (14, sizes.TGran16 > 0), (16, sizes.TGran64 != _NO_GRANULE))
    return Stage1Controls(
        tcr=~int(absent),
        sctlr=~int(Sctlr.of(EPAN=features.PAN < _PAN3)),
        pa_range=min(sizes.PARange, len(PA_RANGE_BITS) - 1),
        granules=frozenset(size for size, there in found if there),
    )
