"""The identification registers of the AArch64 side, which describe a PE (DDI 0487, D24.2).

A field of four bits counts up with the feature; the names state what each value adds. 0b1111 means "not implemented" in
the fields where 0 means "implemented" (FP, AdvSIMD, the granules).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import Field, Register
from arm_vcpu_cli.arch.registers.fieldvalues import PA_SIZE, PA_SIZE_BITS

# The manual's field names are kept verbatim, also where they are mixedCase.
# ruff: noqa: N815

EL_STATES: Final[Mapping[int, str]] = MappingProxyType({0: "none", 1: "AArch64", 2: "AArch64 and AArch32"})
PA_RANGE_BITS: Final = tuple(bits for bits in PA_SIZE_BITS if bits <= 52)
"""The widths of physical addresses that the tables here support, by PARange; 56 bits need FEAT_D128."""


class Midr(Register):
    """MIDR_EL1 and VPIDR_EL2, 32 bits used."""

    Implementer = Field(
        31,
        24,
        values={0x41: "Arm", 0x46: "Fujitsu", 0x51: "Qualcomm", 0x61: "Apple", 0xC0: "Ampere"},
        words="implementer",
    )
    Variant = Field(23, 20, words="major revision (rN)")
    Architecture = Field(19, 16, words="0xf: see the ID registers")
    PartNum = Field(15, 4, words="part number")
    Revision = Field(3, 0, words="minor revision (pN)")


class Aa64Pfr0(Register):
    """ID_AA64PFR0_EL1."""

    CSV3 = Field(63, 60)
    CSV2 = Field(59, 56)
    RME = Field(55, 52)
    DIT = Field(51, 48)
    AMU = Field(47, 44, values={0: "none", 1: "AMUv1", 2: "AMUv1p1"})
    MPAM = Field(43, 40)
    SEL2 = Field(39, 36)
    SVE = Field(35, 32)
    RAS = Field(31, 28, values={0: "none", 1: "RAS", 2: "RASv1p1", 3: "RASv2"})
    GIC = Field(27, 24, values={0: "none", 1: "GICv3 or v4.0", 3: "GICv4.1"})
    AdvSIMD = Field(23, 20, values={0: "yes", 1: "with FP16", 15: "none"})
    FP = Field(19, 16, values={0: "yes", 1: "with FP16", 15: "none"})
    EL3 = Field(15, 12, values=EL_STATES)
    EL2 = Field(11, 8, values=EL_STATES)
    EL1 = Field(7, 4, values=EL_STATES)
    EL0 = Field(3, 0, values=EL_STATES)


class Aa64Pfr1(Register):
    """ID_AA64PFR1_EL1."""

    PFAR = Field(63, 60)
    DF2 = Field(59, 56)
    MTEX = Field(55, 52)
    THE = Field(51, 48)
    GCS = Field(47, 44)
    MTE_frac = Field(43, 40)
    NMI = Field(39, 36)
    CSV2_frac = Field(35, 32)
    RNDR_trap = Field(31, 28)
    SME = Field(27, 24, values={0: "none", 1: "SME", 2: "SME2"})
    MPAM_frac = Field(19, 16)
    RAS_frac = Field(15, 12)
    MTE = Field(11, 8, values={0: "none", 1: "MTE instructions", 2: "MTE2", 3: "MTE3"})
    SSBS = Field(7, 4, values={0: "none", 1: "SSBS", 2: "SSBS and MSR/MRS"})
    BT = Field(3, 0)


class Aa64Pfr2(Register):
    """ID_AA64PFR2_EL1."""

    FPMR = Field(35, 32)
    UINJ = Field(19, 16)
    GCIE = Field(15, 12)
    MTEFAR = Field(11, 8)
    MTESTOREONLY = Field(7, 4)
    MTEPERM = Field(3, 0)


class Aa64Zfr0(Register):
    """ID_AA64ZFR0_EL1."""

    F64MM = Field(59, 56)
    F32MM = Field(55, 52)
    F16MM = Field(51, 48)
    I8MM = Field(47, 44)
    SM4 = Field(43, 40)
    SHA3 = Field(35, 32)
    B16B16 = Field(27, 24)
    BF16 = Field(23, 20)
    BitPerm = Field(19, 16)
    EltPerm = Field(15, 12)
    AES = Field(7, 4)
    SVEver = Field(3, 0, values={0: "SVE", 1: "SVE2", 2: "SVE2.1", 3: "SVE2.2"})


class Aa64Smfr0(Register):
    """ID_AA64SMFR0_EL1."""

    FA64 = Field(63)
    LUT6 = Field(61)
    LUTv2 = Field(60)
    SMEver = Field(59, 56, values={0: "SME", 1: "SME2", 2: "SME2.1", 3: "SME2.2"})
    I16I64 = Field(55, 52)
    F64F64 = Field(48)
    I16I32 = Field(47, 44)
    B16B16 = Field(43)
    F16F16 = Field(42)
    F8F16 = Field(41)
    F8F32 = Field(40)
    I8I32 = Field(39, 36)
    F16F32 = Field(35)
    B16F32 = Field(34)
    BI32I32 = Field(33)
    F32F32 = Field(32)
    SF8FMA = Field(30)
    SF8DP4 = Field(29)
    SF8DP2 = Field(28)
    SBitPerm = Field(25)
    AES = Field(24)
    SFEXPA = Field(23)
    STMOP = Field(16)
    SMOP4 = Field(0)


class Aa64Dfr0(Register):
    """ID_AA64DFR0_EL1; BRPs, WRPs and CTX_CMPs are the numbers less one."""

    HPMN0 = Field(63, 60)
    ExtTrcBuff = Field(59, 56)
    BRBE = Field(55, 52)
    MTPMU = Field(51, 48)
    TraceBuffer = Field(47, 44)
    TraceFilt = Field(43, 40)
    DoubleLock = Field(39, 36, values={0: "yes", 15: "none"})
    PMSVer = Field(35, 32)
    CTX_CMPs = Field(31, 28)
    SEBEP = Field(27, 24)
    WRPs = Field(23, 20)
    PMSS = Field(19, 16)
    BRPs = Field(15, 12)
    PMUVer = Field(
        11,
        8,
        values={
            0: "none",
            1: "PMUv3",
            4: "PMUv3p1",
            5: "PMUv3p4",
            6: "PMUv3p5",
            7: "PMUv3p7",
            8: "PMUv3p8",
            9: "PMUv3p9",
            15: "implementation defined",
        },
    )
    TraceVer = Field(7, 4)
    DebugVer = Field(3, 0, values={6: "v8", 7: "VHE", 8: "v8.2", 9: "v8.4", 10: "v8.8", 11: "v8.9"})


class Aa64Dfr1(Register):
    """ID_AA64DFR1_EL1; WRPs, BRPs and CTX_CMPs extend the fields of ID_AA64DFR0_EL1."""

    ABL_CMPs = Field(63, 56)
    DPFZS = Field(55, 52)
    EBEP = Field(51, 48)
    ITE = Field(47, 44)
    ABLE = Field(43, 40)
    PMICNTR = Field(39, 36)
    SPMU = Field(35, 32)
    CTX_CMPs = Field(31, 24)
    WRPs = Field(23, 16)
    BRPs = Field(15, 8)
    SYSPMUID = Field(7, 0)


class Aa64Isar0(Register):
    """ID_AA64ISAR0_EL1."""

    RNDR = Field(63, 60)
    TLB = Field(59, 56, values={0: "none", 1: "outer shareable", 2: "outer shareable and range"})
    TS = Field(55, 52, values={0: "none", 1: "FlagM", 2: "FlagM2"})
    FHM = Field(51, 48)
    DP = Field(47, 44)
    SM4 = Field(43, 40)
    SM3 = Field(39, 36)
    SHA3 = Field(35, 32)
    RDM = Field(31, 28)
    TME = Field(27, 24)
    Atomic = Field(23, 20, values={0: "none", 2: "LSE", 3: "LSE and LSE128"})
    CRC32 = Field(19, 16)
    SHA2 = Field(15, 12, values={0: "none", 1: "SHA256", 2: "SHA256 and SHA512"})
    SHA1 = Field(11, 8)
    AES = Field(7, 4, values={0: "none", 1: "AES", 2: "AES and PMULL"})


class Aa64Isar1(Register):
    """ID_AA64ISAR1_EL1."""

    LS64 = Field(63, 60)
    XS = Field(59, 56)
    I8MM = Field(55, 52)
    DGH = Field(51, 48)
    BF16 = Field(47, 44)
    SPECRES = Field(43, 40)
    SB = Field(39, 36)
    FRINTTS = Field(35, 32)
    GPI = Field(31, 28)
    GPA = Field(27, 24)
    LRCPC = Field(23, 20, values={0: "none", 1: "LDAPR", 2: "LDAPR and LDAPUR", 3: "RCPC3"})
    FCMA = Field(19, 16)
    JSCVT = Field(15, 12)
    API = Field(11, 8)
    APA = Field(7, 4)
    DPB = Field(3, 0, values={0: "none", 1: "DC CVAP", 2: "DC CVAP and DC CVADP"})


class Aa64Isar2(Register):
    """ID_AA64ISAR2_EL1."""

    ATS1A = Field(63, 60)
    LUT = Field(59, 56)
    CSSC = Field(55, 52)
    RPRFM = Field(51, 48)
    PCDPHINT = Field(47, 44)
    PRFMSLC = Field(43, 40)
    SYSINSTR_128 = Field(39, 36)
    SYSREG_128 = Field(35, 32)
    CLRBHB = Field(31, 28)
    PAC_frac = Field(27, 24)
    BC = Field(23, 20)
    MOPS = Field(19, 16)
    APA3 = Field(15, 12)
    GPA3 = Field(11, 8)
    RPRES = Field(7, 4)
    WFxT = Field(3, 0)


class Aa64Isar3(Register):
    """ID_AA64ISAR3_EL1."""

    FPRCVT = Field(31, 28)
    LSUI = Field(27, 24)
    OCCMO = Field(23, 20)
    LSFE = Field(19, 16)
    PACM = Field(15, 12)
    TLBIW = Field(11, 8)
    FAMINMAX = Field(7, 4)
    CPA = Field(3, 0)


class Aa64Mmfr0(Register):
    """ID_AA64MMFR0_EL1."""

    ECV = Field(63, 60)
    FGT = Field(59, 56)
    ExS = Field(47, 44)
    TGran4_2 = Field(43, 40, values={0: "as TGran4", 1: "none", 2: "yes", 3: "52-bit"})
    TGran64_2 = Field(39, 36, values={0: "as TGran64", 1: "none", 2: "yes"})
    TGran16_2 = Field(35, 32, values={0: "as TGran16", 1: "none", 2: "yes", 3: "52-bit"})
    TGran4 = Field(31, 28, values={0: "yes", 1: "52-bit", 15: "none"})
    TGran64 = Field(27, 24, values={0: "yes", 15: "none"})
    TGran16 = Field(23, 20, values={0: "none", 1: "yes", 2: "52-bit"})
    BigEndEL0 = Field(19, 16)
    SNSMem = Field(15, 12)
    BigEnd = Field(11, 8)
    ASIDBits = Field(7, 4, values={0: "8 bits", 2: "16 bits"})
    PARange = Field(3, 0, values=PA_SIZE)


class Aa64Mmfr1(Register):
    """ID_AA64MMFR1_EL1."""

    ECBHB = Field(63, 60)
    CMOW = Field(59, 56)
    TIDCP1 = Field(55, 52)
    nTLBPA = Field(51, 48)
    AFP = Field(47, 44)
    HCX = Field(43, 40)
    ETS = Field(39, 36)
    TWED = Field(35, 32)
    XNX = Field(31, 28)
    SpecSEI = Field(27, 24)
    PAN = Field(23, 20, values={0: "none", 1: "PAN", 2: "PAN and AT S1E1RP", 3: "PAN3"})
    LO = Field(19, 16)
    HPDS = Field(15, 12)
    VH = Field(11, 8, values={0: "none", 1: "VHE"})
    VMIDBits = Field(7, 4, values={0: "8 bits", 2: "16 bits"})
    HAFDBS = Field(3, 0, values={0: "none", 1: "access flag", 2: "access flag and dirty state", 3: "HAFT"})


class Aa64Mmfr2(Register):
    """ID_AA64MMFR2_EL1."""

    E0PD = Field(63, 60)
    EVT = Field(59, 56)
    BBM = Field(55, 52)
    TTL = Field(51, 48)
    FWB = Field(43, 40)
    IDS = Field(39, 36)
    AT = Field(35, 32)
    ST = Field(31, 28)
    NV = Field(27, 24)
    CCIDX = Field(23, 20)
    VARange = Field(19, 16, values={0: "48 bits", 1: "52 bits", 2: "56 bits"})
    IESB = Field(15, 12)
    LSM = Field(11, 8)
    UAO = Field(7, 4)
    CnP = Field(3, 0)


class Aa64Mmfr3(Register):
    """ID_AA64MMFR3_EL1."""

    Spec_FPACC = Field(63, 60)
    ADERR = Field(59, 56)
    SDERR = Field(55, 52)
    ANERR = Field(47, 44)
    SNERR = Field(43, 40)
    D128_2 = Field(39, 36)
    D128 = Field(35, 32)
    MEC = Field(31, 28)
    AIE = Field(27, 24)
    S2POE = Field(23, 20)
    S1POE = Field(19, 16)
    S2PIE = Field(15, 12)
    S1PIE = Field(11, 8)
    SCTLRX = Field(7, 4)
    TCRX = Field(3, 0)


class Aa64Mmfr4(Register):
    """ID_AA64MMFR4_EL1."""

    SRMASK = Field(47, 44)
    E3DSE = Field(39, 36)
    RMEGDI = Field(31, 28)
    E2H0 = Field(27, 24, values={0: "programmable", 14: "RES1, NV1 too", 15: "RES1"})
    NV_frac = Field(23, 20)
    FGWTE3 = Field(19, 16)
    HACDBS = Field(15, 12)
    ASID2 = Field(11, 8)
    EIESB = Field(7, 4)
    PoPS = Field(3, 0)


def pa_range_bits(id_aa64mmfr0: int) -> int:
    """Return the width of physical addresses: 32, 36, 40, 42, 44, 48 or 52 bits. Raises ValueError for a reserved
    PARange.

    PARange 7 (56 bits, FEAT_D128) is not supported here and also refused.
    """
    pa_range = Aa64Mmfr0(id_aa64mmfr0).PARange
    if pa_range >= len(PA_RANGE_BITS):
        raise ValueError(f"ID_AA64MMFR0_EL1.PARange is {pa_range:#x}, which is reserved or beyond 52 bits")
    return PA_RANGE_BITS[pa_range]


ID_LAYOUTS: Final[Mapping[str, type[Register]]] = MappingProxyType(
    {
        "MIDR_EL1": Midr,
        "VPIDR_EL2": Midr,
        "ID_AA64PFR0_EL1": Aa64Pfr0,
        "ID_AA64PFR1_EL1": Aa64Pfr1,
        "ID_AA64PFR2_EL1": Aa64Pfr2,
        "ID_AA64ZFR0_EL1": Aa64Zfr0,
        "ID_AA64SMFR0_EL1": Aa64Smfr0,
        "ID_AA64DFR0_EL1": Aa64Dfr0,
        "ID_AA64DFR1_EL1": Aa64Dfr1,
        "ID_AA64ISAR0_EL1": Aa64Isar0,
        "ID_AA64ISAR1_EL1": Aa64Isar1,
        "ID_AA64ISAR2_EL1": Aa64Isar2,
        "ID_AA64ISAR3_EL1": Aa64Isar3,
        "ID_AA64MMFR0_EL1": Aa64Mmfr0,
        "ID_AA64MMFR1_EL1": Aa64Mmfr1,
        "ID_AA64MMFR2_EL1": Aa64Mmfr2,
        "ID_AA64MMFR3_EL1": Aa64Mmfr3,
        "ID_AA64MMFR4_EL1": Aa64Mmfr4,
    }
)
"""The layouts of the identification registers by name."""
