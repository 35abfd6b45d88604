"""Features that ID registers announce but no machine description can switch, as data (DDI 0487, A2.2, D24.2).

Exception levels, granules and sizes depend on the parts of a machine; some others need two fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

_PFR0, _PFR1 = "ID_AA64PFR0_EL1", "ID_AA64PFR1_EL1"
_DFR0 = "ID_AA64DFR0_EL1"
_ISAR1, _ISAR2, _ISAR3 = "ID_AA64ISAR1_EL1", "ID_AA64ISAR2_EL1", "ID_AA64ISAR3_EL1"
_MMFR0, _MMFR1, _MMFR2, _MMFR3 = "ID_AA64MMFR0_EL1", "ID_AA64MMFR1_EL1", "ID_AA64MMFR2_EL1", "ID_AA64MMFR3_EL1"
_MMFR4 = "ID_AA64MMFR4_EL1"


class Within(NamedTuple):
    """A field whose value is between two numbers, both included."""

    register: str
    field: str
    least: int
    greatest: int = 15


Condition = tuple[Within, ...]
"""Conditions that must all hold."""


class Fact(NamedTuple):
    """A feature: the version whose list contains it, and conditions, any one of which announces it."""

    since: str
    conditions: tuple[Condition, ...]


def _fact(since: str, *fields: Within) -> Fact:
    return Fact(since, (fields,))


_PAC_FIELDS = ((_ISAR1, "APA"), (_ISAR1, "API"), (_ISAR2, "APA3"))

FEATURE_FACTS: Final[Mapping[str, Fact]] = MappingProxyType(
    {
        **{f"FEAT_AA64EL{level}": _fact("v8.0", Within(_PFR0, f"EL{level}", 1)) for level in range(4)},
        **{f"FEAT_AA32EL{level}": _fact("v8.0", Within(_PFR0, f"EL{level}", 2)) for level in range(4)},
        # The granules of stage 1 are signed fields, 7 the largest number that is not negative.
        "FEAT_TGran4K": _fact("v8.0", Within(_MMFR0, "TGran4", 0, 7)),
        "FEAT_TGran16K": _fact("v8.0", Within(_MMFR0, "TGran16", 1)),
        "FEAT_TGran64K": _fact("v8.0", Within(_MMFR0, "TGran64", 0, 7)),
        "FEAT_GTG": _fact("v8.0", Within(_MMFR0, "TGran4_2", 1)),
        "FEAT_ASID16": _fact("v8.0", Within(_MMFR0, "ASIDBits", 2)),
        "FEAT_MixedEnd": _fact("v8.0", Within(_MMFR0, "BigEnd", 1)),
        "FEAT_MixedEndEL0": Fact("v8.0", ((Within(_MMFR0, "BigEnd", 1),), (Within(_MMFR0, "BigEndEL0", 1),))),
        "FEAT_SpecSEI": _fact("v8.0", Within(_MMFR1, "SpecSEI", 1)),
        "FEAT_CSV2_1p1": _fact("v8.0", Within(_PFR0, "CSV2", 1, 1), Within(_PFR1, "CSV2_frac", 1)),
        "FEAT_CSV2_1p2": _fact("v8.0", Within(_PFR0, "CSV2", 1, 1), Within(_PFR1, "CSV2_frac", 2)),
        "FEAT_TRC_SR": _fact("v8.0", Within(_DFR0, "TraceVer", 1)),
        "FEAT_E2H0": _fact("v8.1", Within(_MMFR1, "VH", 1), Within(_MMFR4, "E2H0", 0, 0)),
        "FEAT_EPAC": Fact("v8.3", tuple((Within(*place, 2, 2),) for place in _PAC_FIELDS)),
        "FEAT_PACQARMA5": _fact("v8.3", Within(_ISAR1, "APA", 1)),
        "FEAT_PACIMP": _fact("v8.3", Within(_ISAR1, "API", 1)),
        "FEAT_PACQARMA3": _fact("v8.3", Within(_ISAR2, "APA3", 1)),
        "FEAT_FPACC_SPEC": _fact("v8.3", Within(_MMFR3, "Spec_FPACC", 1)),
        "FEAT_RASv1p1": Fact(
            "v8.4", ((Within(_PFR0, "RAS", 2),), (Within(_PFR0, "RAS", 1, 1), Within(_PFR1, "RAS_frac", 1)))
        ),
        "FEAT_DoubleFault": _fact("v8.4", Within(_PFR0, "RAS", 2), Within(_PFR0, "EL3", 1)),
        "FEAT_MPAMv1p0": _fact("v8.4", Within(_PFR0, "MPAM", 1, 1), Within(_PFR1, "MPAM_frac", 0, 0)),
        "FEAT_MPAMv0p1": _fact("v8.6", Within(_PFR0, "MPAM", 0, 0), Within(_PFR1, "MPAM_frac", 1)),
        "FEAT_MPAMv1p1": _fact("v8.6", Within(_PFR0, "MPAM", 1), Within(_PFR1, "MPAM_frac", 1)),
        "FEAT_MTE_ASYNC": _fact("v8.5", Within(_PFR1, "MTE", 2), Within(_PFR1, "MTE_frac", 0, 0)),
        "FEAT_EVT_TTLBxS": _fact("v8.2", Within(_MMFR2, "EVT", 2)),
        "FEAT_PAuth_LR": _fact("v9.5", Within(_ISAR3, "PACM", 1)),
    }
)
"""By name. A feature that is also in FEATURES is announced by either."""


class Mandate(NamedTuple):
    """The version from which a feature is mandatory, if all of ``given`` are implemented."""

    version: str
    given: tuple[str, ...] = ()


_EL2, _SIMD, _PMU, _SPE = ("FEAT_AA64EL2",), ("FEAT_AdvSIMD",), ("FEAT_PMUv3",), ("FEAT_SPE",)


def _all(version: str, names: str, given: tuple[str, ...] = ()) -> dict[str, Mandate]:
    return {f"FEAT_{name}": Mandate(version, given) for name in names.split()}


MANDATORY: Final[Mapping[str, Mandate]] = MappingProxyType(
    {
        **_all("v8.1", "CRC32 HPDS LOR LSE PAN"),
        **_all("v8.1", "RDM", _SIMD),
        **_all("v8.1", "VHE", _EL2),
        **_all("v8.1", "Debugv8p1", ("FEAT_VHE",)),
        **_all("v8.1", "PMUv3p1", _PMU),
        **_all("v8.2", "Debugv8p2 DPB PAN2 RAS TTCNP UAO"),
        **_all("v8.2", "XNX", _EL2),
        **_all("v8.3", "LRCPC PAuth"),
        **_all("v8.3", "FCMA JSCVT", _SIMD),
        **_all("v8.4", "Debugv8p4 DIT FlagM IDST LRCPC2 LSE2 RASv1p1 TLBIOS TLBIRANGE TTL"),
        **_all("v8.4", "DotProd", _SIMD),
        **_all("v8.4", "FHM", ("FEAT_FP16",)),
        **_all("v8.4", "S2FWB", _EL2),
        **_all("v8.4", "SEL2", ("FEAT_AA64EL2", "FEAT_AA64EL3")),
        **_all("v8.4", "TTST", ("FEAT_SEL2",)),
        **_all("v8.4", "TRF", ("FEAT_TRC_SR",)),
        **_all("v8.4", "PMUv3p4", _PMU),
        **_all("v8.5", "BTI CSV2 CSV3 DPB2 E0PD FlagM2 SB SPECRES"),
        **_all("v8.5", "FRINTTS", ("FEAT_FP",)),
        **_all("v8.5", "EVT", _EL2),
        **_all("v8.5", "PMUv3p5", _PMU),
        **_all("v8.6", "ECV PAuth2"),
        **_all("v8.6", "BF16 I8MM", _SIMD),
        **_all("v8.6", "FGT", _EL2),
        **_all("v8.7", "PAN3 WFxT XS"),
        **_all("v8.7", "AFP", _SIMD),
        **_all("v8.7", "HCX", _EL2),
        **_all("v8.7", "PMUv3p7", _PMU),
        **_all("v8.7", "SPEv1p2", _SPE),
        **_all("v8.8", "CMOW Debugv8p8 ETS2 HBC MOPS NMI TIDCP1"),
        **_all("v8.8", "PMUv3p8", _PMU),
        **_all("v8.8", "SPEv1p3", _SPE),
        **_all("v8.9", "CLRBHB CSSC Debugv8p9 ECBHB SCTLR2 SPECRES2 TCR2"),
        **_all("v8.9", "FGT2", _EL2),
        **_all("v8.9", "PMUv3p9", _PMU),
        **_all("v8.9", "SPEv1p4", _SPE),
        **_all("v9.0", "SVE2", ("FEAT_SVE",)),
        **_all("v9.3", "BRBEv1p1", ("FEAT_BRBE",)),
        **_all("v9.4", "SVE2p1", ("FEAT_SVE2",)),
        **_all("v9.4", "SME2p1", ("FEAT_SME2",)),
    }
)
"""Armv9.n also mandates everything in Armv8.(n+5) (A2.2)."""
