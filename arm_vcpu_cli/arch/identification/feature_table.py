"""The features that values of ID register fields announce, as data (DDI 0487, D24.2 and A2.2, A2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_PFR0, _PFR1, _PFR2 = "ID_AA64PFR0_EL1", "ID_AA64PFR1_EL1", "ID_AA64PFR2_EL1"
_ZFR0, _SMFR0 = "ID_AA64ZFR0_EL1", "ID_AA64SMFR0_EL1"
_DFR0, _DFR1 = "ID_AA64DFR0_EL1", "ID_AA64DFR1_EL1"
_ISAR0, _ISAR1, _ISAR2, _ISAR3 = "ID_AA64ISAR0_EL1", "ID_AA64ISAR1_EL1", "ID_AA64ISAR2_EL1", "ID_AA64ISAR3_EL1"
_MMFR0, _MMFR1, _MMFR2, _MMFR3 = "ID_AA64MMFR0_EL1", "ID_AA64MMFR1_EL1", "ID_AA64MMFR2_EL1", "ID_AA64MMFR3_EL1"
_MMFR4 = "ID_AA64MMFR4_EL1"

FEATURE_FIELDS: Final[Mapping[tuple[str, str], tuple[tuple[int, str, str], ...]]] = MappingProxyType(
    {
        (_PFR0, "FP"): ((0, "FEAT_FP", "v8.0"), (1, "FEAT_FP16", "v8.2")),
        # The two fields are always equal; FEAT_FP16, which is 1 in both, is declared once.
        (_PFR0, "AdvSIMD"): ((0, "FEAT_AdvSIMD", "v8.0"),),
        (_PFR0, "GIC"): ((1, "FEAT_GICv3", "v8.0"), (3, "FEAT_GICv4p1", "v8.0")),
        (_PFR0, "RAS"): ((1, "FEAT_RAS", "v8.2"), (2, "FEAT_RASv1p1", "v8.4"), (3, "FEAT_RASv2", "v8.9")),
        (_PFR0, "SVE"): ((1, "FEAT_SVE", "v8.2"),),
        (_PFR0, "SEL2"): ((1, "FEAT_SEL2", "v8.4"),),
        (_PFR0, "AMU"): ((1, "FEAT_AMUv1", "v8.4"), (2, "FEAT_AMUv1p1", "v8.6")),
        (_PFR0, "DIT"): ((1, "FEAT_DIT", "v8.4"),),
        (_PFR0, "RME"): ((1, "FEAT_RME", "v9.2"),),
        (_PFR0, "CSV2"): ((1, "FEAT_CSV2", "v8.0"), (2, "FEAT_CSV2_2", "v8.0"), (3, "FEAT_CSV2_3", "v8.0")),
        (_PFR0, "CSV3"): ((1, "FEAT_CSV3", "v8.0"),),
        (_PFR1, "BT"): ((1, "FEAT_BTI", "v8.5"),),
        (_PFR1, "SSBS"): ((1, "FEAT_SSBS", "v8.0"), (2, "FEAT_SSBS2", "v8.0")),
        (_PFR1, "MTE"): ((1, "FEAT_MTE", "v8.5"), (2, "FEAT_MTE2", "v8.5"), (3, "FEAT_MTE3", "v8.7")),
        (_PFR1, "SME"): ((1, "FEAT_SME", "v9.2"), (2, "FEAT_SME2", "v9.2")),
        (_PFR1, "RNDR_trap"): ((1, "FEAT_RNG_TRAP", "v8.5"),),
        (_PFR1, "NMI"): ((1, "FEAT_NMI", "v8.8"),),
        (_PFR1, "GCS"): ((1, "FEAT_GCS", "v9.4"),),
        (_PFR1, "THE"): ((1, "FEAT_THE", "v8.9"),),
        (_PFR1, "DF2"): ((1, "FEAT_DoubleFault2", "v8.9"),),
        (_PFR1, "PFAR"): ((1, "FEAT_PFAR", "v8.9"),),
        (_PFR1, "MTEX"): ((1, "FEAT_MTE_CANONICAL_TAGS", "v8.9"),),
        (_PFR2, "MTEPERM"): ((1, "FEAT_MTE_PERM", "v8.9"),),
        (_PFR2, "MTESTOREONLY"): ((1, "FEAT_MTE_STORE_ONLY", "v8.9"),),
        (_PFR2, "MTEFAR"): ((1, "FEAT_MTE_TAGGED_FAR", "v8.9"),),
        (_PFR2, "FPMR"): ((1, "FEAT_FPMR", "v9.5"),),
        (_PFR2, "UINJ"): ((1, "FEAT_UINJ", "v9.6"),),
        (_ZFR0, "SVEver"): ((1, "FEAT_SVE2", "v9.0"), (2, "FEAT_SVE2p1", "v9.4"), (3, "FEAT_SVE2p2", "v9.6")),
        (_ZFR0, "AES"): ((1, "FEAT_SVE_AES", "v9.0"), (2, "FEAT_SVE_PMULL128", "v9.0")),
        (_ZFR0, "BitPerm"): ((1, "FEAT_SVE_BitPerm", "v9.0"),),
        (_ZFR0, "SHA3"): ((1, "FEAT_SVE_SHA3", "v9.0"),),
        (_ZFR0, "SM4"): ((1, "FEAT_SVE_SM4", "v9.0"),),
        (_ZFR0, "B16B16"): ((1, "FEAT_SVE_B16B16", "v9.4"),),
        (_ZFR0, "F32MM"): ((1, "FEAT_F32MM", "v8.2"),),
        (_ZFR0, "F64MM"): ((1, "FEAT_F64MM", "v8.2"),),
        (_SMFR0, "SMEver"): ((2, "FEAT_SME2p1", "v9.4"), (3, "FEAT_SME2p2", "v9.6")),
        (_SMFR0, "FA64"): ((1, "FEAT_SME_FA64", "v9.2"),),
        (_SMFR0, "I16I64"): ((15, "FEAT_SME_I16I64", "v9.2"),),
        (_SMFR0, "F64F64"): ((1, "FEAT_SME_F64F64", "v9.2"),),
        (_SMFR0, "B16B16"): ((1, "FEAT_SME_B16B16", "v9.4"),),
        (_SMFR0, "F16F16"): ((1, "FEAT_SME_F16F16", "v9.4"),),
        (_SMFR0, "F8F16"): ((1, "FEAT_SME_F8F16", "v9.5"),),
        (_SMFR0, "F8F32"): ((1, "FEAT_SME_F8F32", "v9.5"),),
        (_SMFR0, "LUTv2"): ((1, "FEAT_SME_LUTv2", "v9.5"),),
        (_DFR0, "DebugVer"): (
            (7, "FEAT_Debugv8p1", "v8.1"),
            (8, "FEAT_Debugv8p2", "v8.2"),
            (9, "FEAT_Debugv8p4", "v8.4"),
            (10, "FEAT_Debugv8p8", "v8.8"),
            (11, "FEAT_Debugv8p9", "v8.9"),
        ),
        (_DFR0, "PMUVer"): (
            (1, "FEAT_PMUv3", "v8.0"),
            (4, "FEAT_PMUv3p1", "v8.1"),
            (5, "FEAT_PMUv3p4", "v8.4"),
            (6, "FEAT_PMUv3p5", "v8.5"),
            (7, "FEAT_PMUv3p7", "v8.7"),
            (8, "FEAT_PMUv3p8", "v8.8"),
            (9, "FEAT_PMUv3p9", "v8.9"),
        ),
        (_DFR0, "PMSVer"): (
            (1, "FEAT_SPE", "v8.2"),
            (2, "FEAT_SPEv1p1", "v8.3"),
            (3, "FEAT_SPEv1p2", "v8.7"),
            (4, "FEAT_SPEv1p3", "v8.8"),
            (5, "FEAT_SPEv1p4", "v8.9"),
        ),
        (_DFR0, "DoubleLock"): ((0, "FEAT_DoubleLock", "v8.0"),),
        (_DFR0, "TraceFilt"): ((1, "FEAT_TRF", "v8.4"),),
        (_DFR0, "TraceBuffer"): ((1, "FEAT_TRBE", "v9.0"),),
        (_DFR0, "BRBE"): ((1, "FEAT_BRBE", "v9.2"), (2, "FEAT_BRBEv1p1", "v9.3")),
        (_DFR0, "MTPMU"): ((1, "FEAT_MTPMU", "v8.6"),),
        (_DFR0, "HPMN0"): ((1, "FEAT_HPMN0", "v8.8"),),
        (_DFR0, "PMSS"): ((1, "FEAT_PMUv3_SS", "v8.9"),),
        (_DFR0, "SEBEP"): ((1, "FEAT_SEBEP", "v9.4"),),
        (_DFR0, "ExtTrcBuff"): ((1, "FEAT_TRBE_EXT", "v9.4"),),
        (_DFR1, "SPMU"): ((1, "FEAT_SPMU", "v8.9"), (2, "FEAT_SPMU2", "v9.5")),
        (_DFR1, "PMICNTR"): ((1, "FEAT_PMUv3_ICNTR", "v8.9"),),
        (_DFR1, "DPFZS"): ((1, "FEAT_SPE_DPFZS", "v8.7"),),
        (_DFR1, "ABLE"): ((1, "FEAT_ABLE", "v9.4"),),
        (_DFR1, "EBEP"): ((1, "FEAT_EBEP", "v9.4"),),
        (_DFR1, "ITE"): ((1, "FEAT_ITE", "v9.4"),),
        (_ISAR0, "AES"): ((1, "FEAT_AES", "v8.0"), (2, "FEAT_PMULL", "v8.0")),
        (_ISAR0, "SHA1"): ((1, "FEAT_SHA1", "v8.0"),),
        (_ISAR0, "SHA2"): ((1, "FEAT_SHA256", "v8.0"), (2, "FEAT_SHA512", "v8.2")),
        (_ISAR0, "CRC32"): ((1, "FEAT_CRC32", "v8.0"),),
        (_ISAR0, "Atomic"): ((2, "FEAT_LSE", "v8.1"), (3, "FEAT_LSE128", "v9.4")),
        (_ISAR0, "TME"): ((1, "FEAT_TME", "v9.0"),),
        (_ISAR0, "RDM"): ((1, "FEAT_RDM", "v8.1"),),
        (_ISAR0, "SHA3"): ((1, "FEAT_SHA3", "v8.2"),),
        (_ISAR0, "SM3"): ((1, "FEAT_SM3", "v8.2"),),
        (_ISAR0, "SM4"): ((1, "FEAT_SM4", "v8.2"),),
        (_ISAR0, "DP"): ((1, "FEAT_DotProd", "v8.2"),),
        (_ISAR0, "FHM"): ((1, "FEAT_FHM", "v8.2"),),
        (_ISAR0, "TS"): ((1, "FEAT_FlagM", "v8.4"), (2, "FEAT_FlagM2", "v8.5")),
        (_ISAR0, "TLB"): ((1, "FEAT_TLBIOS", "v8.4"), (2, "FEAT_TLBIRANGE", "v8.4")),
        (_ISAR0, "RNDR"): ((1, "FEAT_RNG", "v8.5"),),
        (_ISAR1, "DPB"): ((1, "FEAT_DPB", "v8.2"), (2, "FEAT_DPB2", "v8.5")),
        (_ISAR1, "APA"): (
            (1, "FEAT_PAuth", "v8.3"),
            (3, "FEAT_PAuth2", "v8.6"),
            (4, "FEAT_FPAC", "v8.6"),
            (5, "FEAT_FPACCOMBINE", "v8.6"),
            (6, "FEAT_PAuth_LR", "v9.5"),
        ),
        (_ISAR1, "JSCVT"): ((1, "FEAT_JSCVT", "v8.3"),),
        (_ISAR1, "FCMA"): ((1, "FEAT_FCMA", "v8.3"),),
        (_ISAR1, "LRCPC"): ((1, "FEAT_LRCPC", "v8.3"), (2, "FEAT_LRCPC2", "v8.4"), (3, "FEAT_LRCPC3", "v8.9")),
        (_ISAR1, "FRINTTS"): ((1, "FEAT_FRINTTS", "v8.5"),),
        (_ISAR1, "SB"): ((1, "FEAT_SB", "v8.0"),),
        (_ISAR1, "SPECRES"): ((1, "FEAT_SPECRES", "v8.0"), (2, "FEAT_SPECRES2", "v8.9")),
        (_ISAR1, "BF16"): ((1, "FEAT_BF16", "v8.2"), (2, "FEAT_EBF16", "v9.2")),
        (_ISAR1, "DGH"): ((1, "FEAT_DGH", "v8.0"),),
        (_ISAR1, "I8MM"): ((1, "FEAT_I8MM", "v8.2"),),
        (_ISAR1, "XS"): ((1, "FEAT_XS", "v8.7"),),
        (_ISAR1, "LS64"): ((1, "FEAT_LS64", "v8.7"), (2, "FEAT_LS64_V", "v8.7"), (3, "FEAT_LS64_ACCDATA", "v8.7")),
        (_ISAR2, "WFxT"): ((2, "FEAT_WFxT", "v8.7"),),
        (_ISAR2, "RPRES"): ((1, "FEAT_RPRES", "v8.7"),),
        (_ISAR2, "MOPS"): ((1, "FEAT_MOPS", "v8.8"),),
        (_ISAR2, "BC"): ((1, "FEAT_HBC", "v8.8"),),
        (_ISAR2, "PAC_frac"): ((1, "FEAT_CONSTPACFIELD", "v8.3"),),
        (_ISAR2, "CLRBHB"): ((1, "FEAT_CLRBHB", "v8.0"),),
        (_ISAR2, "RPRFM"): ((1, "FEAT_RPRFM", "v8.9"),),
        (_ISAR2, "CSSC"): ((1, "FEAT_CSSC", "v8.9"),),
        (_ISAR2, "ATS1A"): ((1, "FEAT_ATS1A", "v8.9"),),
        (_ISAR2, "PRFMSLC"): ((1, "FEAT_PRFMSLC", "v8.9"),),
        (_ISAR2, "SYSREG_128"): ((1, "FEAT_SYSREG128", "v9.4"),),
        (_ISAR2, "SYSINSTR_128"): ((1, "FEAT_SYSINSTR128", "v9.4"),),
        (_ISAR2, "LUT"): ((1, "FEAT_LUT", "v9.5"),),
        (_ISAR3, "CPA"): ((1, "FEAT_CPA", "v9.5"), (2, "FEAT_CPA2", "v9.5")),
        (_ISAR3, "FAMINMAX"): ((1, "FEAT_FAMINMAX", "v9.5"),),
        (_ISAR3, "TLBIW"): ((1, "FEAT_TLBIW", "v9.5"),),
        (_MMFR0, "PARange"): ((6, "FEAT_LPA", "v8.2"),),
        (_MMFR0, "TGran4"): ((1, "FEAT_LPA2", "v8.7"),),
        (_MMFR0, "ExS"): ((1, "FEAT_ExS", "v8.5"),),
        (_MMFR0, "FGT"): ((1, "FEAT_FGT", "v8.6"), (2, "FEAT_FGT2", "v8.9")),
        (_MMFR0, "ECV"): ((1, "FEAT_ECV", "v8.6"), (2, "FEAT_ECV_POFF", "v8.6")),
        (_MMFR1, "HAFDBS"): ((1, "FEAT_HAFDBS", "v8.1"), (3, "FEAT_HAFT", "v8.9"), (4, "FEAT_HDBSS", "v9.5")),
        (_MMFR1, "VMIDBits"): ((2, "FEAT_VMID16", "v8.1"),),
        (_MMFR1, "VH"): ((1, "FEAT_VHE", "v8.1"),),
        (_MMFR1, "HPDS"): ((1, "FEAT_HPDS", "v8.1"), (2, "FEAT_HPDS2", "v8.2")),
        (_MMFR1, "LO"): ((1, "FEAT_LOR", "v8.1"),),
        (_MMFR1, "PAN"): ((1, "FEAT_PAN", "v8.1"), (2, "FEAT_PAN2", "v8.2"), (3, "FEAT_PAN3", "v8.7")),
        (_MMFR1, "XNX"): ((1, "FEAT_XNX", "v8.2"),),
        (_MMFR1, "TWED"): ((1, "FEAT_TWED", "v8.6"),),
        (_MMFR1, "ETS"): ((2, "FEAT_ETS2", "v8.0"), (3, "FEAT_ETS3", "v8.0")),
        (_MMFR1, "HCX"): ((1, "FEAT_HCX", "v8.7"),),
        (_MMFR1, "AFP"): ((1, "FEAT_AFP", "v8.7"),),
        (_MMFR1, "nTLBPA"): ((1, "FEAT_nTLBPA", "v8.0"),),
        (_MMFR1, "TIDCP1"): ((1, "FEAT_TIDCP1", "v8.8"),),
        (_MMFR1, "CMOW"): ((1, "FEAT_CMOW", "v8.8"),),
        (_MMFR1, "ECBHB"): ((1, "FEAT_ECBHB", "v8.0"),),
        (_MMFR2, "CnP"): ((1, "FEAT_TTCNP", "v8.2"),),
        (_MMFR2, "UAO"): ((1, "FEAT_UAO", "v8.2"),),
        (_MMFR2, "LSM"): ((1, "FEAT_LSMAOC", "v8.2"),),
        (_MMFR2, "IESB"): ((1, "FEAT_IESB", "v8.2"),),
        (_MMFR2, "VARange"): ((1, "FEAT_LVA", "v8.2"), (2, "FEAT_LVA3", "v9.4")),
        (_MMFR2, "CCIDX"): ((1, "FEAT_CCIDX", "v8.3"),),
        (_MMFR2, "NV"): ((1, "FEAT_NV", "v8.3"), (2, "FEAT_NV2", "v8.4")),
        (_MMFR2, "ST"): ((1, "FEAT_TTST", "v8.4"),),
        (_MMFR2, "AT"): ((1, "FEAT_LSE2", "v8.4"),),
        (_MMFR2, "IDS"): ((1, "FEAT_IDST", "v8.4"),),
        (_MMFR2, "FWB"): ((1, "FEAT_S2FWB", "v8.4"),),
        (_MMFR2, "TTL"): ((1, "FEAT_TTL", "v8.4"),),
        # FEAT_BBM itself has a level 0, which equals a PE without it.
        (_MMFR2, "BBM"): ((1, "FEAT_BBML1", "v8.4"), (2, "FEAT_BBML2", "v8.4")),
        (_MMFR2, "EVT"): ((1, "FEAT_EVT", "v8.2"),),
        (_MMFR2, "E0PD"): ((1, "FEAT_E0PD", "v8.5"),),
        (_MMFR3, "TCRX"): ((1, "FEAT_TCR2", "v8.9"),),
        (_MMFR3, "SCTLRX"): ((1, "FEAT_SCTLR2", "v8.9"),),
        (_MMFR3, "S1PIE"): ((1, "FEAT_S1PIE", "v8.9"),),
        (_MMFR3, "S2PIE"): ((1, "FEAT_S2PIE", "v8.9"),),
        (_MMFR3, "S1POE"): ((1, "FEAT_S1POE", "v8.9"),),
        (_MMFR3, "S2POE"): ((1, "FEAT_S2POE", "v8.9"),),
        (_MMFR3, "AIE"): ((1, "FEAT_AIE", "v8.9"),),
        (_MMFR3, "ADERR"): ((2, "FEAT_ADERR", "v8.9"),),
        (_MMFR3, "ANERR"): ((2, "FEAT_ANERR", "v8.9"),),
        (_MMFR3, "MEC"): ((1, "FEAT_MEC", "v9.3"),),
        (_MMFR3, "D128"): ((1, "FEAT_D128", "v9.4"),),
        (_MMFR4, "ASID2"): ((1, "FEAT_ASID2", "v9.5"),),
        (_MMFR4, "HACDBS"): ((1, "FEAT_HACDBS", "v9.5"),),
        (_MMFR4, "FGWTE3"): ((1, "FEAT_FGWTE3", "v9.5"),),
        (_MMFR4, "E3DSE"): ((1, "FEAT_E3DSE", "v9.5"),),
    }
)
"""By (register, field): the values that announce something, in ascending order, with its name and version."""

ALTERNATIVES: Final[Mapping[tuple[str, str], tuple[tuple[str, str], ...]]] = MappingProxyType(
    {(_ISAR1, "APA"): ((_ISAR1, "API"), (_ISAR2, "APA3"))}
)
"""Fields that announce the same features: for pointer authentication, one for each kind of algorithm."""

ONES_MEAN_NONE: Final = frozenset(
    {
        (_PFR0, "FP"),
        (_PFR0, "AdvSIMD"),
        (_DFR0, "DoubleLock"),
        (_DFR0, "MTPMU"),
        # For PMUVer they mean another kind of PMU, which is not a PMUv3.
        (_DFR0, "PMUVer"),
        (_MMFR0, "TGran4"),
        (_MMFR0, "TGran64"),
    }
)
"""Fields in which all ones mean that the feature, which 0 announces, is absent."""

NEXT_LOWER: Final[Mapping[str, int]] = MappingProxyType(
    {"FEAT_Debugv8p1": 6, "FEAT_LPA": 5, "FEAT_HAFT": 2, "FEAT_GICv4p1": 1, "FEAT_ADERR": 1, "FEAT_ANERR": 1}
)
"""The value below that of a feature, if it has a meaning without a name."""

_SIMD = "FEAT_AdvSIMD"
DEPENDENCIES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "FEAT_FP": (_SIMD,),
        _SIMD: ("FEAT_FP",),
        **dict.fromkeys(
            (
                "FEAT_AES", "FEAT_SHA1", "FEAT_RDM", "FEAT_DotProd", "FEAT_FCMA", "FEAT_JSCVT", "FEAT_FRINTTS",
                "FEAT_BF16", "FEAT_I8MM", "FEAT_AFP", "FEAT_RPRES",
            ),
            (_SIMD,),
        ),
        "FEAT_SHA256": (_SIMD, "FEAT_SHA1"),
        "FEAT_SHA512": ("FEAT_SHA256",),
        "FEAT_SHA3": ("FEAT_SHA256",),
        "FEAT_SM3": (_SIMD, "FEAT_SM4"),
        "FEAT_SM4": (_SIMD, "FEAT_SM3"),
        "FEAT_FP16": ("FEAT_FP",),
        "FEAT_FHM": ("FEAT_FP16",),
        "FEAT_SVE": ("FEAT_FP16", "FEAT_FCMA"),
        **dict.fromkeys(("FEAT_SVE2", "FEAT_F32MM", "FEAT_F64MM"), ("FEAT_SVE",)),
        **dict.fromkeys(("FEAT_SVE_AES", "FEAT_SVE_BitPerm", "FEAT_SVE_SHA3", "FEAT_SVE_SM4"), ("FEAT_SVE2",)),
        "FEAT_SVE_B16B16": ("FEAT_SVE2",),
        "FEAT_SME": ("FEAT_FCMA", "FEAT_FP16", "FEAT_BF16"),
        **dict.fromkeys(
            (
                "FEAT_SME2p1", "FEAT_SME_FA64", "FEAT_SME_I16I64", "FEAT_SME_F64F64", "FEAT_SME_B16B16",
                "FEAT_SME_F16F16", "FEAT_SME_F8F16", "FEAT_SME_F8F32", "FEAT_SME_LUTv2",
            ),
            ("FEAT_SME",),
        ),
        **dict.fromkeys(
            ("FEAT_MTE_CANONICAL_TAGS", "FEAT_MTE_PERM", "FEAT_MTE_STORE_ONLY", "FEAT_MTE_TAGGED_FAR"), ("FEAT_MTE2",)
        ),
        **dict.fromkeys(("FEAT_HPMN0", "FEAT_PMUv3_SS", "FEAT_PMUv3_ICNTR"), ("FEAT_PMUv3",)),
        **dict.fromkeys(("FEAT_SYSREG128", "FEAT_SYSINSTR128"), ("FEAT_D128",)),
        "FEAT_SPE_DPFZS": ("FEAT_SPEv1p2",),
        "FEAT_TRBE_EXT": ("FEAT_TRBE",),
        "FEAT_MEC": ("FEAT_RME",),
        "FEAT_IESB": ("FEAT_RAS",),
        "FEAT_RNG_TRAP": ("FEAT_RNG",),
        "FEAT_CONSTPACFIELD": ("FEAT_PAuth2",),
    }
)  # fmt: skip
"""The features in other fields that a feature needs (A2.2, A2.3)."""

COMPANIONS: Final[Mapping[str, tuple[tuple[str, str, int], ...]]] = MappingProxyType(
    {
        "FEAT_FP16": ((_PFR0, "AdvSIMD", 0),),
        "FEAT_PAuth": ((_ISAR1, "GPA", 0), (_ISAR1, "GPI", 0), (_ISAR2, "GPA3", 0)),
        "FEAT_BF16": ((_ZFR0, "BF16", 0),),
        "FEAT_I8MM": ((_ZFR0, "I8MM", 0),),
        "FEAT_SVE": ((_ZFR0, "BF16", 0), (_ZFR0, "I8MM", 0), (_ZFR0, "B16B16", 0)),
        "FEAT_SME": (
            (_SMFR0, "SMEver", 0),
            *((_SMFR0, name, 0) for name in ("I16I32", "I8I32", "F16F32", "B16F32", "BI32I32", "F32F32")),
        ),
        "FEAT_SME2": ((_SMFR0, "SMEver", 0),),
        "FEAT_MTE": ((_PFR1, "MTE_frac", 0),),
        "FEAT_RAS": ((_PFR1, "RAS_frac", 0),),
        "FEAT_RASv1p1": ((_PFR1, "RAS_frac", 0),),
        "FEAT_D128": ((_MMFR0, "PARange", 6), (_MMFR3, "D128_2", 0)),
        "FEAT_LPA2": ((_MMFR0, "TGran16", 1), (_MMFR0, "TGran4_2", 2), (_MMFR0, "TGran16_2", 2)),
    }
)
"""Further (register, field, value) that are lowered with a feature, and raised with it again."""
