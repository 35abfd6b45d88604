"""ESR_ELx: exception classes, decoded syndromes for handlers, and encoded syndromes.

DDI 0487, D24.2, ESR_EL1 and ESR_EL2. Decoding never raises on a 64-bit value.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch import fault
from arm_vcpu_cli.arch.bitfield import Field, Register
from arm_vcpu_cli.arch.registers.sysreg import SysReg, SystemMove, SystemMoveIss
from arm_vcpu_cli.arch.syndrome import iss
from arm_vcpu_cli.record import Record


class ExceptionClass(IntEnum):
    """ESR_ELx.EC, 6 bits."""

    UNKNOWN = 0x00
    WFX = 0x01
    CP15_MCR = 0x03
    CP15_MCRR = 0x04
    CP14_MCR = 0x05
    CP14_LDC = 0x06
    FP_ACCESS = 0x07
    VMRS = 0x08
    POINTER_AUTH = 0x09
    LD64B = 0x0A
    CP14_MRRC = 0x0C
    BRANCH_TARGET = 0x0D
    ILLEGAL_STATE = 0x0E
    SVC32 = 0x11
    HVC32 = 0x12
    SMC32 = 0x13
    SYSTEM_PAIR = 0x14
    SVC64 = 0x15
    HVC64 = 0x16
    SMC64 = 0x17
    SYSTEM = 0x18
    SVE = 0x19
    ERET = 0x1A
    TSTART = 0x1B
    POINTER_AUTH_FAIL = 0x1C
    SME = 0x1D
    GRANULE_PROTECTION = 0x1E
    IMPLEMENTATION_DEFINED_EL3 = 0x1F
    INSTRUCTION_ABORT_LOWER = 0x20
    INSTRUCTION_ABORT = 0x21
    PC_ALIGNMENT = 0x22
    DATA_ABORT_LOWER = 0x24
    DATA_ABORT = 0x25
    SP_ALIGNMENT = 0x26
    MEMORY_OPERATION = 0x27
    FP_EXCEPTION32 = 0x28
    FP_EXCEPTION64 = 0x2C
    GUARDED_CONTROL_STACK = 0x2D
    SERROR = 0x2F
    BREAKPOINT_LOWER = 0x30
    BREAKPOINT = 0x31
    SOFTWARE_STEP_LOWER = 0x32
    SOFTWARE_STEP = 0x33
    WATCHPOINT_LOWER = 0x34
    WATCHPOINT = 0x35
    BKPT32 = 0x38
    VECTOR_CATCH32 = 0x3A
    BRK64 = 0x3C
    PMU = 0x3D


DATA_ABORTS: Final = (ExceptionClass.DATA_ABORT_LOWER, ExceptionClass.DATA_ABORT)
INSTRUCTION_ABORTS: Final = (ExceptionClass.INSTRUCTION_ABORT_LOWER, ExceptionClass.INSTRUCTION_ABORT)
"""From a lower Exception level, and from the same one."""

EC_NAMES: Final[Mapping[int, str]] = MappingProxyType(
    {
        ExceptionClass.UNKNOWN: "Unknown reason",
        ExceptionClass.WFX: "Trapped WF* instruction",
        ExceptionClass.CP15_MCR: "Trapped MCR or MRC access, coproc 15",
        ExceptionClass.CP15_MCRR: "Trapped MCRR or MRRC access, coproc 15",
        ExceptionClass.CP14_MCR: "Trapped MCR or MRC access, coproc 14",
        ExceptionClass.CP14_LDC: "Trapped LDC or STC access",
        ExceptionClass.FP_ACCESS: "Trapped SME, SVE, Advanced SIMD or floating-point access",
        ExceptionClass.VMRS: "Trapped VMRS access",
        ExceptionClass.POINTER_AUTH: "Trapped pointer authentication instruction",
        ExceptionClass.LD64B: "Trapped LD64B or ST64B* instruction",
        ExceptionClass.CP14_MRRC: "Trapped MRRC access, coproc 14",
        ExceptionClass.BRANCH_TARGET: "Branch Target Exception",
        ExceptionClass.ILLEGAL_STATE: "Illegal Execution state",
        ExceptionClass.SVC32: "SVC in AArch32 state",
        ExceptionClass.HVC32: "HVC in AArch32 state",
        ExceptionClass.SMC32: "SMC in AArch32 state",
        ExceptionClass.SYSTEM_PAIR: "Trapped MSRR, MRRS or SYSP instruction",
        ExceptionClass.SVC64: "SVC in AArch64 state",
        ExceptionClass.HVC64: "HVC in AArch64 state",
        ExceptionClass.SMC64: "SMC in AArch64 state",
        ExceptionClass.SYSTEM: "Trapped MSR, MRS or System instruction",
        ExceptionClass.SVE: "Trapped SVE access",
        ExceptionClass.ERET: "Trapped ERET, ERETAA or ERETAB",
        ExceptionClass.TSTART: "Trapped TSTART",
        ExceptionClass.POINTER_AUTH_FAIL: "Pointer authentication failure",
        ExceptionClass.SME: "Trapped SME access",
        ExceptionClass.GRANULE_PROTECTION: "Granule Protection Check exception",
        ExceptionClass.IMPLEMENTATION_DEFINED_EL3: "Implementation defined exception to EL3",
        ExceptionClass.INSTRUCTION_ABORT_LOWER: "Instruction Abort from a lower Exception level",
        ExceptionClass.INSTRUCTION_ABORT: "Instruction Abort without a change in Exception level",
        ExceptionClass.PC_ALIGNMENT: "PC alignment fault",
        ExceptionClass.DATA_ABORT_LOWER: "Data Abort from a lower Exception level",
        ExceptionClass.DATA_ABORT: "Data Abort without a change in Exception level",
        ExceptionClass.SP_ALIGNMENT: "SP alignment fault",
        ExceptionClass.MEMORY_OPERATION: "Memory Operation Exception",
        ExceptionClass.FP_EXCEPTION32: "Trapped floating-point exception in AArch32 state",
        ExceptionClass.FP_EXCEPTION64: "Trapped floating-point exception in AArch64 state",
        ExceptionClass.GUARDED_CONTROL_STACK: "GCS exception",
        ExceptionClass.SERROR: "SError",
        ExceptionClass.BREAKPOINT_LOWER: "Breakpoint from a lower Exception level",
        ExceptionClass.BREAKPOINT: "Breakpoint without a change in Exception level",
        ExceptionClass.SOFTWARE_STEP_LOWER: "Software Step from a lower Exception level",
        ExceptionClass.SOFTWARE_STEP: "Software Step without a change in Exception level",
        ExceptionClass.WATCHPOINT_LOWER: "Watchpoint from a lower Exception level",
        ExceptionClass.WATCHPOINT: "Watchpoint without a change in Exception level",
        ExceptionClass.BKPT32: "BKPT in AArch32 state",
        ExceptionClass.VECTOR_CATCH32: "Vector Catch in AArch32 state",
        ExceptionClass.BRK64: "BRK in AArch64 state",
        ExceptionClass.PMU: "PMU exception",
    }
)

ISS_LAYOUTS: Final[Mapping[int, type[Register]]] = MappingProxyType(
    {
        ExceptionClass.WFX: iss.WfxIss,
        ExceptionClass.CP15_MCR: iss.CoprocessorIss,
        ExceptionClass.CP15_MCRR: iss.CoprocessorPairIss,
        ExceptionClass.CP14_MCR: iss.CoprocessorIss,
        ExceptionClass.CP14_LDC: iss.LdcStcIss,
        ExceptionClass.FP_ACCESS: iss.FpTrapIss,
        ExceptionClass.VMRS: iss.CoprocessorIss,
        ExceptionClass.POINTER_AUTH: iss.PointerAuthTrapIss,
        ExceptionClass.LD64B: iss.Ld64bIss,
        ExceptionClass.CP14_MRRC: iss.CoprocessorPairIss,
        ExceptionClass.BRANCH_TARGET: iss.BranchTargetIss,
        ExceptionClass.SVC32: iss.HvcSvcSmcIss,
        ExceptionClass.HVC32: iss.HvcSvcSmcIss,
        ExceptionClass.SMC32: iss.Aarch32SmcIss,
        ExceptionClass.SYSTEM_PAIR: iss.SystemPairMoveIss,
        ExceptionClass.SVC64: iss.HvcSvcSmcIss,
        ExceptionClass.HVC64: iss.HvcSvcSmcIss,
        ExceptionClass.SMC64: iss.HvcSvcSmcIss,
        ExceptionClass.SYSTEM: SystemMoveIss,
        ExceptionClass.ERET: iss.EretIss,
        ExceptionClass.TSTART: iss.TstartIss,
        ExceptionClass.POINTER_AUTH_FAIL: iss.PointerAuthFailIss,
        ExceptionClass.SME: iss.SmeTrapIss,
        ExceptionClass.GRANULE_PROTECTION: iss.GranuleCheckIss,
        ExceptionClass.INSTRUCTION_ABORT_LOWER: iss.InstructionAbortIss,
        ExceptionClass.INSTRUCTION_ABORT: iss.InstructionAbortIss,
        ExceptionClass.DATA_ABORT_LOWER: iss.DataAbortIss,
        ExceptionClass.DATA_ABORT: iss.DataAbortIss,
        ExceptionClass.MEMORY_OPERATION: iss.MemoryOperationIss,
        ExceptionClass.FP_EXCEPTION32: iss.FpExceptionIss,
        ExceptionClass.FP_EXCEPTION64: iss.FpExceptionIss,
        ExceptionClass.GUARDED_CONTROL_STACK: iss.GcsIss,
        ExceptionClass.SERROR: iss.SErrorIss,
        ExceptionClass.BREAKPOINT_LOWER: iss.BreakpointIss,
        ExceptionClass.BREAKPOINT: iss.BreakpointIss,
        ExceptionClass.SOFTWARE_STEP_LOWER: iss.SoftwareStepIss,
        ExceptionClass.SOFTWARE_STEP: iss.SoftwareStepIss,
        ExceptionClass.WATCHPOINT_LOWER: iss.WatchpointIss,
        ExceptionClass.WATCHPOINT: iss.WatchpointIss,
        ExceptionClass.BKPT32: iss.BrkIss,
        ExceptionClass.VECTOR_CATCH32: iss.BreakpointIss,
        ExceptionClass.BRK64: iss.BrkIss,
        ExceptionClass.PMU: iss.PmuIss,
    }
)
"""The layout of the ISS by exception class; classes that are missing have no ISS."""


class Esr(Register):
    """ESR_ELx. ISS2 is the part of the syndrome above bit 31."""

    ISS2 = Field(55, 32, words="additional syndrome")
    EC = Field(31, 26, values=EC_NAMES, words="exception class")
    IL = Field(25, words="32-bit instruction")
    ISS = Field(24, 0, words="syndrome of the class")


# For the exit path, where reading a field through its declaration would take too long.
EC_SHIFT: Final = Esr.EC.lsb
_EC_MASK: Final = Esr.EC.mask
_ISS_MASK: Final = Esr.ISS.mask


def exception_class(esr: int) -> int:
    """Return ESR_ELx.EC as a number, which need not be a member of ``ExceptionClass``."""
    return esr >> EC_SHIFT & _EC_MASK


def iss_layout(esr: int) -> Register:
    """Return the ISS of a syndrome in the layout of its exception class; ``Iss`` if there is none."""
    return ISS_LAYOUTS.get(exception_class(esr), iss.Iss)(esr & _ISS_MASK)


@lru_cache(maxsize=4096)
def describe_esr(esr: int) -> str:
    """Return a syndrome in one line: ``EC=0x24 (Data Abort …) IL=1 ISV=1 … DFSC=0x07 (translation fault, level 3)``.

    Zero fields are omitted, except EC, IL and those whose zero has a meaning. An exception class that the Arm ARM does
    not define reads ``EC=0x2e(?)``. Never raises for 0 <= esr < 2**64.
    """
    syndrome = Esr(esr)
    parts = [f"EC={Esr.EC.text(syndrome.EC)}", f"IL={syndrome.IL}"]
    layout = iss_layout(esr)
    if syndrome.EC == ExceptionClass.SYSTEM:
        trap = decode_system_trap(esr)
        parts.append(f"{trap.reg.name} Rt={trap.register} {'read' if trap.is_read else 'write'}")
    else:
        values = layout.as_dict()
        parts.extend(
            f"{field.name}={field.text(values[field.name])}"
            for field in layout.fields()
            if values[field.name] or (field.width == 6 and 0 in field.values)
        )
    if syndrome.ISS2:
        parts.append(f"ISS2={syndrome.ISS2:#x}")
    return " ".join(parts)


class DataAbort(Record):
    """A data abort (EC 0x24, 0x25); ``size`` to ``acquire_release`` apply only if ``valid``."""

    valid: bool
    """ISV: whether the syndrome describes the instruction."""
    size: int
    """Bytes accessed: 1, 2, 4 or 8."""
    sign_extend: bool
    register: int
    """SRT, the register transferred, 0 to 31; 31 is XZR."""
    is_64bit: bool
    """SF: whether the register is 64 bits wide."""
    acquire_release: bool
    is_write: bool
    """WnR. Cache maintenance and address translation instructions count as writes."""
    cache_maintenance: bool
    """CM: whether the abort comes from a cache maintenance or address translation instruction."""
    stage1_walk: bool
    """S1PTW: whether the stage-2 fault occurred in the walk of the stage-1 tables."""
    far_valid: bool
    """Not FnV; for faults other than a synchronous external abort the address is always valid."""
    external: bool
    """Whether it is a synchronous external abort."""
    fault_status: int
    level: int
    """The level of the walk, 0 to 3; -1 if the fault has none."""
    is_translation: bool
    is_permission: bool
    is_access_flag: bool


@lru_cache(maxsize=4096)
def decode_data_abort(esr: int) -> DataAbort:
    """Decode the ISS of a data abort; the exception class is not checked."""
    syndrome = iss.DataAbortIss(esr & _ISS_MASK)
    code = syndrome.DFSC
    return DataAbort(
        valid=bool(syndrome.ISV),
        size=1 << syndrome.SAS,
        sign_extend=bool(syndrome.SSE),
        register=syndrome.SRT,
        is_64bit=bool(syndrome.SF),
        acquire_release=bool(syndrome.AR),
        is_write=bool(syndrome.WnR),
        cache_maintenance=bool(syndrome.CM),
        stage1_walk=bool(syndrome.S1PTW),
        far_valid=not syndrome.FnV,
        external=fault.is_external(code),
        fault_status=code,
        level=fault.fault_level(code),
        is_translation=fault.is_translation(code),
        is_permission=fault.is_permission(code),
        is_access_flag=fault.is_access_flag(code),
    )


class InstructionAbort(Record):
    """An instruction abort (EC 0x20, 0x21); the fields are those of ``DataAbort``."""

    stage1_walk: bool
    far_valid: bool
    external: bool
    fault_status: int
    level: int
    is_translation: bool
    is_permission: bool
    is_access_flag: bool


@lru_cache(maxsize=1024)
def decode_instruction_abort(esr: int) -> InstructionAbort:
    """Decode the ISS of an instruction abort; the exception class is not checked."""
    syndrome = iss.InstructionAbortIss(esr & _ISS_MASK)
    code = syndrome.IFSC
    return InstructionAbort(
        stage1_walk=bool(syndrome.S1PTW),
        far_valid=not syndrome.FnV,
        external=fault.is_external(code),
        fault_status=code,
        level=fault.fault_level(code),
        is_translation=fault.is_translation(code),
        is_permission=fault.is_permission(code),
        is_access_flag=fault.is_access_flag(code),
    )


class SystemTrap(Record):
    """A trapped MRS, MSR or system instruction (EC 0x18); ``register`` is Rt, 31 for XZR."""

    reg: SysReg
    register: int
    is_read: bool


@lru_cache(maxsize=4096)
def decode_system_trap(esr: int) -> SystemTrap:
    """Decode the ISS of EC 0x18; the exception class is not checked."""
    syndrome = SystemMoveIss(esr & _ISS_MASK)
    return SystemTrap(SysReg.from_iss(syndrome), syndrome.Rt, bool(syndrome.Direction))


def _esr(ec: int, syndrome: int, il: int = 1) -> int:
    return int(Esr.of(EC=ec, IL=il, ISS=syndrome))


def waits_for_event(esr: int) -> bool:
    """Whether the trapped instruction is WFE."""
    return esr >> EC_SHIFT == ExceptionClass.WFX and bool(iss.WfxIss(esr & _ISS_MASK).TI & 1)


def data_abort_esr(
    same_el: bool,
    fault_status: int,
    *,
    is_write: bool,
    il: int = 1,
    s1ptw: int = 0,
    cm: int = 0,
    fnv: int = 0,
) -> int:
    """Return the syndrome of a data abort without instruction syndrome (ISV = 0), as at EL1."""
    ec = ExceptionClass.DATA_ABORT if same_el else ExceptionClass.DATA_ABORT_LOWER
    layout = iss.DataAbortIss.of(FnV=fnv, CM=cm, S1PTW=s1ptw, WnR=int(is_write), DFSC=fault_status)
    return _esr(ec, layout, il)


def instruction_abort_esr(same_el: bool, fault_status: int, *, il: int = 1, s1ptw: int = 0, fnv: int = 0) -> int:
    """Return the syndrome of an instruction abort."""
    ec = ExceptionClass.INSTRUCTION_ABORT if same_el else ExceptionClass.INSTRUCTION_ABORT_LOWER
    return _esr(ec, iss.InstructionAbortIss.of(FnV=fnv, S1PTW=s1ptw, IFSC=fault_status), il)


def serror_esr(syndrome: int) -> int:
    """Return the syndrome of an SError interrupt with a 25-bit ISS."""
    return _esr(ExceptionClass.SERROR, syndrome)


def stack_alignment_esr() -> int:
    """Return the syndrome of an SP alignment fault."""
    return _esr(ExceptionClass.SP_ALIGNMENT, 0, 1)


def undefined_esr(il: int = 1) -> int:
    """Return the syndrome of an undefined instruction: EC 0. The architecture sets IL to 1 for it, whatever its
    length."""
    return _esr(ExceptionClass.UNKNOWN, 0, il)


def system_trap_esr(move: SystemMove) -> int:
    """Return the syndrome of a trapped MRS, MSR or system instruction."""
    named = SystemMoveIss(move.reg.iss)
    return _esr(ExceptionClass.SYSTEM, named.replace(Rt=move.rt, Direction=int(move.is_read)))


_INSTRUCTION_SYNDROME: Final = int(iss.DataAbortIss.of(ISV=1, SAS=3, SSE=1, SRT=31, SF=1, AR=1))
_FAULT_STATUS: Final = int(iss.DataAbortIss.of(DFSC=iss.DataAbortIss.DFSC.mask))


def without_isv(esr: int) -> int:
    """Return the syndrome of a data abort without the description of the instruction: ISV and ISS[23:14] are 0."""
    return esr & ~_INSTRUCTION_SYNDROME


def with_fault_status(esr: int, fault_status: int) -> int:
    """Return the syndrome of a data or instruction abort with another 6-bit DFSC or IFSC."""
    return esr & ~_FAULT_STATUS | fault_status
