"""The layouts of ESR_ELx.ISS (DDI 0487, D24.2, ESR_EL1); ``esr`` maps exception classes to them.

That of EC 0x18 is ``registers.sysreg.SystemMoveIss``, because it also names system registers.
"""

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


ADDRESSING_MODES: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "immediate, unindexed",
        1: "immediate, post-indexed",
        2: "immediate, offset",
        3: "immediate, pre-indexed",
        4: "literal, unindexed",
        6: "literal, offset",
    }
)
GRANULE_STATUS: Final[Mapping[int, str]] = MappingProxyType(
    {
        0x00: "GPT address size fault, level 0",
        0x04: "GPT walk fault, level 0",
        0x05: "GPT walk fault, level 1",
        0x0C: "granule protection fault, level 0",
        0x0D: "granule protection fault, level 1",
        0x14: "synchronous external abort on GPT fetch, level 0",
        0x15: "synchronous external abort on GPT fetch, level 1",
    }
)
GCS_EXCEPTIONS: Final[Mapping[int, str]] = MappingProxyType(
    {0: "data check", 1: "EXLOCK", 2: "trapped GCSSTR or GCSSTTR"}
)
GCS_INSTRUCTIONS: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "return without pointer authentication",
        1: "GCSPOPM",
        2: "return with key A",
        3: "return with key B",
        4: "GCSSS1",
        5: "GCSSS2",
        8: "GCSPOPCX",
        9: "GCSPOPX",
    }
)


class Iss(Register):
    """A 25-bit ISS that no layout describes."""

    WIDTH = 25
    ISS = Field(24, 0)


class WfxIss(Register):
    """EC 0x01: WFI, WFE, WFIT or WFET."""

    WIDTH = 25
    CV = Field(24, words="COND is valid")
    COND = Field(23, 20, words="condition of the AArch32 instruction")
    RN = Field(9, 5, words="register of the timeout")
    RV = Field(2, words="RN is valid")
    TI = Field(1, 0, values={0: "WFI", 1: "WFE", 2: "WFIT", 3: "WFET"}, words="instruction")


class CoprocessorIss(Register):
    """EC 0x03, 0x05 and 0x08: AArch32 MCR, MRC and VMRS."""

    WIDTH = 25
    CV = Field(24, words="COND is valid")
    COND = Field(23, 20, words="condition of the AArch32 instruction")
    Opc2 = Field(19, 17)
    Opc1 = Field(16, 14)
    CRn = Field(13, 10)
    Rt = Field(9, 5, words="general register")
    CRm = Field(4, 1)
    Direction = Field(0, values={0: "write", 1: "read"}, words="direction of the move")


class CoprocessorPairIss(Register):
    """EC 0x04 and 0x0C: AArch32 MCRR and MRRC."""

    WIDTH = 25
    CV = Field(24, words="COND is valid")
    COND = Field(23, 20, words="condition of the AArch32 instruction")
    Opc1 = Field(19, 16)
    Rt2 = Field(14, 10, words="second general register")
    Rt = Field(9, 5, words="general register")
    CRm = Field(4, 1)
    Direction = Field(0, values={0: "write", 1: "read"}, words="direction of the move")


class LdcStcIss(Register):
    """EC 0x06: AArch32 LDC and STC."""

    WIDTH = 25
    CV = Field(24, words="COND is valid")
    COND = Field(23, 20, words="condition of the AArch32 instruction")
    imm8 = Field(19, 12, words="immediate")
    Rn = Field(9, 5, words="base register")
    Offset = Field(4, values={0: "subtract", 1: "add"}, words="sign of the offset")
    AM = Field(3, 1, values=ADDRESSING_MODES, words="addressing mode")
    Direction = Field(0, values={0: "write", 1: "read"}, words="direction of the move")


class FpTrapIss(Register):
    """EC 0x07: SVE, Advanced SIMD or floating-point, trapped by CPACR_EL1 or CPTR_ELx."""

    WIDTH = 25
    CV = Field(24, words="COND is valid")
    COND = Field(23, 20, words="condition of the AArch32 instruction")


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
    BTYPE = Field(1, 0, words="PSTATE.BTYPE")


