"""The layouts of the control and translation registers of EL2 and EL3, and of late ones of EL1 (DDI 0487, D24.2).

Those of the exit path and the walks are in ``el1regs`` and ``el2regs``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import Field, Register
from arm_vcpu_cli.arch.registers.el1regs import Cpacr, Mair, Sctlr, Tcr, Ttbr
from arm_vcpu_cli.arch.registers.fieldvalues import CACHEABILITY, GRANULE0, PA_SIZE, SHAREABILITY
from arm_vcpu_cli.arch.registers.layouttext import declare


class SctlrEl2(Sctlr):
    """SCTLR_EL2; the controls of EL0 have an effect only with HCR_EL2.E2H = TGE = 1."""

    BT1 = None  # type: ignore[assignment]
    UMA = None  # type: ignore[assignment]
    BT = Field(36, words="PACIASP is not a BTI target at EL2")


class TcrEl2(Register):
    """TCR_EL2 with HCR_EL2.E2H = 0, and the common part of TCR_EL3; bits 31 and 23 are RES1."""

    MTX = Field(33, words="bits 59:56 are tags")
    DS = Field(32, words="52-bit addresses with the 4KB and 16KB granules")
    RES1_31 = Field(31)
    TCMA = Field(30, words="tag 0b0000 is not checked")
    TBID = Field(29, words="top byte ignored for data only")
    HWU62 = Field(28)
    HWU61 = Field(27)
    HWU60 = Field(26)
    HWU59 = Field(25)
    HPD = Field(24, words="no hierarchical permissions")
    RES1_23 = Field(23)
    HD = Field(22, words="hardware manages dirty state")
    HA = Field(21, words="hardware sets the access flag")
    TBI = Field(20, words="top byte ignored")
    PS = Field(18, 16, values=PA_SIZE, words="size of output addresses")
    TG0 = Field(15, 14, values=GRANULE0, words="granule")
    SH0 = Field(13, 12, values=SHAREABILITY, words="shareability of the walk")
    ORGN0 = Field(11, 10, values=CACHEABILITY, words="outer cacheability of the walk")
    IRGN0 = Field(9, 8, values=CACHEABILITY, words="inner cacheability of the walk")
    T0SZ = Field(5, 0, words="the input is 2^(64 - T0SZ) bytes")


class TcrEl3(TcrEl2):
    """TCR_EL3."""

    DisCH0 = Field(43, words="no contiguous hint")
    HAFT = Field(42, words="hardware sets the access flag of tables")
    PTTWI = Field(41, words="incoherent walks are permitted")
    D128 = Field(38, words="128-bit descriptors")
    AIE = Field(37, words="16 memory attributes (MAIR2)")
    POE = Field(36, words="permission overlays")
    PIE = Field(35, words="indirect permissions")
    PnCH = Field(34, words="protected, not contiguous")


class Vstcr(Register):
    """VSTCR_EL2, the Secure stage 2; bit 31 is RES1."""

    SL2 = Field(33, words="start level of the 52-bit 4KB format")
    RES1 = Field(31)
    SA = Field(30, values={0: "Secure", 1: "Non-secure"}, words="address space of the output")
    SW = Field(29, values={0: "Secure", 1: "Non-secure"}, words="address space of the walk")
    TG0 = Field(15, 14, values=GRANULE0, words="granule")
    SL0 = Field(7, 6, words="start level")
    T0SZ = Field(5, 0, words="the input is 2^(64 - T0SZ) bytes")


HOST_TRAPS: Final[Mapping[int, str]] = MappingProxyType(
    {0: "trap EL2, EL1 and EL0", 1: "trap EL0 if HCR_EL2.TGE is 1", 2: "trap EL2, EL1 and EL0", 3: "no trap"}
)


class CptrE2h(Cpacr):
    """CPTR_EL2 with HCR_EL2.E2H = 1: the fields have the places of those in CPACR_EL1, for EL2, EL1 and EL0."""

    TCPAC = Field(31, words="trap CPACR_EL1")
    TAM = Field(30, words="trap the activity monitors")
    SMEN = Field(25, 24, values=HOST_TRAPS, words="SME")
    FPEN = Field(21, 20, values=HOST_TRAPS, words="Advanced SIMD and floating-point")
    ZEN = Field(17, 16, values=HOST_TRAPS, words="SVE")


CnthctlE2h: Final = declare(
    "CnthctlE2h",
    """
    19 CNTPMASK # mask the physical timer (Realm)
    18 CNTVMASK # mask the virtual timer (Realm)
    17 EVNTIS # EVNTI counts from bit 8
    16 EL1NVVCT # trap CNTV_*_EL02 of nested EL1
    15 EL1NVPCT # trap CNTP_*_EL02 of nested EL1
    14 EL1TVCT # trap the virtual counter
    13 EL1TVT # trap the virtual timer
    12 ECV # CNTPOFF_EL2 offsets the physical counter
    11 EL1PTEN # EL1 and EL0 may use the physical timer
    10 EL1PCTEN # EL1 and EL0 may use the physical counter
    9 EL0PTEN # EL0 may use the physical timer
    8 EL0VTEN # EL0 may use the virtual timer
    7:4 EVNTI # counter bit that triggers the event stream
    3 EVNTDIR # event on the 1 to 0 transition
    2 EVNTEN # event stream on
    1 EL0VCTEN # EL0 may read the virtual counter
    0 EL0PCTEN # EL0 may read the physical counter""",
)
"""CNTHCTL_EL2 with HCR_EL2.E2H = 1."""

