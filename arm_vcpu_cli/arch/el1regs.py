"""The layouts of the EL1 and EL0 registers (DDI 0487, D24.2, D24.3 and C5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import Field, Register
from arm_vcpu_cli.arch.fault import FAULT_STATUS
from arm_vcpu_cli.arch.fieldvalues import (
    CACHEABILITY,
    GRANULE0,
    GRANULE1,
    MAIR_ATTRIBUTE,
    PA_SIZE,
    SHAREABILITY,
)

# The manual's field names are kept verbatim, also where they are mixedCase.
# ruff: noqa: N815

MODES: Final[Mapping[int, str]] = MappingProxyType(
    {
        0x00: "EL0t",
        0x04: "EL1t",
        0x05: "EL1h",
        0x08: "EL2t",
        0x09: "EL2h",
        0x0C: "EL3t",
        0x0D: "EL3h",
        0x10: "User",
        0x11: "FIQ",
        0x12: "IRQ",
        0x13: "Supervisor",
        0x16: "Monitor",
        0x17: "Abort",
        0x1A: "Hyp",
        0x1B: "Undefined",
        0x1F: "System",
    }
)
EL_TRAPS: Final[Mapping[int, str]] = MappingProxyType(
    {0: "trap EL0 and EL1", 1: "trap EL0", 2: "trap EL0 and EL1", 3: "no trap"}
)


class Spsr(Register):
    """SPSR_ELx for an exception from AArch64, and PSTATE in the same layout. M is M[4:0]; M[4] is nRW."""

    EXLOCK = Field(34)
    PPEND = Field(33)
    PM = Field(32)
    N = Field(31)
    Z = Field(30)
    C = Field(29)
    V = Field(28)
    TCO = Field(25)
    DIT = Field(24)
    UAO = Field(23)
    PAN = Field(22)
    SS = Field(21)
    IL = Field(20)
    ALLINT = Field(13)
    SSBS = Field(12)
    BTYPE = Field(11, 10)
    D = Field(9)
    A = Field(8)
    I = Field(7)  # noqa: E741 - PSTATE.I
    F = Field(6)
    M = Field(4, 0, values=MODES)

    @property
    def el(self) -> int:
        """The Exception level of an AArch64 mode (M[3:2]); of AArch32, 0 for User and 1 otherwise."""
        if self.M & 0x10:
            return 0 if self.M == 0x10 else 1
        return self.M >> 2

    @property
    def is_aarch64(self) -> bool:
        """M[4] (nRW) is 0."""
        return not self.M & 0x10


EL1H_MASKED: Final = Spsr.of(D=1, A=1, I=1, F=1, M=0b00101)
"""PSTATE at EL1 with SP_EL1 and every interrupt masked: where a guest starts, and where an exception to EL1 leads."""


class Mpidr(Register):
    """MPIDR_EL1 and VMPIDR_EL2, the affinity of a PE."""

    Aff3 = Field(39, 32)
    RES1 = Field(31)
    U = Field(30)
    MT = Field(24)
    Aff2 = Field(23, 16)
    Aff1 = Field(15, 8)
    Aff0 = Field(7, 0)

    @property
    def affinity(self) -> int:
        """The affinity bits in their places, as PSCI and the device tree name a PE."""
        return int(self) & AFFINITY_MASK


AFFINITY_MASK: Final = int(Mpidr.of(Aff3=0xFF, Aff2=0xFF, Aff1=0xFF, Aff0=0xFF))
"""The affinity bits of MPIDR_EL1."""


class Sctlr(Register):
    """SCTLR_EL1."""

    TIDCP = Field(63)
    SPINTMASK = Field(62)
    NMI = Field(61)
    EnTP2 = Field(60)
    TCSO = Field(59)
    TCSO0 = Field(58)
    EPAN = Field(57)
    EnALS = Field(56)
    EnAS0 = Field(55)
    EnASR = Field(54)
    TME = Field(53)
    TME0 = Field(52)
    TMT = Field(51)
    TMT0 = Field(50)
    TWEDEL = Field(49, 46)
    TWEDEn = Field(45)
    DSSBS = Field(44)
    ATA = Field(43)
    ATA0 = Field(42)
    TCF = Field(41, 40)
    TCF0 = Field(39, 38)
    ITFSB = Field(37)
    BT1 = Field(36)
    BT0 = Field(35)
    EnFPM = Field(34)
    MSCEn = Field(33)
    CMOW = Field(32)
    EnIA = Field(31)
    EnIB = Field(30)
    LSMAOE = Field(29)
    nTLSMD = Field(28)
    EnDA = Field(27)
    UCI = Field(26)
    EE = Field(25)
    E0E = Field(24)
    SPAN = Field(23)
    EIS = Field(22)
    IESB = Field(21)
    TSCXT = Field(20)
    WXN = Field(19)
    nTWE = Field(18)
    nTWI = Field(16)
    UCT = Field(15)
    DZE = Field(14)
    EnDB = Field(13)
    I = Field(12)  # noqa: E741 - SCTLR_EL1.I
    EOS = Field(11)
    EnRCTX = Field(10)
    UMA = Field(9)
    SED = Field(8)
    ITD = Field(7)
    nAA = Field(6)
    CP15BEN = Field(5)
    SA0 = Field(4)
    SA = Field(3)
    C = Field(2)
    A = Field(1)
    M = Field(0)


class Ttbr(Register):
    """TTBR0_EL1 and TTBR1_EL1; BADDR holds address bits 47:1."""

    ASID = Field(63, 48)
    BADDR = Field(47, 1)
    CnP = Field(0)


class Tcr(Register):
    """TCR_EL1, control of the stage-1 translation."""

    MTX1 = Field(61)
    MTX0 = Field(60)
    DS = Field(59)
    TCMA1 = Field(58)
    TCMA0 = Field(57)
    E0PD1 = Field(56)
    E0PD0 = Field(55)
    NFD1 = Field(54)
    NFD0 = Field(53)
    TBID1 = Field(52)
    TBID0 = Field(51)
    HWU162 = Field(50)
    HWU161 = Field(49)
    HWU160 = Field(48)
    HWU159 = Field(47)
    HWU062 = Field(46)
    HWU061 = Field(45)
    HWU060 = Field(44)
    HWU059 = Field(43)
    HPD1 = Field(42)
    HPD0 = Field(41)
    HD = Field(40)
    HA = Field(39)
    TBI1 = Field(38)
    TBI0 = Field(37)
    AS = Field(36, values={0: "8-bit ASID", 1: "16-bit ASID"})
    IPS = Field(34, 32, values=PA_SIZE)
    TG1 = Field(31, 30, values=GRANULE1)
    SH1 = Field(29, 28, values=SHAREABILITY)
    ORGN1 = Field(27, 26, values=CACHEABILITY)
    IRGN1 = Field(25, 24, values=CACHEABILITY)
    EPD1 = Field(23)
    A1 = Field(22)
    T1SZ = Field(21, 16)
    TG0 = Field(15, 14, values=GRANULE0)
    SH0 = Field(13, 12, values=SHAREABILITY)
    ORGN0 = Field(11, 10, values=CACHEABILITY)
    IRGN0 = Field(9, 8, values=CACHEABILITY)
    EPD0 = Field(7)
    T0SZ = Field(5, 0)


class Mair(Register):
    """MAIR_EL1, eight memory attributes; the names cover the encodings in use."""

    Attr7 = Field(63, 56, values=MAIR_ATTRIBUTE)
    Attr6 = Field(55, 48, values=MAIR_ATTRIBUTE)
    Attr5 = Field(47, 40, values=MAIR_ATTRIBUTE)
    Attr4 = Field(39, 32, values=MAIR_ATTRIBUTE)
    Attr3 = Field(31, 24, values=MAIR_ATTRIBUTE)
    Attr2 = Field(23, 16, values=MAIR_ATTRIBUTE)
    Attr1 = Field(15, 8, values=MAIR_ATTRIBUTE)
    Attr0 = Field(7, 0, values=MAIR_ATTRIBUTE)


class Cpacr(Register):
    """CPACR_EL1, traps of SME, SVE and floating-point to EL1."""

    TCPAC = Field(31)
    TAM = Field(30)
    E0POE = Field(29)
    TTA = Field(28)
    SMEN = Field(25, 24, values=EL_TRAPS)
    FPEN = Field(21, 20, values=EL_TRAPS)
    ZEN = Field(17, 16, values=EL_TRAPS)


class Mdscr(Register):
    """MDSCR_EL1, monitor debug system control."""

    EnSTEPOP = Field(50)
    EHBWE = Field(35)
    EnSPM = Field(34)
    TTA = Field(33)
    EMBWE = Field(32)
    TFO = Field(31)
    RXfull = Field(30)
    TXfull = Field(29)
    RXO = Field(27)
    TXU = Field(26)
    INTdis = Field(23, 22)
    TDA = Field(21)
    SC2 = Field(19)
    MDE = Field(15)
    HDE = Field(14)
    KDE = Field(13)
    TDCC = Field(12)
    ERR = Field(6)
    SS = Field(0)


class Cntkctl(Register):
    """CNTKCTL_EL1, access to timers and counters from EL0."""

    CNTPMASK = Field(19)
    CNTVMASK = Field(18)
    EVNTIS = Field(17)
    EL0PTEN = Field(9)
    EL0VTEN = Field(8)
    EVNTI = Field(7, 4)
    EVNTDIR = Field(3)
    EVNTEN = Field(2)
    EL0VCTEN = Field(1)
    EL0PCTEN = Field(0)


class CntCtl(Register):
    """CNTP_CTL_EL0, CNTV_CTL_EL0 and the other timer controls; ISTATUS is read-only."""

    ISTATUS = Field(2)
    IMASK = Field(1)
    ENABLE = Field(0)


class Par(Register):
    """PAR_EL1 after a translation that succeeded (F = 0); PA holds address bits 51:12."""

    ATTR = Field(63, 56, values=MAIR_ATTRIBUTE)
    PA = Field(51, 12)
    NSE = Field(11)
    NS = Field(9)
    SH = Field(8, 7, values=SHAREABILITY)
    F = Field(0)


class ParFault(Register):
    """PAR_EL1 after a translation that failed (F = 1)."""

    S = Field(9, values={0: "stage 1", 1: "stage 2"})
    PTW = Field(8)
    FST = Field(6, 1, values=FAULT_STATUS)
    F = Field(0)


class Pmcr(Register):
    """PMCR_EL0, performance monitors control."""

    FZS = Field(32)
    IMP = Field(31, 24)
    IDCODE = Field(23, 16)
    N = Field(15, 11)
    FZO = Field(9)
    LP = Field(7)
    LC = Field(6)
    DP = Field(5)
    X = Field(4)
    D = Field(3)
    C = Field(2)
    P = Field(1)
    E = Field(0)