class HvcSvcSmcIss(Register):
    """EC 0x11, 0x12 and 0x15 to 0x17: the immediate of SVC, HVC or SMC."""

    WIDTH = 25
    imm16 = Field(15, 0, words="immediate")


class Aarch32SmcIss(Register):
    """EC 0x13: an AArch32 SMC."""

    WIDTH = 25
    CV = Field(24, words="COND is valid")
    COND = Field(23, 20, words="condition of the AArch32 instruction")
    CCKNOWNPASS = Field(19, words="the instruction was unconditional or passed its condition")


class SystemPairMoveIss(Register):
    """EC 0x14: the 128-bit MSRR, MRRS and SYSP; Rt counts register pairs."""

    WIDTH = 25
    Op0 = Field(21, 20)
    Op2 = Field(19, 17)
    Op1 = Field(16, 14)
    CRn = Field(13, 10)
    Rt = Field(9, 6, words="general register")
    CRm = Field(4, 1)
    Direction = Field(0, values={0: "write", 1: "read"}, words="direction of the move")


class EretIss(Register):
    """EC 0x1A: ERET, ERETAA or ERETAB."""

    WIDTH = 25
    ERET = Field(1, values={0: "ERET", 1: "ERETAA or ERETAB"}, words="instruction")
    ERETA = Field(0, values={0: "ERETAA", 1: "ERETAB"}, words="key")


class TstartIss(Register):
    """EC 0x1B: TSTART."""

    WIDTH = 25
    Rd = Field(9, 5, words="destination register")


class PointerAuthFailIss(Register):
    """EC 0x1C: a failed pointer authentication; the Arm ARM does not name the two bits."""

    WIDTH = 25
    DATA_KEY = Field(1, values={0: "instruction key", 1: "data key"}, words="key kind")
    B_KEY = Field(0, values={0: "A key", 1: "B key"}, words="key")


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
    S2PTW = Field(21, words="fault of a stage-2 walk")
    InD = Field(20, values={0: "data", 1: "instruction"}, words="kind of access")
    GPCSC = Field(19, 14, values=GRANULE_STATUS, words="granule protection status")
    VNCR = Field(13, words="access through VNCR_EL2 (nested virtualization)")
    CM = Field(8, words="cache maintenance or address translation")
    S1PTW = Field(7, words="stage-2 fault of a stage-1 walk")
    WnR = Field(6, words="write, not read")
    xFSC = Field(5, 0, values=FAULT_STATUS, words="fault status")  # noqa: N815 - the manual's name


class InstructionAbortIss(Register):
    """EC 0x20 and 0x21: an instruction abort."""

    WIDTH = 25
    TopLevel = Field(21, words="fault of the top-level table (FEAT_THE)")
    PFV = Field(14, words="PFAR is valid")
    SET = Field(12, 11, values=SET_VALUES, words="state of the PE after an external abort")
    FnV = Field(10, words="FAR is not valid")
    EA = Field(9, words="external abort type (implementation defined)")
    S1PTW = Field(7, words="stage-2 fault of a stage-1 walk")
    IFSC = Field(5, 0, values=FAULT_STATUS, words="fault status")


class DataAbortIss(Register):
    """EC 0x24 and 0x25: a data abort. SAS is the log2 of the size in bytes; SAS to AR apply only with ISV."""

    WIDTH = 25
    ISV = Field(24, words="the instruction is described")
    SAS = Field(23, 22, values=ACCESS_SIZE, words="access size")
    SSE = Field(21, words="the value is sign-extended")
    SRT = Field(20, 16, words="general register")
    SF = Field(15, words="64-bit register")
    AR = Field(14, words="acquire or release")
    VNCR = Field(13, words="access through VNCR_EL2 (nested virtualization)")
    SET = Field(12, 11, values=SET_VALUES, words="state of the PE after an external abort")
    FnV = Field(10, words="FAR is not valid")
    EA = Field(9, words="external abort type (implementation defined)")
    CM = Field(8, words="cache maintenance or address translation")
    S1PTW = Field(7, words="stage-2 fault of a stage-1 walk")
    WnR = Field(6, words="write, not read")
    DFSC = Field(5, 0, values=FAULT_STATUS, words="fault status")


