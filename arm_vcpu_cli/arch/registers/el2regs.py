"""The layouts of the registers that control EL1 from EL2 and EL3 (DDI 0487, D24.2)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import Field, Register
from arm_vcpu_cli.arch.registers.fieldvalues import CACHEABILITY, GRANULE0, PA_SIZE, SHAREABILITY

BARRIER_DOMAIN: Final[Mapping[int, str]] = MappingProxyType(
    {0: "as the barrier specifies", 1: "inner shareable", 2: "outer shareable", 3: "full system"}
)


class Hcr(Register):
    """HCR_EL2, hypervisor configuration."""

    TWEDEL = Field(63, 60, words="delay of a trapped WFE, 2^(TWEDEL + 8) cycles")
    TWEDEn = Field(59, words="delay WFE traps by TWEDEL")
    TID5 = Field(58, words="trap reads of GMID_EL1 (FEAT_MTE2)")
    DCT = Field(57, words="memory under HCR_EL2.DC is tagged")
    ATA = Field(56, words="EL1 and EL0 may use allocation tags")
    TTLBOS = Field(55, words="trap TLBI of the outer shareable domain")
    TTLBIS = Field(54, words="trap TLBI of the inner shareable domain")
    EnSCXT = Field(53, words="EL1 and EL0 may use SCXTNUM_EL1 and SCXTNUM_EL0")
    TOCU = Field(52, words="trap cache maintenance to the point of unification")
    AMVOFFEN = Field(51, words="virtual offsets of the activity monitors")
    TICAB = Field(50, words="trap IC IALLUIS")
    TID4 = Field(49, words="trap CCSIDR, CCSIDR2, CLIDR and CSSELR")
    GPF = Field(48, words="granule protection faults of EL1 and EL0 go to EL2")
    FIEN = Field(47, words="EL1 may inject faults into RAS records")
    FWB = Field(46, words="stage 2 forces the memory type (S2FWB)")
    NV2 = Field(45, words="accesses of EL1 to EL2 registers become memory accesses")
    AT = Field(44, words="trap AT S1E0*, S1E1* of EL1")
    NV1 = Field(43, words="EL1's own registers trap too (nested virtualization)")
    NV = Field(42, words="CurrentEL at EL1 reads as EL2 (nested virtualization)")
    API = Field(41, words="pointer authentication instructions do not trap")
    APK = Field(40, words="pointer authentication keys do not trap")
    TME = Field(39, words="EL1 and EL0 may use transactional memory")
    MIOCNCE = Field(38, words="mismatched inner and outer cacheability may lose coherency")
    TEA = Field(37, words="route synchronous external aborts to EL2")
    TERR = Field(36, words="trap the RAS error record registers")
    TLOR = Field(35, words="trap the LORegion registers")
    E2H = Field(34, words="EL2 hosts an operating system (VHE)")
    ID = Field(33, words="stage 2 makes instruction accesses non-cacheable")
    CD = Field(32, words="stage 2 makes data accesses non-cacheable")
    RW = Field(31, words="EL1 is AArch64")
    TRVM = Field(30, words="trap reads of the virtual memory controls")
    HCD = Field(29, words="HVC is UNDEFINED")
    TDZ = Field(28, words="trap DC ZVA")
    TGE = Field(27, words="trap general exceptions: EL0 runs under EL2")
    TVM = Field(26, words="trap writes of the virtual memory controls")
    TTLB = Field(25, words="trap TLB maintenance")
    TPU = Field(24, words="trap cache maintenance to the point of unification")
    TPC = Field(23, words="trap cache maintenance to the point of coherency")
    TSW = Field(22, words="trap cache maintenance by set and way")
    TACR = Field(21, words="trap ACTLR_EL1")
    TIDCP = Field(20, words="trap implementation defined registers")
    TSC = Field(19, words="trap SMC")
    TID3 = Field(18, words="trap the feature ID registers")
    TID2 = Field(17, words="trap the cache ID registers")
    TID1 = Field(16, words="trap REVIDR, AIDR and SMIDR")
    TID0 = Field(15, words="trap the AArch32 FPSID and JIDR")
    TWE = Field(14, words="trap WFE")
    TWI = Field(13, words="trap WFI")
    DC = Field(12, words="stage 1 is off and memory is write-back by default")
    BSU = Field(11, 10, values=BARRIER_DOMAIN, words="barriers of EL1 reach at least this domain")
    FB = Field(9, words="broadcast TLB and instruction cache maintenance of EL1")
    VSE = Field(8, words="a virtual SError is pending")
    VI = Field(7, words="a virtual IRQ is pending")
    VF = Field(6, words="a virtual FIQ is pending")
    AMO = Field(5, words="route SError to EL2, enable virtual SError")
    IMO = Field(4, words="route IRQ to EL2, enable virtual IRQ")
    FMO = Field(3, words="route FIQ to EL2, enable virtual FIQ")
    PTW = Field(2, words="a stage-1 walk that reaches Device memory faults")
    SWIO = Field(1, words="invalidate by set and way also cleans")
    VM = Field(0, words="stage 2 of the EL1&0 regime is on")


class Vtcr(Register):
    """VTCR_EL2, control of the stage-2 translation."""

    HDBSS = Field(45, words="hardware tracks dirty state in a structure")
    HAFT = Field(44, words="hardware sets the access flag of tables")
    TL0 = Field(41, words="tag protection of the walk (FEAT_THE)")
    GCSH = Field(40, words="check of guarded control stacks at stage 2")
    D128 = Field(38, words="128-bit descriptors")
    S2POE = Field(37, words="permission overlays")
    S2PIE = Field(36, words="indirect permissions")
    TL1 = Field(35, words="tag protection of the walk (FEAT_THE)")
    AssuredOnly = Field(34, words="the AssuredOnly check")
    SL2 = Field(33, words="start level of the 52-bit 4KB format")
    DS = Field(32, words="52-bit addresses with the 4KB and 16KB granules")
    RES1 = Field(31)
    NSA = Field(30, words="address space of the output (Secure EL2)")
    NSW = Field(29, words="address space of the walk (Secure EL2)")
    HWU62 = Field(28, words="bit 62 of a leaf is for hardware")
    HWU61 = Field(27, words="bit 61 of a leaf is for hardware")
    HWU60 = Field(26, words="bit 60 of a leaf is for hardware")
    HWU59 = Field(25, words="bit 59 of a leaf is for hardware")
    HD = Field(22, words="hardware manages dirty state")
    HA = Field(21, words="hardware sets the access flag")
    VS = Field(19, values={0: "8-bit VMID", 1: "16-bit VMID"}, words="size of the VMID")
    PS = Field(18, 16, values=PA_SIZE, words="size of output addresses")
    TG0 = Field(15, 14, values=GRANULE0, words="granule")
    SH0 = Field(13, 12, values=SHAREABILITY, words="shareability of the walk")
    ORGN0 = Field(11, 10, values=CACHEABILITY, words="outer cacheability of the walk")
    IRGN0 = Field(9, 8, values=CACHEABILITY, words="inner cacheability of the walk")
    SL0 = Field(7, 6, words="start level")
    T0SZ = Field(5, 0, words="the input is 2^(64 - T0SZ) bytes")


class Vttbr(Register):
    """VTTBR_EL2, the root of the stage-2 tables; BADDR holds address bits 47:1."""

    VMID = Field(63, 48, words="virtual machine identifier")
    BADDR = Field(47, 1, words="address of the first table, bits 47:1")
    CnP = Field(0, words="common, not private: shared between PEs")


class Hpfar(Register):
    """HPFAR_EL2; FIPA, from bit 4 on, holds the faulting IPA from its bit 12 on."""

    NS = Field(63, words="the IPA is Non-secure (Secure EL2)")
    FIPA = Field(47, 4, words="faulting IPA, bits 55:12")


class Cptr(Register):
    """CPTR_EL2 with HCR_EL2.E2H = 0; bits 13, 9 and 7:0 are RES1."""

    TCPAC = Field(31, words="trap CPACR_EL1")
    TAM = Field(30, words="trap the activity monitors")
    TTA = Field(20, words="trap the trace registers")
    RES1_13 = Field(13)
    TSM = Field(12, words="trap SME")
    TFP = Field(10, words="trap SVE, Advanced SIMD and floating-point")
    RES1_9 = Field(9)
    TZ = Field(8, words="trap SVE")
    RES1 = Field(7, 0)


class Mdcr(Register):
    """MDCR_EL2, debug and performance monitor traps to EL2."""

    EnSTEPOP = Field(50, words="EL1 may use MDSTEPOP_EL1")
    EBWE = Field(43, words="more than 16 breakpoints and watchpoints")
    PMEE = Field(41, 40, words="PMU exceptions")
    HPMFZS = Field(36, words="freeze the upper counters on SPE events")
    PMSSE = Field(31, 30, words="PMU snapshots")
    HPMFZO = Field(29, words="freeze the upper counters on overflow")
    MTPME = Field(28, words="multithreaded counting")
    TDCC = Field(27, words="trap the debug communications channel")
    HLP = Field(26, words="the upper counters overflow at 64 bits")
    E2TB = Field(25, 24, words="owner of the trace buffer")
    HCCD = Field(23, words="no cycle counting at EL2")
    TTRF = Field(19, words="trap TRFCR_EL1")
    HPMD = Field(17, words="no event counting at EL2")
    EnSPM = Field(15, words="access to system PMUs")
    TPMS = Field(14, words="trap the statistical profiling registers")
    E2PB = Field(13, 12, words="owner of the profiling buffer")
    TDRA = Field(11, words="trap the debug ROM address registers")
    TDOSA = Field(10, words="trap the OS lock and power registers")
    TDA = Field(9, words="trap the debug registers")
    TDE = Field(8, words="route debug exceptions to EL2")
    HPME = Field(7, words="enable the upper counters")
    TPM = Field(6, words="trap the performance monitors")
    TPMCR = Field(5, words="trap PMCR_EL0")
    HPMN = Field(4, 0, words="event counters that EL1 may use")


class Cnthctl(Register):
    """CNTHCTL_EL2 with HCR_EL2.E2H = 0. EL1PCTEN and EL1PCEN permit, the traps above bit 12 forbid."""

    CNTPMASK = Field(19, words="mask the physical timer (Realm)")
    CNTVMASK = Field(18, words="mask the virtual timer (Realm)")
    EVNTIS = Field(17, words="EVNTI counts from bit 8")
    EL1NVVCT = Field(16, words="trap CNTV_*_EL02 of nested EL1")
    EL1NVPCT = Field(15, words="trap CNTP_*_EL02 of nested EL1")
    EL1TVCT = Field(14, words="trap the virtual counter")
    EL1TVT = Field(13, words="trap the virtual timer")
    ECV = Field(12, words="CNTPOFF_EL2 offsets the physical counter")
    EVNTI = Field(7, 4, words="counter bit that triggers the event stream")
    EVNTDIR = Field(3, words="event on the 1 to 0 transition")
    EVNTEN = Field(2, words="event stream on")
    EL1PCEN = Field(1, words="EL1 and EL0 may use the physical timer")
    EL1PCTEN = Field(0, words="EL1 and EL0 may use the physical counter")


class Scr(Register):
    """SCR_EL3, secure configuration; bits 5:4 are RES1."""

    NSE = Field(62, words="with NS, the Security state below EL3")
    GPF = Field(48, words="granule protection faults go to EL3")
    EnTP2 = Field(41, words="TPIDR2_EL0 does not trap")
    TRNDR = Field(40, words="trap RNDR and RNDRRS")
    GCSEn = Field(39, words="guarded control stacks below EL3")
    HXEn = Field(38, words="HCRX_EL2 does not trap")
    ADEn = Field(37, words="ACCDATA_EL1 does not trap")
    EnAS0 = Field(36, words="ST64BV0 does not trap")
    AMVOFFEN = Field(35, words="AMEVCNTVOFF does not trap")
    TME = Field(34, words="transactional memory below EL3")
    TWEDEL = Field(33, 30, words="delay of a trapped WFE, 2^(TWEDEL + 8) cycles")
    TWEDEn = Field(29, words="delay WFE traps by TWEDEL")
    ECVEn = Field(28, words="CNTPOFF_EL2 does not trap")
    FGTEn = Field(27, words="the fine-grained trap registers do not trap")
    ATA = Field(26, words="allocation tags below EL3")
    EnSCXT = Field(25, words="SCXTNUM_ELx does not trap")
    FIEN = Field(21, words="fault injection does not trap")
    NMEA = Field(20, words="external aborts are non-maskable")
    EASE = Field(19, words="external aborts are taken as SErrors")
    EEL2 = Field(18, words="Secure EL2 is on")
    API = Field(17, words="pointer authentication instructions do not trap")
    APK = Field(16, words="pointer authentication keys do not trap")
    TERR = Field(15, words="trap the RAS error record registers")
    TLOR = Field(14, words="trap the LORegion registers")
    TWE = Field(13, words="trap WFE")
    TWI = Field(12, words="trap WFI")
    ST = Field(11, words="Secure EL1 may use the secure timer")
    RW = Field(10, words="the next lower level is AArch64")
    SIF = Field(9, words="no Secure instruction fetch from Non-secure memory")
    HCE = Field(8, words="HVC is on")
    SMD = Field(7, words="SMC is UNDEFINED")
    RES1 = Field(5, 4)
    EA = Field(3, words="route external aborts and SError to EL3")
    FIQ = Field(2, words="route FIQ to EL3")
    IRQ = Field(1, words="route IRQ to EL3")
    NS = Field(0, words="EL1 and EL0 are Non-secure")