_BASE: Final = "47:1 BADDR # address of the first table, bits 47:1; 0 CnP # common, not private: shared between PEs"
_PERMISSIONS: Final = "\n".join(f"{4 * n + 3}:{4 * n} Perm{n}" for n in range(15, -1, -1))
_PARTITIONS: Final = "47:40 PMG_D; 39:32 PMG_I; 31:16 PARTID_D; 15:0 PARTID_I"
_TCR2: Final = """
    18 FNG1 # entries of the upper half are not global
    17 FNG0 # entries of the lower half are not global
    16 A2 # each half has its own ASID
    15 DisCH1 # upper half: no contiguous hint
    14 DisCH0 # lower half: no contiguous hint
    11 HAFT # hardware sets the access flag of tables
    10 PTTWI # incoherent walks are permitted
    5 D128 # 128-bit descriptors
    4 AIE # 16 memory attributes (MAIR2)
    3 POE # permission overlays
    2 E0POE # permission overlays of EL0
    1 PIE # indirect permissions
    0 PnCH # protected, not contiguous"""
_SCTLR2: Final = """
    8 EnPACM0 # EL0: pointer authentication with the PC
    7 EnPACM # pointer authentication with the PC
    6 EnIDCP128 # 128-bit implementation defined registers do not trap
    5 EASE # external aborts are taken as SErrors
    4 EnANERR # asynchronous errors of Normal memory
    3 EnADERR # asynchronous errors of Device memory
    2 NMEA # external aborts are non-maskable"""
_POINTER_ARITHMETIC: Final = """
    12 CPTM0 # EL0: multiplication is checked
    11 CPTM # multiplication is checked
    10 CPTA0 # EL0: addition is checked
    9 CPTA # addition is checked"""
_CONTROL_STACK: Final = """
    9 STREn # GCSSTR is allowed
    8 PUSHMEn # GCSPUSHM is allowed
    6 EXLOCKEN # exception returns are locked
    5 RVCHKEN # return values are checked
    0 PCRSEL # guarded control stacks are on"""

_TEXTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "SCTLR_EL3": """
            62 SPINTMASK # SP selects the interrupt mask (FEAT_NMI)
            61 NMI # non-maskable interrupts
            59 TCSO # tag checks of stores only
            53 TME # EL3 may use transactional memory
            51 TMT # transactions of EL3 fail
            44 DSSBS # PSTATE.SSBS on exception entry
            43 ATA # EL3 may use allocation tags
            41:40 TCF = none | synchronous | asynchronous | synchronous loads, asynchronous stores
            37 ITFSB # synchronize tag check faults on entry
            36 BT # PACIASP is not a BTI target at EL3
            31 EnIA; 30 EnIB # pointer authentication, instruction keys
            29:28 RES1_29
            27 EnDA # pointer authentication, data key A
            25 EE # EL3 is big-endian
            23 RES1_23
            22 EIS # exception entry synchronizes the context
            21 IESB # error synchronization on exception entry and exit
            19 WXN # writable pages are not executable
            18 RES1_18
            16 RES1_16
            13 EnDB # pointer authentication, data key B
            12 I # instruction accesses are cacheable
            11 EOS # exception return synchronizes the context
            6 nAA # unaligned acquire and release accesses do not fault
            5:4 RES1_5
            3 SA # stack alignment check
            2 C # data accesses are cacheable
            1 A # alignment check
            0 M # the MMU is on""",
        "CPTR_EL3": """
            31 TCPAC # trap CPACR_EL1 and CPTR_EL2
            30 TAM # trap the activity monitors
            20 TTA # trap the trace registers
            12 ESM # SME does not trap
            10 TFP # trap SVE, Advanced SIMD and floating-point
            8 EZ # SVE does not trap""",
        "TTBR0_EL2": _BASE,
        "TTBR0_EL3": _BASE,
        "VSTTBR_EL2": _BASE,
        "TCR2_EL1": f"21 FNGNA1; 20 FNGNA0 # entries without the ASID of A1\n{_TCR2}",
        "TCR2_EL2": f"{_TCR2}\n13 AMEC1 # upper half: alternate MECID; 12 AMEC0 # lower half: alternate MECID",
        "SCTLR2_EL1": f"{_POINTER_ARITHMETIC}\n{_SCTLR2}",
        "SCTLR2_EL2": f"{_POINTER_ARITHMETIC}\n{_SCTLR2}\n1 EMEC # memory encryption contexts",
        "VNCR_EL2": "63:57 RESS # sign; 56:12 BADDR # page of the EL2 registers that EL1 reaches in memory",
        **dict.fromkeys(
            (
                *(f"{name}_EL{el}" for name in ("PIR", "PIRE0", "POR") for el in (1, 2)),
                "POR_EL0",
                "S2POR_EL1",
                "S2PIR_EL2",
            ),
            _PERMISSIONS,
        ),
        **dict.fromkeys(("ZCR_EL1", "ZCR_EL2", "ZCR_EL3"), "3:0 LEN # vectors of at most 128 * (LEN + 1) bits"),
        **dict.fromkeys(
            ("SMCR_EL1", "SMCR_EL2", "SMCR_EL3"),
            "31 FA64 # all of A64 in streaming mode; 30 EZT0 # ZT0 does not trap\n3:0 LEN # 128 * (LEN + 1) bits",
        ),
        "SMPRI_EL1": "3:0 Priority # streaming mode priority",
        "SMPRIMAP_EL2": "\n".join(f"{4 * n + 3}:{4 * n} P{n}" for n in range(15, -1, -1)),
        "GCSCR_EL1": _CONTROL_STACK,
        "GCSCRE0_EL1": """
            10 nTR # reads of GCSPR_EL0 do not trap
            9 STREn # GCSSTR is allowed
            8 PUSHMEn # GCSPUSHM is allowed
            5 RVCHKEN # return values are checked
            0 PCRSEL # guarded control stacks are on""",
        "GCSPR_EL1": "63:3 PTR # guarded control stack pointer, bits 63:3",
        "GCSPR_EL0": "63:3 PTR # guarded control stack pointer, bits 63:3",
        "LORSA_EL1": "51:16 SA # start of the region, bits 51:16; 0 Valid",
        "LOREA_EL1": "51:16 EA # end of the region, bits 51:16",
        "LORN_EL1": "7:0 Num # LORegion of the descriptor",
        "LORC_EL1": "9:2 DS # descriptor accessed by the other registers; 0 EN # LORegions are on",
        "LORID_EL1": "23:16 LD # descriptors; 7:0 LR # LORegions",
        "MPAMIDR_EL1": """
            61 HAS_SDEFLT; 60 HAS_FORCE_NS; 59 SP4; 58 HAS_TIDR; 57 HAS_ALTSP # optional parts
            39:32 PMG_MAX # largest PMG
            20:18 VPMR_MAX # largest MPAMVPM register
            17 HAS_HCR # virtual partitions
            15:0 PARTID_MAX # largest PARTID""",
        "MPAM0_EL1": _PARTITIONS,
        "MPAM1_EL1": f"63 MPAMEN # MPAM is on; 60 FORCED_NS; 54 ALTSP_FRCD\n{_PARTITIONS}",
        "MPAM2_EL2": f"""
            63 MPAMEN # MPAM is on
            58 TIDR # trap MPAMIDR_EL1
            56 ALTSP_HFC; 55 ALTSP_EL2; 54 ALTSP_FRCD; 50 EnMPAMSM
            49 TRAPMPAM0EL1 # trap MPAM0_EL1
            48 TRAPMPAM1EL1 # trap MPAM1_EL1
            {_PARTITIONS}""",
        "MPAMHCR_EL2": """
            31 TRAP_MPAMIDR_EL1 # trap MPAMIDR_EL1
            8 GSTAPP_PLK # applications of a guest keep its partition
            1 EL1_VPMEN # EL1's partitions are virtual
            0 EL0_VPMEN # EL0's partitions are virtual""",
        "MPAMVPMV_EL2": "31:0 VPM_V # one bit per virtual partition that is valid",
        **dict.fromkeys(
            (f"MPAMVPM{n}_EL2" for n in range(8)),
            "63:48 PhyPARTID3; 47:32 PhyPARTID2; 31:16 PhyPARTID1; 15:0 PhyPARTID0 # plus 4 for each register",
        ),
        "DACR32_EL2": "\n".join(
            f"{2 * n + 1}:{2 * n} D{n} = no access | client | 3 manager" for n in range(15, -1, -1)
        ),
        "RCWMASK_EL1": "63:0 RCWMASK # descriptor bits that RCW instructions may change",
        "RCWSMASK_EL1": "63:0 RCWSMASK # descriptor bits that RCWS instructions may change",
        "ACCDATA_EL1": "31:0 ACCDATA # bottom word that ST64BV0 stores",
    }
)

TRANSLATION_LAYOUTS: Final[Mapping[str, type[Register]]] = MappingProxyType(
    {
        **{name: declare(name, text) for name, text in _TEXTS.items()},
        "SCTLR_EL2": SctlrEl2,
        "TCR_EL2": TcrEl2,
        "TCR_EL3": TcrEl3,
        "VSTCR_EL2": Vstcr,
        "TTBR1_EL2": Ttbr,
        **dict.fromkeys(("MAIR_EL2", "MAIR_EL3", "MAIR2_EL1", "MAIR2_EL2"), Mair),
    }
)
"""The layouts by name, with HCR_EL2.E2H = 0 where that makes a difference."""

E2H_LAYOUTS: Final[Mapping[str, type[Register]]] = MappingProxyType(
    {"CPTR_EL2": CptrE2h, "CNTHCTL_EL2": CnthctlE2h, "TCR_EL2": Tcr, "TTBR0_EL2": Ttbr}
)
"""The layouts of EL2 registers with HCR_EL2.E2H = 1 (FEAT_VHE)."""
