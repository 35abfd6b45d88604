"""The identification registers of the AArch32 side, and the late ones of the AArch64 side (DDI 0487, D24.2).

Only `explain` needs these: a guest here is AArch64 only and reads them as zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import Register
from arm_vcpu_cli.arch.registers.layouttext import declare

_TEXTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ID_PFR0_EL1": """
            31:28 RAS = none | RAS | RASv1p1 | RASv2
            27:24 DIT = none | yes
            23:20 AMU = none | AMUv1 | AMUv1p1
            19:16 CSV2 = not disclosed | CSV2 | CSV2_1p2
            15:12 State3 = none | T32EE
            11:8 State2 = none | Jazelle, CV not cleared | Jazelle, CV cleared
            7:4 State1 = none | Thumb | Thumb with BL pairs | T32
            3:0 State0 = none | A32""",
        "ID_PFR1_EL1": """
            31:28 GIC = none | GICv3 or v4.0 | 3 GICv4.1
            27:24 Virt_frac = none | yes
            23:20 Sec_frac = none | walk disable | secure memory
            19:16 GenTimer = none | yes | with ECV
            15:12 Virtualization = none | yes
            11:8 MProgMod = none | 2 two stack
            7:4 Security = none | yes | with NSACR.RFR
            3:0 ProgMod = none | yes""",
        "ID_PFR2_EL1": """
            11:8 RAS_frac = none | RASv1p1
            7:4 SSBS = none | yes
            3:0 CSV3 = none | yes""",
        "ID_DFR0_EL1": """
            31:28 TraceFilt = none | yes
            27:24 PerfMon = none | PMUv1 | PMUv2 | PMUv3 | PMUv3p1 | PMUv3p4 | PMUv3p5 | PMUv3p7 | PMUv3p8 |
                PMUv3p9 | 15 implementation defined
            23:20 MProfDbg = none | yes
            19:16 MMapTrc = none | yes
            15:12 CopTrc = none | yes
            11:8 MMapDbg = 0 none | 4 v7 | v7.1
            7:4 CopSDbg # as CopDbg, for Secure state
            3:0 CopDbg = 0 none | 2 v6 | v6.1 | v7 | v7.1 | v8 | VHE | v8.2 | v8.4 | v8.8 | v8.9""",
        "ID_DFR1_EL1": """
            7:4 HPMN0 = none | yes
            3:0 MTPMU = 0 implementation defined | yes | 15 none""",
        "ID_AFR0_EL1": "15:12 IMPDEF3; 11:8 IMPDEF2; 7:4 IMPDEF1; 3:0 IMPDEF0",
        "ID_MMFR0_EL1": """
            31:28 InnerShr = non-cacheable | hardware | 15 ignored
            27:24 FCSE = none | yes
            23:20 AuxReg = none | ACTLR | ACTLR, AIFSR and ADFSR
            19:16 TCM = none | implementation defined | TCM | TCM and DMA
            15:12 ShareLvl = one level | two levels
            11:8 OuterShr = non-cacheable | hardware | 15 ignored
            7:4 PMSA = none | implementation defined | PMSAv6 | PMSAv7
            3:0 VMSA = none | implementation defined | VMSAv6 | VMSAv7 | VMSAv7 with PXN | VMSAv7 with LPAE""",
        "ID_MMFR1_EL1": """
            31:28 BPred # when branch predictors need flushing
            27:24 L1TstCln; 23:20 L1Uni; 19:16 L1Hvd; 15:12 L1UniSW; 11:8 L1HvdSW; 7:4 L1UniVA; 3:0 L1HvdVA""",
        "ID_MMFR2_EL1": """
            31:28 HWAccFlg = none | yes
            27:24 WFIStall = none | yes
            23:20 MemBarr = none | DSB | DSB, ISB and DMB
            19:16 UniTLB = none | by VA | by ASID | by VA, all ASIDs | Hyp mode too | last level too | by IPA too
            15:12 HvdTLB; 11:8 L1HvdRng; 7:4 L1HvdBG; 3:0 L1HvdFG""",
        "ID_MMFR3_EL1": """
            31:28 Supersec = yes | 15 none
            27:24 CMemSz = 0 4 GiB | 1 64 GiB | 2 1 TiB
            23:20 CohWalk = none | yes
            19:16 PAN = none | PAN | PAN and AT S1CPRP
            15:12 MaintBcst = none | caches and predictors | TLBs too
            11:8 BPMaint = none | all | by VA too
            7:4 CMaintSW = none | yes
            3:0 CMaintVA = none | yes""",
        "ID_MMFR4_EL1": """
            31:28 EVT = none | without TTLBIS | with TTLBIS
            27:24 CCIDX = none | yes
            23:20 LSM = none | yes
            19:16 HPDS = none | AA32HPD | HPDS2
            15:12 CnP = none | yes
            11:8 XNX = none | yes
            7:4 AC2 = none | ACTLR2 and HACTLR2
            3:0 SpecSEI = none | yes""",
        "ID_MMFR5_EL1": """
            7:4 nTLBPA = none | yes
            3:0 ETS = none | none | ETS2 | ETS3""",
        "ID_ISAR0_EL1": """
            27:24 Divide = none | T32 | T32 and A32
            23:20 Debug = none | BKPT
            19:16 Coproc = none | MRC | MRC2 too | MRRC too | MRRC2 too
            15:12 CmpBranch = none | CBZ and CBNZ
            11:8 BitField = none | yes
            7:4 BitCount = none | CLZ
            3:0 Swap = none | SWP | SWP without locking""",
        "ID_ISAR1_EL1": """
            31:28 Jazelle = none | trivial
            27:24 Interwork = none | BX | BLX | A32 data processing too
            23:20 Immediate = none | yes
            19:16 IfThen = none | IT
            15:12 Extend = none | SXTB | SXTB16 too
            11:8 Except_AR = none | SRS and RFE
            7:4 Except = none | LDM of user registers
            3:0 Endian = none | SETEND""",
        "ID_ISAR2_EL1": """
            31:28 Reversal = none | REV | RBIT too
            27:24 PSR_AR = none | MRS and MSR
            23:20 MultU = none | UMULL | UMAAL too
            19:16 MultS = none | SMULL | SMLABB too | SMLAD too
            15:12 Mult = none | MLA | MLS too
            11:8 MultiAccessInt = not interruptible | restartable | continuable
            7:4 MemHint = none | PLD | PLD | PLI | PLDW
            3:0 LoadStore = none | LDRD | LDA too""",
        "ID_ISAR3_EL1": """
            31:28 T32EE = none | yes
            27:24 TrueNOP = none | yes
            23:20 T32Copy = none | yes
            19:16 TabBranch = none | TBB
            15:12 SynchPrim = none | LDREX | LDREXD too
            11:8 SVC = none | yes
            7:4 SIMD = none | SSAT | 3 PKHBT too
            3:0 Saturate = none | QADD""",
        "ID_ISAR4_EL1": """
            31:28 SWP_frac = none | yes
            27:24 PSR_M = none | yes
            23:20 SynchPrim_frac = 0 as SynchPrim | 3 CLREX and LDREXB
            19:16 Barrier = none | DMB, DSB and ISB
            15:12 SMC = none | yes
            11:8 Writeback = base | all modes
            7:4 WithShifts = none | LSL 0 to 3 | 3 constant shifts | register shifts too
            3:0 Unpriv = none | LDRBT | LDRHT too""",
        "ID_ISAR5_EL1": """
            31:28 VCMA = none | yes
            27:24 RDM = none | yes
            19:16 CRC32 = none | yes
            15:12 SHA2 = none | yes
            11:8 SHA1 = none | yes
            7:4 AES = none | AES | AES and VMULL
            3:0 SEVL = none | yes""",
        "ID_ISAR6_EL1": """
            31:28 CLRBHB = none | yes
            27:24 I8MM = none | yes
            23:20 BF16 = none | yes
            19:16 SPECRES = none | CFP, CPP and DVP | COSP too
            15:12 SB = none | yes
            11:8 FHM = none | yes
            7:4 DP = none | yes
            3:0 JSCVT = none | yes""",
        "MVFR0_EL1": """
            31:28 FPRound = round to nearest | all rounding modes
            27:24 FPShVec = none | yes
            23:20 FPSqrt = none | yes
            19:16 FPDivide = none | yes
            15:12 FPTrap = none | yes
            11:8 FPDP = none | VFPv2 | VFPv3 or v4
            7:4 FPSP = none | VFPv2 | VFPv3 or v4
            3:0 SIMDReg = 0 none | 1 16 registers | 2 32 registers""",
        "MVFR1_EL1": """
            31:28 SIMDFMAC = none | yes
            27:24 FPHP = none | to single | to double too | arithmetic too
            23:20 SIMDHP = none | to single | arithmetic too
            19:16 SIMDSP = none | yes
            15:12 SIMDInt = none | yes
            11:8 SIMDLS = none | yes
            7:4 FPDNaN = default NaN only | NaN propagation
            3:0 FPFtZ = flush to zero only | denormals""",
        "MVFR2_EL1": """
            7:4 FPMisc = none | VSEL | directed rounding too | VRINT too | VMAXNM too
            3:0 SIMDMisc = none | directed rounding | VRINT too | VMAXNM too""",
        "ID_AA64DFR2_EL1": """
            27:24 TRBE_EXC = none | yes
            23:20 SPE_nVM = none | yes
            19:16 SPE_EXC = none | yes
            7:4 BWE = none | BWE | BWE2
            3:0 STEP = none | STEP2""",
        "ID_AA64FPFR0_EL1": """
            31 F8CVT = none | yes; 30 F8FMA = none | yes; 29 F8DP4 = none | yes; 28 F8DP2 = none | yes
            27 F8MM8 = none | yes; 26 F8MM4 = none | yes; 15 F16MM2 = none | yes
            1 F8E4M3 = none | yes; 0 F8E5M2 = none | yes""",
        "ID_AA64AFR0_EL1": """
            31:28 IMPDEF7; 27:24 IMPDEF6; 23:20 IMPDEF5; 19:16 IMPDEF4
            15:12 IMPDEF3; 11:8 IMPDEF2; 7:4 IMPDEF1; 3:0 IMPDEF0""",
        "GMID_EL1": "3:0 BS # log2 of the words that LDGM and STGM access",
        "SMIDR_EL1": """
            59:56 NSMC; 55:52 HIP; 51:32 AFFINITY2 # further affinity of the SMCU
            31:24 IMPLEMENTER # as MIDR_EL1
            23:16 REVISION # of the SMCU
            15 SMPS # streaming mode priorities
            14:13 SH # whether the SMCU is shared
            11:0 AFFINITY # of the SMCU""",
        "CCSIDR_EL1": """
            27:13 NumSets # sets minus one
            12:3 Associativity # ways minus one
            2:0 LineSize # log2 of the bytes of a line, minus 4""",
        "CCSIDR2_EL1": "23:0 NumSets # AArch32: sets minus one",
    }
)

AA32_ID_LAYOUTS: Final[Mapping[str, type[Register]]] = MappingProxyType(
    {name: declare(name, text) for name, text in _TEXTS.items()}
)
"""The layouts by name. CCSIDR_EL1 is in its 32-bit format, ``CcsidrWide`` that of FEAT_CCIDX."""

CcsidrWide: Final = declare(
    "CcsidrWide",
    """
    55:32 NumSets # sets minus one
    23:3 Associativity # ways minus one
    2:0 LineSize # log2 of the bytes of a line, minus 4""",
)
"""CCSIDR_EL1 with FEAT_CCIDX."""