class MemoryOperationIss(Register):
    """EC 0x27: a memory copy or set instruction in the wrong state (FEAT_MOPS)."""

    WIDTH = 25
    MemInst = Field(24, values={0: "CPY", 1: "SET"}, words="instruction")
    isSETG = Field(23, words="tags are set too")  # noqa: N815 - the manual's name
    Options = Field(22, 19, words="options of the instruction")
    FromEpilogue = Field(18, words="epilogue, not main")
    WrongOption = Field(17, words="other option than the PE's")
    OptionA = Field(16, words="option A")
    destreg = Field(14, 10, words="destination register")
    srcreg = Field(9, 5, words="source register")
    sizereg = Field(4, 0, words="size register")


class FpExceptionIss(Register):
    """EC 0x28 and 0x2C: a trapped floating-point exception; the flags apply only with TFV."""

    WIDTH = 25
    TFV = Field(23, words="the flags are valid")
    VECITR = Field(10, 8, words="vector iteration")
    IDF = Field(7, words="input denormal")
    IXF = Field(4, words="inexact")
    UFF = Field(3, words="underflow")
    OFF = Field(2, words="overflow")
    DZF = Field(1, words="division by zero")
    IOF = Field(0, words="invalid operation")


class GcsIss(Register):
    """EC 0x2D: a guarded control stack exception."""

    WIDTH = 25
    ExType = Field(23, 20, values=GCS_EXCEPTIONS, words="kind of exception")
    Raddr = Field(14, 10, words="register of the address")
    Rn = Field(9, 5, words="register")
    IT = Field(4, 0, values=GCS_INSTRUCTIONS, words="instruction")


class SErrorIss(Register):
    """EC 0x2F: an SError interrupt; with IDS all other bits are implementation defined."""

    WIDTH = 25
    IDS = Field(24, words="the syndrome is implementation defined")
    IESB = Field(13, words="synchronized by the implicit barrier")
    AET = Field(12, 10, values=AET_VALUES, words="error type")
    EA = Field(9, words="external abort type (implementation defined)")
    DFSC = Field(5, 0, values=SERROR_STATUS, words="fault status")


class BreakpointIss(Register):
    """EC 0x30, 0x31 and 0x3A: a breakpoint or vector catch exception."""

    WIDTH = 25
    IFSC = Field(5, 0, values=DEBUG_STATUS, words="fault status")


class SoftwareStepIss(Register):
    """EC 0x32 and 0x33: software step; EX applies only with ISV."""

    WIDTH = 25
    ISV = Field(24, words="EX is valid")
    EX = Field(6, words="an exclusive load was stepped")
    IFSC = Field(5, 0, values=DEBUG_STATUS, words="fault status")


class WatchpointIss(Register):
    """EC 0x34 and 0x35: a watchpoint."""

    WIDTH = 25
    WPT = Field(23, 18, words="watchpoint number")
    WPTV = Field(17, words="WPT is valid")
    WPF = Field(16, words="the watchpoint may be a false positive")
    FnP = Field(15, words="FAR is not precise")
    VNCR = Field(13, words="access through VNCR_EL2 (nested virtualization)")
    FnV = Field(10, words="FAR is not valid")
    CM = Field(8, words="cache maintenance or address translation")
    WnR = Field(6, words="write, not read")
    DFSC = Field(5, 0, values=DEBUG_STATUS, words="fault status")


class BrkIss(Register):
    """EC 0x38 and 0x3C: the immediate of BKPT or BRK."""

    WIDTH = 25
    Comment = Field(15, 0, words="immediate")


class PmuIss(Register):
    """EC 0x3D: a PMU exception."""

    WIDTH = 25
    SYNC = Field(0, words="synchronous")
