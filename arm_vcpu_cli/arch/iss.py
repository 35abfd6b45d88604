"""The layouts of ESR_ELx.ISS (DDI 0487, D24.2, ESR_EL1); ``esr`` says which exception class has which."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import Field, Register
from arm_vcpu_cli.arch.fault import DEBUG_STATUS, FAULT_STATUS, SERROR_STATUS

ACCESS_SIZE: Final[Mapping[int, str]] = MappingProxyType({0: "byte", 1: "halfword", 2: "word", 3: "doubleword"})
SET_VALUES: Final[Mapping[int, str]] = MappingProxyType({0: "recoverable", 2: "uncontainable", 3: "restartable"})
AET_VALUES: Final[Mapping[int, str]] = MappingProxyType(
    {0: "uncontainable", 1: "unrecoverable", 2: "restartable", 3: "recoverable", 6: "corrected"}
)


class Iss(Register):
    """A syndrome of 25 bits that no layout describes."""

    WIDTH = 25
    ISS = Field(24, 0)


class WfxIss(Register):
    """EC 0x01: WFI, WFE, WFIT or WFET."""

    WIDTH = 25
    CV = Field(24)
    COND = Field(23, 20)
    RN = Field(9, 5)
    RV = Field(2)
    TI = Field(1, 0, values={0: "WFI", 1: "WFE", 2: "WFIT", 3: "WFET"})


class CoprocessorIss(Register):
    """EC 0x03, 0x05 and 0x08: AArch32 MCR, MRC and VMRS."""

    WIDTH = 25
    CV = Field(24)
    COND = Field(23, 20)
    Opc2 = Field(19, 17)
    Opc1 = Field(16, 14)
    CRn = Field(13, 10)
    Rt = Field(9, 5)
    CRm = Field(4, 1)
    Direction = Field(0, values={0: "write", 1: "read"})


class CoprocessorPairIss(Register):
    """EC 0x04 and 0x0C: AArch32 MCRR and MRRC."""

    WIDTH = 25
    CV = Field(24)
    COND = Field(23, 20)
    Opc1 = Field(19, 16)
    Rt2 = Field(14, 10)
    Rt = Field(9, 5)
    CRm = Field(4, 1)
    Direction = Field(0, values={0: "write", 1: "read"})


class LdcStcIss(Register):
    """EC 0x06: AArch32 LDC and STC."""

    WIDTH = 25
    CV = Field(24)
    COND = Field(23, 20)
    imm8 = Field(19, 12)
    Rn = Field(9, 5)
    Offset = Field(4, values={0: "subtract", 1: "add"})
    AM = Field(3, 1)
    Direction = Field(0, values={0: "write", 1: "read"})


class FpTrapIss(Register):
    """EC 0x07: SVE, Advanced SIMD or floating-point, trapped by CPACR_EL1 or CPTR_ELx."""

    WIDTH = 25
    CV = Field(24)
    COND = Field(23, 20)


class PointerAuthTrapIss(Register):
    """EC 0x09: pointer authentication, trapped by HCR_EL2.API or SCR_EL3.API; all bits are RES0."""

    WIDTH = 25


class Ld64bIss(Register):
    """EC 0x0A: LD64B, ST64B, ST64BV and ST64BV0."""

    WIDTH = 25
    ISS = Field(24, 0, values={0: "ST64BV", 1: "ST64BV0", 2: "LD64B or ST64B"})


class BranchTargetIss(Register):
    """EC 0x0D: PSTATE.BTYPE at a wrong branch target."""

    WIDTH = 25
    BTYPE = Field(1, 0)


class HvcSvcSmcIss(Register):
    """EC 0x11, 0x12 and 0x15 to 0x17: the immediate of SVC, HVC or SMC."""

    WIDTH = 25
    imm16 = Field(15, 0)


class Aarch32SmcIss(Register):
    """EC 0x13: an AArch32 SMC."""

    WIDTH = 25
    CV = Field(24)
    COND = Field(23, 20)
    CCKNOWNPASS = Field(19)


class SystemMoveIss(Register):
    """EC 0x18: MSR, MRS or a system instruction."""

    WIDTH = 25
    Op0 = Field(21, 20)
    Op2 = Field(19, 17)
    Op1 = Field(16, 14)
    CRn = Field(13, 10)
    Rt = Field(9, 5)
    CRm = Field(4, 1)
    Direction = Field(0, values={0: "write", 1: "read"})


class SystemPairMoveIss(Register):
    """EC 0x14: the 128-bit MSRR, MRRS and SYSP; Rt counts register pairs."""

    WIDTH = 25
    Op0 = Field(21, 20)
    Op2 = Field(19, 17)
    Op1 = Field(16, 14)
    CRn = Field(13, 10)
    Rt = Field(9, 6)
    CRm = Field(4, 1)
    Direction = Field(0, values={0: "write", 1: "read"})


class EretIss(Register):
    """EC 0x1A: ERET, ERETAA or ERETAB."""

    WIDTH = 25
    ERET = Field(1, values={0: "ERET", 1: "ERETAA or ERETAB"})
    ERETA = Field(0, values={0: "ERETAA", 1: "ERETAB"})


class TstartIss(Register):
    """EC 0x1B: TSTART."""

    WIDTH = 25
    Rd = Field(9, 5)


class PointerAuthFailIss(Register):
    """EC 0x1C: a failed pointer authentication; the manual leaves the two bits without names."""

    WIDTH = 25
    DATA_KEY = Field(1, values={0: "instruction key", 1: "data key"})
    B_KEY = Field(0, values={0: "A key", 1: "B key"})


class SmeTrapIss(Register):
    """EC 0x1D: an access to SME state."""

    WIDTH = 25
    SMTC = Field(
        2,
        0,
        values={0: "SME disabled", 1: "streaming mode", 2: "not streaming", 3: "ZA off", 4: "ZT0 disabled"},
    )


class GranuleCheckIss(Register):
    """EC 0x1E: a granule protection check exception."""

    WIDTH = 25
    S2PTW = Field(21)
    InD = Field(20, values={0: "data", 1: "instruction"})
    GPCSC = Field(19, 14)
    VNCR = Field(13)
    CM = Field(8)
    S1PTW = Field(7)
    WnR = Field(6)
    xFSC = Field(5, 0, values=FAULT_STATUS)  # noqa: N815 - the manual's name


class InstructionAbortIss(Register):
    """EC 0x20 and 0x21: an instruction abort."""

    WIDTH = 25
    SET = Field(12, 11, values=SET_VALUES)
    FnV = Field(10)
    EA = Field(9)
    S1PTW = Field(7)
    IFSC = Field(5, 0, values=FAULT_STATUS)


class DataAbortIss(Register):
    """EC 0x24 and 0x25: a data abort. SAS is the log2 of the size in bytes; SAS to AR count only with ISV."""

    WIDTH = 25
    ISV = Field(24)
    SAS = Field(23, 22, values=ACCESS_SIZE)
    SSE = Field(21)
    SRT = Field(20, 16)
    SF = Field(15)
    AR = Field(14)
    VNCR = Field(13)
    SET = Field(12, 11, values=SET_VALUES)
    FnV = Field(10)
    EA = Field(9)
    CM = Field(8)
    S1PTW = Field(7)
    WnR = Field(6)
    DFSC = Field(5, 0, values=FAULT_STATUS)


class MemoryOperationIss(Register):
    """EC 0x27: a memory copy or set instruction in the wrong state (FEAT_MOPS)."""

    WIDTH = 25
    MemInst = Field(24, values={0: "CPY", 1: "SET"})
    isSETG = Field(23)  # noqa: N815 - the manual's name
    Options = Field(22, 19)
    FromEpilogue = Field(18)
    WrongOption = Field(17)
    OptionA = Field(16)
    destreg = Field(14, 10)
    srcreg = Field(9, 5)
    sizereg = Field(4, 0)


class FpExceptionIss(Register):
    """EC 0x28 and 0x2C: a trapped floating-point exception; the flags count only with TFV."""

    WIDTH = 25
    TFV = Field(23)
    VECITR = Field(10, 8)
    IDF = Field(7)
    IXF = Field(4)
    UFF = Field(3)
    OFF = Field(2)
    DZF = Field(1)
    IOF = Field(0)


class GcsIss(Register):
    """EC 0x2D: a guarded control stack exception."""

    WIDTH = 25
    ExType = Field(23, 20)
    Raddr = Field(14, 10)
    Rn = Field(9, 5)
    IT = Field(4, 0)


class SErrorIss(Register):
    """EC 0x2F: an SError interrupt; with IDS all other bits are implementation defined."""

    WIDTH = 25
    IDS = Field(24)
    IESB = Field(13)
    AET = Field(12, 10, values=AET_VALUES)
    EA = Field(9)
    DFSC = Field(5, 0, values=SERROR_STATUS)


class BreakpointIss(Register):
    """EC 0x30, 0x31 and 0x3A: a breakpoint or vector catch exception."""

    WIDTH = 25
    IFSC = Field(5, 0, values=DEBUG_STATUS)


class SoftwareStepIss(Register):
    """EC 0x32 and 0x33: software step; EX counts only with ISV."""

    WIDTH = 25
    ISV = Field(24)
    EX = Field(6)
    IFSC = Field(5, 0, values=DEBUG_STATUS)


class WatchpointIss(Register):
    """EC 0x34 and 0x35: a watchpoint."""

    WIDTH = 25
    WPT = Field(23, 18)
    WPTV = Field(17)
    WPF = Field(16)
    FnP = Field(15)
    VNCR = Field(13)
    FnV = Field(10)
    CM = Field(8)
    WnR = Field(6)
    DFSC = Field(5, 0, values=DEBUG_STATUS)


class BrkIss(Register):
    """EC 0x38 and 0x3C: the immediate of BKPT or BRK."""

    WIDTH = 25
    Comment = Field(15, 0)


class PmuIss(Register):
    """EC 0x3D: a PMU exception."""

    WIDTH = 25
    SYNC = Field(0)
