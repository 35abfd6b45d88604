"""The usual causes of fatal exceptions other than aborts, by syndrome, instruction and registers."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.registers.el1regs import Sctlr
from arm_vcpu_cli.arch.registers.sysreg import decode_system_move
from arm_vcpu_cli.arch.syndrome.esr import ExceptionClass
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.break_advice import breakpoint_hit
from arm_vcpu_cli.inspect.postmortem.changed_advice import overwritten
from arm_vcpu_cli.inspect.postmortem.evidence import Evidence
from arm_vcpu_cli.inspect.postmortem.fault_facts import Fault
from arm_vcpu_cli.inspect.postmortem.output_advice import as_text

_INSTRUCTION: Final = 4
_HLT_MASK: Final = 0xFFE0001F
_HLT: Final = 0xD4400000
_SEMIHOSTING: Final = 0xD45E0000
_DEVICE_TREE: Final = 0xEDFE0DD0
"""The magic number 0xd00dfeed of a device tree, big-endian."""
_NEVER_RETURNING: Final = (
    (0xFC000000, 0x14000000),
    (0xFFFFFC1F, 0xD61F0000),
    (0xFFFFFC1F, 0xD65F0000),
    (0xFFFFFFFF, 0xD69F03E0),
)
"""Masks and values: B, BR, RET, ERET."""
_UDF: Final = 0xFFFF
"""The highest encoding of UDF; all lower ones are UDF, too."""
_OF_EL0: Final = 3
"""op1 of registers accessible from EL0."""
_PAC_ERRORS: Final = (0b01, 0b10)


def _fault_of(evidence: Evidence, *classes: ExceptionClass) -> Fault | None:
    fault = evidence.fault
    return fault if fault is not None and fault.exception_class in classes else None


def _branch_target(evidence: Evidence) -> Advice | None:
    if _fault_of(evidence, ExceptionClass.BRANCH_TARGET) is None:
        return None
    return Advice(
        "An indirect branch in a guarded page led to an instruction that is not a landing pad (BTI): a wrong "
        "function pointer, or code built without branch protection.",
        "build everything with -mbranch-protection=standard, or clear GP (bit 50) in the descriptors of code built "
        "without it",
    )


def _authentication(evidence: Evidence) -> Advice | None:
    fault = evidence.fault
    if fault is None:
        return None
    meaning = (
        "A pointer failed authentication (PAC): a return address on the stack was overwritten, or was signed with "
        "another key or at another SP."
    )
    step = "look for code that overwrites the stack frame of the returning function; compare the keys (AP*Key_EL1)"
    if fault.exception_class == ExceptionClass.POINTER_AUTH_FAIL:
        return Advice(meaning, step)
    # Without FEAT_FPAC the failure leaves an error code in the pointer's extension bits (AArch64.Auth).
    if not fault.is_fetch or fault.far is None or not Sctlr(evidence.sctlr).EnIA | Sctlr(evidence.sctlr).EnIB:
        return None
    top = fault.far >> 61
    return Advice(meaning, step) if top in _PAC_ERRORS and fault.far & (1 << 61) - 1 < 1 << 52 else None


def _undefined(evidence: Evidence) -> Advice | None:
    fault = _fault_of(evidence, ExceptionClass.UNKNOWN)
    if fault is None:
        return None
    word = fault.instruction
    if word == 0 and fault.pc != evidence.entry and not fault.after:
        return _zeros(fault)
    if word is not None and word & _HLT_MASK == _HLT:
        if word == _SEMIHOSTING and not evidence.description.semihosting:
            return Advice(
                "The guest makes a semihosting call, but semihosting is disabled on this machine.",
                "[semihosting] enabled = true in the machine file",
            )
        return Advice("HLT is undefined without a debugger, except for semihosting (HLT #0xF000).", "")
    elsewhere = _register_of_others(evidence, fault)
    if elsewhere is None and word is not None and fault.models is not None:
        return _missing_feature(evidence, fault)
    return elsewhere or _undefined_move(fault) or _no_instruction(evidence, fault)


def _zeros(fault: Fault) -> Advice:
    meaning = "There is no code here, only zeros (UDF #0)."
    before = fault.before[0] if fault.before else 0
    by = f" The guest got there through {fault.caller}." if fault.caller else ""
    if any(before & mask == value for mask, value in _NEVER_RETURNING):
        return Advice(
            f"{meaning} The instruction before them does not go on to them: the guest has jumped there.{by}",
            "the backtrace shows the callers, if x29 still holds a frame pointer",
        )
    if before:
        return Advice(
            f"{meaning} The instruction before them is the last one of some code, which runs on into them.",
            "look for a missing return, or for a call that should not return",
        )
    return Advice(
        f"{meaning} There are zeros before it, too: the guest has jumped to memory where nothing was loaded, or that "
        f"was cleared.{by}",
        "the backtrace shows the callers, if x29 still holds a frame pointer",
    )


def _no_instruction(evidence: Evidence, fault: Fault) -> Advice:
    word = "what is there" if fault.instruction is None else f"{fault.instruction:#010x}"
    if fault.instruction == _DEVICE_TREE:
        word += ", the first word of a device tree"
    if fault.pc == evidence.started_at:
        return Advice(
            f"CPU_ON has started this CPU at {fault.pc:#x}, where no code is ({word}).",
            "entry_point (x2) has to be the physical address (IPA) of code",
        )
    if fault.pc == evidence.entry:
        return Advice(
            f"Not even the first instruction ({word}) is valid: the file is not AArch64 code, or does not start with "
            "code.",
            "check the type of the file (file GUEST); --kernel-type overrides how it is loaded, --load-address where "
            "a raw binary goes",
        )
    if fault.instruction is not None and fault.instruction <= _UDF:
        return Advice(
            f"UDF #{fault.instruction:#x} ({word}) is undefined on every CPU: data executed as code, or code that "
            "must not be reached.",
            "the code and the source line above show where",
        )
    return Advice(
        f"The instruction ({word}) is undefined for this CPU at EL{fault.el}: data executed as code, or an extension "
        "that the CPU does not have.",
        "disassemble the guest there; code built with -march=armv8-a runs on every CPU model",
    )


def _missing_feature(evidence: Evidence, fault: Fault) -> Advice:
    model, have = evidence.description.cpu.model, fault.models or ()
    meaning = f"The instruction needs {fault.feature}, which {model} does not have."
    if not have:
        return Advice(meaning, "no CPU model has it: build the guest without it (-march=armv8-a)")
    models = " or ".join(f'"{name}"' for name in have)
    return Advice(meaning, f"[cpu] model = {models} in the machine file (-m), or build the guest without it")


def _register_of_others(evidence: Evidence, fault: Fault) -> Advice | None:
    """A register that no CPU model implements: of another Exception level, or of a component outside the CPU."""
    move = None if fault.instruction is None else decode_system_move(fault.instruction)
    if move is None:
        return None
    name, verb = move.reg.name, "reads" if move.is_read else "writes"
    if name.endswith(("_EL2", "_EL12", "_EL02", "_EL3")):
        level = "EL3" if name.endswith("_EL3") else "EL2"
        return Advice(
            f"The guest {verb} {name} and so expects to be at {level}, but guests start at EL1 here, under a "
            "hypervisor.",
            "read CurrentEL first and skip the setup of levels that are not there, as kernels do",
        )
    if name.startswith(("ICC_", "ICV_")) and not evidence.description.has_gic_registers:
        has = (
            "no interrupt controller"
            if evidence.description.gic is None
            else "a GICv2, whose registers are all memory-mapped"
        )
        return Advice(
            f"The guest {verb} {name}, but the machine has {has}.",
            'add a device with type = "gicv3" to the machine file; the virt preset has one'
            if evidence.description.gic is None
            else "--gic 3 gives the machine a GICv3",
        )
    if name.startswith("PM"):
        return Advice(f"The guest {verb} {name}, but there are no performance monitors, as ID_AA64DFR0_EL1 shows.", "")
    return None


def _undefined_move(fault: Fault) -> Advice | None:
    move = None if fault.instruction is None else decode_system_move(fault.instruction)
    if move is None:
        return None
    name, verb = move.reg.name, "reads" if move.is_read else "writes"
    if fault.el == 0:
        allowed = "" if move.reg.op1 != _OF_EL0 else ", or EL0 only where EL1 allows it"
        return Advice(f"EL0 {verb} {name}, which only EL1 may do{allowed}.", "")
    return Advice(
        f"The guest {verb} {name}, which this CPU does not have, or does not allow to be accessed that way.", ""
    )


def _floating_point(evidence: Evidence) -> Advice | None:
    fault = _fault_of(evidence, ExceptionClass.FP_ACCESS, ExceptionClass.SVE, ExceptionClass.SME)
    if fault is None:
        return None
    if fault.exception_class != ExceptionClass.FP_ACCESS:
        name, field = ("SVE", "ZEN") if fault.exception_class == ExceptionClass.SVE else ("SME", "SMEN")
        return Advice(
            f"The guest uses {name} while CPACR_EL1.{field} traps it.",
            f"set CPACR_EL1.{field} and FPEN to 0b11, and ISB, before any {name} code",
        )
    return Advice(
        "The guest uses SIMD or floating-point registers while CPACR_EL1.FPEN traps them; compilers do that for "
        "plain C, too.",
        "set CPACR_EL1.FPEN = 0b11 and ISB before any C code, or build with -mgeneral-regs-only",
    )


def _crooked_pc(evidence: Evidence) -> Advice | None:
    fault = evidence.fault
    if fault is not None and (fault.pc % _INSTRUCTION or fault.exception_class == ExceptionClass.PC_ALIGNMENT):
        return Advice(
            f"The guest has jumped to {fault.pc:#x}, which is not a multiple of 4.{as_text(fault.pc)}"
            + (f" The guest got there through {fault.caller}." if fault.caller else ""),
            "instructions are aligned: the register does not hold the address of a function, or something was "
            "added to it",
        )
    return None


def _illegal_state(evidence: Evidence) -> Advice | None:
    if _fault_of(evidence, ExceptionClass.ILLEGAL_STATE) is None and not evidence.pstate.IL:
        return None
    return Advice(
        "PSTATE.IL is set: the last ERET had an SPSR_EL1 that leads nowhere, such as to EL2 or to AArch32.",
        "SPSR_EL1.M has to be 0b0000 (EL0t), 0b0100 (EL1t) or 0b0101 (EL1h)",
    )


EXCEPTIONS: Final = (
    overwritten,
    _illegal_state,
    _crooked_pc,
    _branch_target,
    _authentication,
    _undefined,
    _floating_point,
    breakpoint_hit,
)
"""The most specific patterns first."""
