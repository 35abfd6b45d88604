"""The layouts of the registers that control EL1 from EL2 and EL3 (DDI 0487, D24.2)."""

from __future__ import annotations

from arm_vcpu_cli.arch.bitfield import Field, Register
from arm_vcpu_cli.arch.fieldvalues import CACHEABILITY, GRANULE0, PA_SIZE, SHAREABILITY


class Hcr(Register):
    """HCR_EL2, hypervisor configuration."""

    TWEDEL = Field(63, 60)
    TWEDEn = Field(59)
    TID5 = Field(58)
    DCT = Field(57)
    ATA = Field(56)
    TTLBOS = Field(55)
    TTLBIS = Field(54)
    EnSCXT = Field(53)
    TOCU = Field(52)
    AMVOFFEN = Field(51)
    TICAB = Field(50)
    TID4 = Field(49)
    GPF = Field(48)
    FIEN = Field(47)
    FWB = Field(46)
    NV2 = Field(45)
    AT = Field(44)
    NV1 = Field(43)
    NV = Field(42)
    API = Field(41)
    APK = Field(40)
    TME = Field(39)
    MIOCNCE = Field(38)
    TEA = Field(37)
    TERR = Field(36)
    TLOR = Field(35)
    E2H = Field(34)
    ID = Field(33)
    CD = Field(32)
    RW = Field(31)
    TRVM = Field(30)
    HCD = Field(29)
    TDZ = Field(28)
    TGE = Field(27)
    TVM = Field(26)
    TTLB = Field(25)
    TPU = Field(24)
    TPC = Field(23)
    TSW = Field(22)
    TACR = Field(21)
    TIDCP = Field(20)
    TSC = Field(19)
    TID3 = Field(18)
    TID2 = Field(17)
    TID1 = Field(16)
    TID0 = Field(15)
    TWE = Field(14)
    TWI = Field(13)
    DC = Field(12)
    BSU = Field(11, 10)
    FB = Field(9)
    VSE = Field(8)
    VI = Field(7)
    VF = Field(6)
    AMO = Field(5)
    IMO = Field(4)
    FMO = Field(3)
    PTW = Field(2)
    SWIO = Field(1)
    VM = Field(0)


class Vtcr(Register):
    """VTCR_EL2, control of the stage-2 translation."""

    HAFT = Field(44)
    TL0 = Field(41)
    GCSH = Field(40)
    D128 = Field(38)
    S2POE = Field(37)
    S2PIE = Field(36)
    TL1 = Field(35)
    AssuredOnly = Field(34)
    SL2 = Field(33)
    DS = Field(32)
    RES1 = Field(31)
    NSA = Field(30)
    NSW = Field(29)
    HWU62 = Field(28)
    HWU61 = Field(27)
    HWU60 = Field(26)
    HWU59 = Field(25)
    HD = Field(22)
    HA = Field(21)
    VS = Field(19, values={0: "8-bit VMID", 1: "16-bit VMID"})
    PS = Field(18, 16, values=PA_SIZE)
    TG0 = Field(15, 14, values=GRANULE0)
    SH0 = Field(13, 12, values=SHAREABILITY)
    ORGN0 = Field(11, 10, values=CACHEABILITY)
    IRGN0 = Field(9, 8, values=CACHEABILITY)
    SL0 = Field(7, 6)
    T0SZ = Field(5, 0)


class Vttbr(Register):
    """VTTBR_EL2, the root of the stage-2 tables; BADDR holds address bits 47:1."""

    VMID = Field(63, 48)
    BADDR = Field(47, 1)
    CnP = Field(0)


class Hpfar(Register):
    """HPFAR_EL2; FIPA holds the faulting IPA from its bit 12 on, from bit 4 on."""

    NS = Field(63)
    FIPA = Field(47, 4)


class Cptr(Register):
    """CPTR_EL2 with HCR_EL2.E2H = 0; bits 13, 9 and 7:0 are RES1."""

    TCPAC = Field(31)
    TAM = Field(30)
    TTA = Field(20)
    RES1_13 = Field(13)
    TSM = Field(12)
    TFP = Field(10)
    RES1_9 = Field(9)
    TZ = Field(8)
    RES1 = Field(7, 0)


class Mdcr(Register):
    """MDCR_EL2, debug and performance monitor traps to EL2."""

    EnSTEPOP = Field(50)
    EBWE = Field(43)
    PMEE = Field(41, 40)
    HPMFZS = Field(36)
    PMSSE = Field(31, 30)
    HPMFZO = Field(29)
    MTPME = Field(28)
    TDCC = Field(27)
    HLP = Field(26)
    E2TB = Field(25, 24)
    HCCD = Field(23)
    TTRF = Field(19)
    HPMD = Field(17)
    EnSPM = Field(15)
    TPMS = Field(14)
    E2PB = Field(13, 12)
    TDRA = Field(11)
    TDOSA = Field(10)
    TDA = Field(9)
    TDE = Field(8)
    HPME = Field(7)
    TPM = Field(6)
    TPMCR = Field(5)
    HPMN = Field(4, 0)


class Cnthctl(Register):
    """CNTHCTL_EL2 with HCR_EL2.E2H = 0. EL1PCTEN and EL1PCEN permit, the traps above bit 12 forbid."""

    CNTPMASK = Field(19)
    CNTVMASK = Field(18)
    EVNTIS = Field(17)
    EL1NVVCT = Field(16)
    EL1NVPCT = Field(15)
    EL1TVCT = Field(14)
    EL1TVT = Field(13)
    ECV = Field(12)
    EVNTI = Field(7, 4)
    EVNTDIR = Field(3)
    EVNTEN = Field(2)
    EL1PCEN = Field(1)
    EL1PCTEN = Field(0)


class Scr(Register):
    """SCR_EL3, secure configuration; bits 5:4 are RES1."""

    NSE = Field(62)
    GPF = Field(48)
    EnTP2 = Field(41)
    TRNDR = Field(40)
    GCSEn = Field(39)
    HXEn = Field(38)
    ADEn = Field(37)
    EnAS0 = Field(36)
    AMVOFFEN = Field(35)
    TME = Field(34)
    TWEDEL = Field(33, 30)
    TWEDEn = Field(29)
    ECVEn = Field(28)
    FGTEn = Field(27)
    ATA = Field(26)
    EnSCXT = Field(25)
    FIEN = Field(21)
    NMEA = Field(20)
    EASE = Field(19)
    EEL2 = Field(18)
    API = Field(17)
    APK = Field(16)
    TERR = Field(15)
    TLOR = Field(14)
    TWE = Field(13)
    TWI = Field(12)
    ST = Field(11)
    RW = Field(10)
    SIF = Field(9)
    HCE = Field(8)
    SMD = Field(7)
    RES1 = Field(5, 4)
    EA = Field(3)
    FIQ = Field(2)
    IRQ = Field(1)
    NS = Field(0)
