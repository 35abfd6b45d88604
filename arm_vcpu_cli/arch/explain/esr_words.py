"""Describes a syndrome in a sentence: what happened, where, to which register (DDI 0487, D24.2, ESR_ELx)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.bitfield import Register
from arm_vcpu_cli.arch.explain.meanings import byte_count, general_register
from arm_vcpu_cli.arch.fault import fault_status_name
from arm_vcpu_cli.arch.syndrome import iss
from arm_vcpu_cli.arch.syndrome.esr import Esr, ExceptionClass, decode_data_abort, decode_system_trap
from arm_vcpu_cli.arch.syndrome.isslayouts import iss_of

_LOWER: Final = "from a lower Exception level"
_SAME: Final = "from the same Exception level"


def esr_sentence(register: str, esr: int) -> str:
    """Return the meaning of the syndrome in ESR_ELx (``register``), in a sentence or two."""
    syndrome = Esr(esr)
    words = _SENTENCES.get(syndrome.EC)
    if words is None:
        return f"Exception class {syndrome.EC:#04x} is reserved."
    return words(_Context(register.removeprefix("ESR_")[:3], esr, iss_of(esr)))


class _Context:
    """The basis of a sentence: the Exception level that took the exception, the syndrome, its ISS."""

    def __init__(self, level: str, esr: int, syndrome: Register) -> None:
        self.level = level
        self.esr = esr
        self.iss = syndrome

    def field(self, name: str) -> int:
        return int(getattr(self.iss, name))

    @property
    def from_where(self) -> str:
        """The origin. Debug exceptions and aborts have pairs of classes: an odd one has no change of level."""
        return _SAME if Esr(self.esr).EC & 1 else _LOWER


def _plain(sentence: str) -> Callable[[_Context], str]:
    return lambda _: sentence


def _immediate(instruction: str) -> Callable[[_Context], str]:
    return lambda context: f"{instruction} #{context.field('imm16'):#x}."


def _wfx(context: _Context) -> str:
    instruction = iss.WfxIss.TI.values[context.field("TI")]
    timeout = f" with its timeout in {general_register(context.field('RN'))}" if context.field("RV") else ""
    return f"Trapped {instruction}{timeout}."


def _coprocessor(number: int) -> Callable[[_Context], str]:
    def words(context: _Context) -> str:
        rt, is_read = context.field("Rt"), context.field("Direction")
        opc1, crn, crm, opc2 = (context.field(name) for name in ("Opc1", "CRn", "CRm", "Opc2"))
        access = f"p{number}, {opc1}, {general_register(rt)}, c{crn}, c{crm}, {opc2}"
        return f"Trapped AArch32 {'MRC' if is_read else 'MCR'} {access}."

    return words


def _coprocessor_pair(number: int) -> Callable[[_Context], str]:
    def words(context: _Context) -> str:
        name = "MRRC" if context.field("Direction") else "MCRR"
        first, second = general_register(context.field("Rt")), general_register(context.field("Rt2"))
        return f"Trapped AArch32 {name} p{number}, {context.field('Opc1')}, {first}, {second}, c{context.field('CRm')}."

    return words


def _system(context: _Context) -> str:
    trap = decode_system_trap(context.esr)
    register = general_register(trap.register)
    if trap.reg.op0 == 1:
        return f"Trapped {trap.reg.name} with {register}."
    if trap.is_read:
        return f"Trapped MRS {register}, {trap.reg.name}: a read of {trap.reg.name} into {register}."
    return f"Trapped MSR {trap.reg.name}, {register}: a write of {register} to {trap.reg.name}."


def _eret(context: _Context) -> str:
    if not context.field("ERET"):
        return "Trapped ERET."
    return f"Trapped {'ERETAB' if context.field('ERETA') else 'ERETAA'}."


def _pointer_authentication(context: _Context) -> str:
    kind = "data" if context.field("DATA_KEY") else "instruction"
    return f"A pointer failed authentication with {kind} key {'B' if context.field('B_KEY') else 'A'}."


_WITH_IPA: Final = ("translation fault", "access flag fault", "address size fault")


def _what_it_met(code: int, stage: str) -> str:
    """Return ``found no translation at level 1 of stage 2``, for the code of an MMU fault; a plain name for the
    rest."""
    name = fault_status_name(code)
    kind, _, level = name.partition(", level ")
    if kind == "translation fault":
        return f"found no translation at level {level}{stage}"
    if kind == "permission fault":
        return f"was not permitted by the descriptor at level {level}{stage}"
    if kind == "access flag fault":
        return f"met a clear access flag at level {level}{stage}"
    if kind == "address size fault":
        return f"met an address beyond the configured size at level {level}{stage}"
    return f"ended with {_article(name)} {name}"


def _article(words: str) -> str:
    return "an" if words[0] in "aeiou8" else "a"


def _stage(context: _Context) -> str:
    """Return the stage. An abort from a lower level that reaches EL2 is from stage 2, unless EL2 hosts EL0
    (HCR_EL2.TGE)."""
    is_lower = Esr(context.esr).EC in (ExceptionClass.DATA_ABORT_LOWER, ExceptionClass.INSTRUCTION_ABORT_LOWER)
    return " of stage 2" if context.level == "EL2" and is_lower else " of stage 1" if context.level == "EL1" else ""


def _where(context: _Context, code: int) -> str:
    """Describe where the address is. HPFAR_EL2 has the IPA of only some stage-2 faults (DDI 0487, HPFAR_EL2)."""
    if context.field("FnV"):
        return f"The address is not known: FAR_{context.level} is not valid."
    text = f"The virtual address is in FAR_{context.level}"
    if _stage(context) != " of stage 2":
        return f"{text}."
    kind = fault_status_name(code).partition(",")[0]
    if kind in _WITH_IPA or (kind == "permission fault" and context.field("S1PTW")):
        return f"{text}, its IPA in HPFAR_EL2."
    return f"{text}; HPFAR_EL2 is UNKNOWN."


def _walk(context: _Context) -> str:
    return " while it walked the stage-1 tables" if context.field("S1PTW") else ""


def _data_abort(context: _Context) -> str:
    abort = decode_data_abort(context.esr)
    if abort.valid:
        register = general_register(abort.register, is_64bit=abort.is_64bit)
        kind = f"{byte_count(abort.size).replace(' byte', '-byte').removesuffix('s')}"
        if abort.sign_extend:
            kind = f"sign-extending {kind}"
        if abort.acquire_release:
            kind = f"{'release' if abort.is_write else 'acquire'} {kind}"
        access = f"{_article(kind)} {kind} {f'write of {register}' if abort.is_write else f'read into {register}'}"
    elif abort.cache_maintenance:
        access = "a cache maintenance or address translation instruction"
    else:
        access = f"a {'write' if abort.is_write else 'read'} by an instruction that the syndrome does not describe"
    vncr = " through VNCR_EL2" if context.field("VNCR") else ""
    met = _what_it_met(abort.fault_status, _stage(context))
    return (
        f"Data abort {context.from_where}: {access}{vncr} {met}{_walk(context)}. {_where(context, abort.fault_status)}"
    )


def _instruction_abort(context: _Context) -> str:
    code = context.field("IFSC")
    met = _what_it_met(code, _stage(context))
    return f"Instruction abort {context.from_where}: the fetch {met}{_walk(context)}. {_where(context, code)}"


def _granule_check(context: _Context) -> str:
    access = "an instruction fetch" if context.field("InD") else "a write" if context.field("WnR") else "a read"
    status = iss.GranuleCheckIss.GPCSC.values.get(context.field("GPCSC"), "a reserved status")
    return f"Granule protection check exception: {access} met {status}."


def _serror(context: _Context) -> str:
    if context.field("IDS"):
        return "SError with an implementation defined syndrome."
    state = iss.SErrorIss.AET.values.get(context.field("AET"), "reserved")
    if context.field("DFSC") == 0:
        return "SError, not categorized."
    return f"Asynchronous SError; the error is {state}."


def _breakpoint(context: _Context) -> str:
    return f"Breakpoint {context.from_where}; its address is in ELR_{context.level}."


def _software_step(context: _Context) -> str:
    exclusive = " of an exclusive load" if context.field("ISV") and context.field("EX") else ""
    return f"Software step{exclusive} {context.from_where}."


def _watchpoint(context: _Context) -> str:
    access = "write" if context.field("WnR") else "read"
    which = f" {context.field('WPT')}" if context.field("WPTV") else ""
    return f"Watchpoint{which} {context.from_where}: a {access} of the address in FAR_{context.level}."


def _sme(context: _Context) -> str:
    reason = iss.SmeTrapIss.SMTC.values.get(context.field("SMTC"), "reserved reason")
    return f"Trapped SME instruction or register: {reason}."


def _memory_operation(context: _Context) -> str:
    name = "SET" if context.field("MemInst") else "CPY"
    return (
        f"A memory {name}* instruction cannot continue with the state in its registers (it may have moved to "
        "another PE)."
    )


def _floating_point(context: _Context) -> str:
    if not context.field("TFV"):
        return "Trapped floating-point exception."
    flags = [field.words for field in iss.FpExceptionIss.fields() if field.lsb <= 7 and context.field(field.name)]
    return f"Trapped floating-point exception: {', '.join(flags) or 'no flag is set'}."


def _control_stack(context: _Context) -> str:
    reason = iss.GcsIss.ExType.values.get(context.field("ExType"), "reserved")
    return f"Guarded control stack exception: {reason}."


def _load_store_64(context: _Context) -> str:
    return f"Trapped {iss.Ld64bIss.ISS.values.get(context.field('ISS'), 'LD64B or ST64B*')}."


def _system_pair(context: _Context) -> str:
    return f"Trapped 128-bit {'MRRS' if context.field('Direction') else 'MSRR'} or SYSP."


_SENTENCES: Final[Mapping[int, Callable[[_Context], str]]] = MappingProxyType(
    {
        ExceptionClass.UNKNOWN: _plain("The instruction is UNDEFINED, or the reason has no class of its own."),
        ExceptionClass.WFX: _wfx,
        ExceptionClass.CP15_MCR: _coprocessor(15),
        ExceptionClass.CP15_MCRR: _coprocessor_pair(15),
        ExceptionClass.CP14_MCR: _coprocessor(14),
        ExceptionClass.CP14_LDC: _plain("Trapped AArch32 LDC or STC of the debug communications channel."),
        ExceptionClass.FP_ACCESS: _plain("Trapped SVE, Advanced SIMD or floating-point (CPACR_EL1.FPEN, CPTR_ELx)."),
        ExceptionClass.VMRS: _plain("Trapped AArch32 VMRS of an identification register."),
        ExceptionClass.POINTER_AUTH: _plain("Trapped pointer authentication (HCR_EL2.API or SCR_EL3.API is 0)."),
        ExceptionClass.LD64B: _load_store_64,
        ExceptionClass.CP14_MRRC: _coprocessor_pair(14),
        ExceptionClass.BRANCH_TARGET: _plain("An indirect branch hit an instruction other than a branch target (BTI)."),
        ExceptionClass.ILLEGAL_STATE: _plain("An instruction was to execute with PSTATE.IL set: an illegal return."),
        ExceptionClass.SVC32: _immediate("AArch32 SVC"),
        ExceptionClass.HVC32: _immediate("AArch32 HVC"),
        ExceptionClass.SMC32: _plain("Trapped AArch32 SMC."),
        ExceptionClass.SYSTEM_PAIR: _system_pair,
        ExceptionClass.SVC64: _immediate("System call: SVC"),
        ExceptionClass.HVC64: _immediate("Hypervisor call: HVC"),
        ExceptionClass.SMC64: _immediate("Secure monitor call: SMC"),
        ExceptionClass.SYSTEM: _system,
        ExceptionClass.SVE: _plain("Trapped SVE (CPACR_EL1.ZEN, CPTR_ELx)."),
        ExceptionClass.ERET: _eret,
        ExceptionClass.TSTART: _plain("Trapped TSTART."),
        ExceptionClass.POINTER_AUTH_FAIL: _pointer_authentication,
        ExceptionClass.SME: _sme,
        ExceptionClass.GRANULE_PROTECTION: _granule_check,
        ExceptionClass.IMPLEMENTATION_DEFINED_EL3: _plain("An implementation defined exception to EL3."),
        ExceptionClass.INSTRUCTION_ABORT_LOWER: _instruction_abort,
        ExceptionClass.INSTRUCTION_ABORT: _instruction_abort,
        ExceptionClass.PC_ALIGNMENT: _plain("The PC is not aligned to 4 bytes."),
        ExceptionClass.DATA_ABORT_LOWER: _data_abort,
        ExceptionClass.DATA_ABORT: _data_abort,
        ExceptionClass.SP_ALIGNMENT: _plain("The stack pointer is not aligned to 16 bytes."),
        ExceptionClass.MEMORY_OPERATION: _memory_operation,
        ExceptionClass.FP_EXCEPTION32: _floating_point,
        ExceptionClass.FP_EXCEPTION64: _floating_point,
        ExceptionClass.GUARDED_CONTROL_STACK: _control_stack,
        ExceptionClass.SERROR: _serror,
        ExceptionClass.BREAKPOINT_LOWER: _breakpoint,
        ExceptionClass.BREAKPOINT: _breakpoint,
        ExceptionClass.SOFTWARE_STEP_LOWER: _software_step,
        ExceptionClass.SOFTWARE_STEP: _software_step,
        ExceptionClass.WATCHPOINT_LOWER: _watchpoint,
        ExceptionClass.WATCHPOINT: _watchpoint,
        ExceptionClass.BKPT32: lambda context: f"AArch32 BKPT #{context.field('Comment'):#x}.",
        ExceptionClass.VECTOR_CATCH32: _plain("An AArch32 vector catch."),
        ExceptionClass.BRK64: lambda context: f"BRK #{context.field('Comment'):#x}.",
        ExceptionClass.PMU: _plain("An exception of the performance monitors."),
    }
)
