"""The layouts of the EL1 and EL0 registers (DDI 0487, D24.2, D24.3 and C5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import Field, Register
from arm_vcpu_cli.arch.fault import FAULT_STATUS
from arm_vcpu_cli.arch.registers.fieldvalues import (
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


TAG_FAULTS: Final[Mapping[int, str]] = MappingProxyType(
    {0: "none", 1: "synchronous", 2: "asynchronous", 3: "synchronous loads, asynchronous stores"}
)


class Spsr(Register):
    """SPSR_ELx for an exception from AArch64, and PSTATE in the same layout. M is M[4:0]; M[4] is nRW."""

    PACM = Field(35, words="pointer authentication uses the PC (FEAT_PAuth_LR)")
    EXLOCK = Field(34, words="exception return state is locked (GCS)")
    PPEND = Field(33, words="a PMU exception is pending")
    PM = Field(32, words="PMU exceptions are masked")
    N = Field(31, words="negative")
    Z = Field(30, words="zero")
    C = Field(29, words="carry")
    V = Field(28, words="overflow")
    TCO = Field(25, words="tag checks are off")
    DIT = Field(24, words="data independent timing")
    UAO = Field(23, words="LDTR and STTR act as privileged accesses")
    PAN = Field(22, words="no privileged access to EL0's pages")
    SS = Field(21, words="software step")
    IL = Field(20, words="illegal execution state")
    ALLINT = Field(13, words="all interrupts are masked")
    SSBS = Field(12, words="speculative store bypass is allowed")
    BTYPE = Field(11, 10, words="kind of the last indirect branch (BTI)")
    D = Field(9, words="debug exceptions are masked")
    A = Field(8, words="SError is masked")
    I = Field(7, words="IRQ is masked")  # noqa: E741 - PSTATE.I
    F = Field(6, words="FIQ is masked")
    M = Field(4, 0, values=MODES, words="Exception level and stack pointer")

    @property
    def el(self) -> int:
        """The Exception level of an AArch64 mode (M[3:2]); for AArch32, 0 for User and 1 otherwise."""
        if self.M & 0x10:
            return 0 if self.M == 0x10 else 1
        return self.M >> 2

    @property
    def is_aarch64(self) -> bool:
        """Whether M[4] (nRW) is 0."""
        return not self.M & 0x10


EL1H_MASKED: Final = Spsr.of(D=1, A=1, I=1, F=1, M=0b00101)
"""PSTATE at EL1 with SP_EL1 and every interrupt masked, as at the start of a guest and after exception entry to EL1."""
EL2H_MASKED: Final = EL1H_MASKED.replace(M=0b01001)
"""The same at EL2."""


class Mpidr(Register):
    """MPIDR_EL1 and VMPIDR_EL2, the affinity of a PE."""

    Aff3 = Field(39, 32)
    RES1 = Field(31)
    U = Field(30, words="uniprocessor system")
    MT = Field(24, words="Aff0 numbers threads of a core")
    Aff2 = Field(23, 16)
    Aff1 = Field(15, 8)
    Aff0 = Field(7, 0)

    @property
    def affinity(self) -> int:
        """The affinity bits in place, as PSCI and the device tree identify a PE."""
        return int(self) & AFFINITY_MASK


AFFINITY_MASK: Final = int(Mpidr.of(Aff3=0xFF, Aff2=0xFF, Aff1=0xFF, Aff0=0xFF))
"""The affinity bits of MPIDR_EL1."""


class Sctlr(Register):
    """SCTLR_EL1."""

    TIDCP = Field(63, words="trap implementation defined registers of EL0")
    SPINTMASK = Field(62, words="SP selects the interrupt mask (FEAT_NMI)")
    NMI = Field(61, words="non-maskable interrupts")
    EnTP2 = Field(60, words="EL0 may use TPIDR2_EL0")
    TCSO = Field(59, words="tag checks of stores only, EL1")
    TCSO0 = Field(58, words="tag checks of stores only, EL0")
    EPAN = Field(57, words="PAN also honours execute-only pages")
    EnALS = Field(56, words="EL0 may use LD64B and ST64B")
    EnAS0 = Field(55, words="EL0 may use ST64BV0")
    EnASR = Field(54, words="EL0 may use ST64BV")
    TME = Field(53, words="EL1 may use transactional memory")
    TME0 = Field(52, words="EL0 may use transactional memory")
    TMT = Field(51, words="transactions of EL1 fail")
    TMT0 = Field(50, words="transactions of EL0 fail")
    TWEDEL = Field(49, 46, words="delay of a trapped WFE, 2^(TWEDEL + 8) cycles")
    TWEDEn = Field(45, words="delay WFE traps by TWEDEL")
    DSSBS = Field(44, words="PSTATE.SSBS on exception entry")
    ATA = Field(43, words="EL1 may use allocation tags")
    ATA0 = Field(42, words="EL0 may use allocation tags")
    TCF = Field(41, 40, values=TAG_FAULTS, words="effect of a tag check fault at EL1")
    TCF0 = Field(39, 38, values=TAG_FAULTS, words="effect of a tag check fault at EL0")
    ITFSB = Field(37, words="synchronize tag check faults on entry")
    BT1 = Field(36, words="PACIASP is not a BTI target at EL1")
    BT0 = Field(35, words="PACIASP is not a BTI target at EL0")
    EnFPM = Field(34, words="EL0 may use FPMR")
    MSCEn = Field(33, words="EL0 may use the memory copy and set instructions")
    CMOW = Field(32, words="cache maintenance needs write permission")
    EnIA = Field(31, words="pointer authentication, instruction key A")
    EnIB = Field(30, words="pointer authentication, instruction key B")
    LSMAOE = Field(29, words="LDM and STM of AArch32 keep their order")
    nTLSMD = Field(28, words="LDM and STM to Device memory do not trap")
    EnDA = Field(27, words="pointer authentication, data key A")
    UCI = Field(26, words="EL0 may use cache maintenance")
    EE = Field(25, words="EL1 is big-endian")
    E0E = Field(24, words="EL0 is big-endian")
    SPAN = Field(23, words="exception entry leaves PSTATE.PAN unchanged")
    EIS = Field(22, words="exception entry synchronizes the context")
    IESB = Field(21, words="error synchronization on exception entry and exit")
    TSCXT = Field(20, words="SCXTNUM_EL0 traps")
    WXN = Field(19, words="writable pages are not executable")
    nTWE = Field(18, words="WFE of EL0 does not trap")
    nTWI = Field(16, words="WFI of EL0 does not trap")
    UCT = Field(15, words="EL0 may read CTR_EL0")
    DZE = Field(14, words="EL0 may use DC ZVA")
    EnDB = Field(13, words="pointer authentication, data key B")
    I = Field(12, words="instruction accesses are cacheable")  # noqa: E741 - SCTLR_EL1.I
    EOS = Field(11, words="exception return synchronizes the context")
    EnRCTX = Field(10, words="EL0 may use CFP, DVP and CPP")
    UMA = Field(9, words="EL0 may access PSTATE.DAIF")
    SED = Field(8, words="SETEND is UNDEFINED at EL0")
    ITD = Field(7, words="some IT instructions are UNDEFINED at EL0")
    nAA = Field(6, words="unaligned acquire and release accesses do not fault")
    CP15BEN = Field(5, words="the CP15 barriers work at EL0")
    SA0 = Field(4, words="stack alignment check at EL0")
    SA = Field(3, words="stack alignment check")
    C = Field(2, words="data accesses are cacheable")
    A = Field(1, words="alignment check")
    M = Field(0, words="the MMU is on (stage 1)")


class Ttbr(Register):
    """TTBR0_EL1 and TTBR1_EL1; BADDR holds address bits 47:1."""

    ASID = Field(63, 48, words="address space identifier")
    BADDR = Field(47, 1, words="address of the first table, bits 47:1")
    CnP = Field(0, words="common, not private: shared between PEs")


class Tcr(Register):
    """TCR_EL1, control of the stage-1 translation."""

    MTX1 = Field(61, words="upper half: bits 59:56 are tags")
    MTX0 = Field(60, words="lower half: bits 59:56 are tags")
    DS = Field(59, words="52-bit addresses with the 4KB and 16KB granules")
    TCMA1 = Field(58, words="upper half: tag 0b1111 is not checked")
    TCMA0 = Field(57, words="lower half: tag 0b0000 is not checked")
    E0PD1 = Field(56, words="upper half: EL0 faults without a walk")
    E0PD0 = Field(55, words="lower half: EL0 faults without a walk")
    NFD1 = Field(54, words="upper half: no walk for non-faulting accesses")
    NFD0 = Field(53, words="lower half: no walk for non-faulting accesses")
    TBID1 = Field(52, words="upper half: top byte ignored for data only")
    TBID0 = Field(51, words="lower half: top byte ignored for data only")
    HWU162 = Field(50)
    HWU161 = Field(49)
    HWU160 = Field(48)
    HWU159 = Field(47)
    HWU062 = Field(46)
    HWU061 = Field(45)
    HWU060 = Field(44)
    HWU059 = Field(43)
    HPD1 = Field(42, words="upper half: no hierarchical permissions")
    HPD0 = Field(41, words="lower half: no hierarchical permissions")
    HD = Field(40, words="hardware manages dirty state")
    HA = Field(39, words="hardware sets the access flag")
    TBI1 = Field(38, words="upper half: top byte ignored")
    TBI0 = Field(37, words="lower half: top byte ignored")
    AS = Field(36, values={0: "8-bit ASID", 1: "16-bit ASID"}, words="size of the ASID")
    IPS = Field(34, 32, values=PA_SIZE, words="size of output addresses")
    TG1 = Field(31, 30, values=GRANULE1, words="upper half: granule")
    SH1 = Field(29, 28, values=SHAREABILITY, words="upper half: shareability of the walk")
    ORGN1 = Field(27, 26, values=CACHEABILITY, words="upper half: outer cacheability of the walk")
    IRGN1 = Field(25, 24, values=CACHEABILITY, words="upper half: inner cacheability of the walk")
    EPD1 = Field(23, words="upper half: no walks, every miss faults")
    A1 = Field(22, words="the ASID is that of TTBR1")
    T1SZ = Field(21, 16, words="upper half: 2^(64 - T1SZ) bytes")
    TG0 = Field(15, 14, values=GRANULE0, words="lower half: granule")
    SH0 = Field(13, 12, values=SHAREABILITY, words="lower half: shareability of the walk")
    ORGN0 = Field(11, 10, values=CACHEABILITY, words="lower half: outer cacheability of the walk")
    IRGN0 = Field(9, 8, values=CACHEABILITY, words="lower half: inner cacheability of the walk")
    EPD0 = Field(7, words="lower half: no walks, every miss faults")
    T0SZ = Field(5, 0, words="lower half: 2^(64 - T0SZ) bytes")


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

    TCPAC = Field(31, words="trap CPACR_EL1 (as CPTR_EL2)")
    TAM = Field(30, words="trap the activity monitors (as CPTR_EL2)")
    E0POE = Field(29, words="EL0 may use POR_EL0")
    TTA = Field(28, words="trap the trace registers")
    SMEN = Field(25, 24, values=EL_TRAPS, words="SME")
    FPEN = Field(21, 20, values=EL_TRAPS, words="Advanced SIMD and floating-point")
    ZEN = Field(17, 16, values=EL_TRAPS, words="SVE")


class Mdscr(Register):
    """MDSCR_EL1, monitor debug system control."""

    EnSTEPOP = Field(50, words="execute from MDSTEPOP_EL1")
    EHBWE = Field(35, words="more than 16 halting breakpoints")
    EnSPM = Field(34, words="EL0 may use system PMUs")
    TTA = Field(33, words="saved EDSCR2.TTA")
    EMBWE = Field(32, words="more than 16 breakpoints and watchpoints")
    TFO = Field(31, words="saved EDSCR.TFO")
    RXfull = Field(30, words="saved EDSCR.RXfull")
    TXfull = Field(29, words="saved EDSCR.TXfull")
    RXO = Field(27, words="saved EDSCR.RXO")
    TXU = Field(26, words="saved EDSCR.TXU")
    INTdis = Field(23, 22, words="saved EDSCR.INTdis")
    TDA = Field(21, words="saved EDSCR.TDA")
    SC2 = Field(19, words="saved EDSCR.SC2")
    MDE = Field(15, words="breakpoints, watchpoints and vector catch are on")
    HDE = Field(14, words="saved EDSCR.HDE")
    KDE = Field(13, words="debug exceptions within the debugging level")
    TDCC = Field(12, words="trap EL0 from the debug communications channel")
    ERR = Field(6, words="saved EDSCR.ERR")
    SS = Field(0, words="software step is on")


class Cntkctl(Register):
    """CNTKCTL_EL1, access to timers and counters from EL0."""

    CNTPMASK = Field(19, words="mask the physical timer (Realm)")
    CNTVMASK = Field(18, words="mask the virtual timer (Realm)")
    EVNTIS = Field(17, words="EVNTI counts from bit 8")
    EL0PTEN = Field(9, words="EL0 may use the physical timer")
    EL0VTEN = Field(8, words="EL0 may use the virtual timer")
    EVNTI = Field(7, 4, words="counter bit that triggers the event stream")
    EVNTDIR = Field(3, words="event on the 1 to 0 transition")
    EVNTEN = Field(2, words="event stream on")
    EL0VCTEN = Field(1, words="EL0 may read the virtual counter")
    EL0PCTEN = Field(0, words="EL0 may read the physical counter")


class CntCtl(Register):
    """CNTP_CTL_EL0, CNTV_CTL_EL0 and the other timer controls; ISTATUS is read-only."""

    ISTATUS = Field(2, words="the timer condition is met (read-only)")
    IMASK = Field(1, words="the timer's interrupt is masked")
    ENABLE = Field(0, words="the timer is on")


class Par(Register):
    """PAR_EL1 after a translation that succeeded (F = 0); PA holds address bits 51:12."""

    ATTR = Field(63, 56, values=MAIR_ATTRIBUTE, words="memory attributes, as in MAIR")
    PA = Field(51, 12, words="physical address, bits 51:12")
    NSE = Field(11, words="with NS, the address space")
    NS = Field(9, words="Non-secure")
    SH = Field(8, 7, values=SHAREABILITY, words="shareability")
    F = Field(0, words="the translation failed")


class ParFault(Register):
    """PAR_EL1 after a translation that failed (F = 1)."""

    S = Field(9, values={0: "stage 1", 1: "stage 2"}, words="stage of the fault")
    PTW = Field(8, words="stage-2 fault of a stage-1 walk")
    FST = Field(6, 1, values=FAULT_STATUS, words="fault status")
    F = Field(0, words="the translation failed")


class Pmcr(Register):
    """PMCR_EL0, performance monitors control."""

    FZS = Field(32, words="freeze on SPE events")
    IMP = Field(31, 24, words="implementer")
    IDCODE = Field(23, 16, words="identification code")
    N = Field(15, 11, words="event counters")
    FZO = Field(9, words="freeze on overflow")
    LP = Field(7, words="event counters overflow at 64 bits")
    LC = Field(6, words="the cycle counter overflows at 64 bits")
    DP = Field(5, words="no cycle counting where counting is prohibited")
    X = Field(4, words="export events")
    D = Field(3, words="count every 64th cycle")
    C = Field(2, words="reset the cycle counter (write-only)")
    P = Field(1, words="reset the event counters (write-only)")
    E = Field(0, words="counters are on")
