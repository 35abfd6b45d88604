"""What aborts usually mean: data and instruction aborts of both stages, by what was accessed, how and where."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.fault import (
    FSC_ALIGNMENT,
    FSC_EXTERNAL,
    FSC_UNSUPPORTED_ATOMIC,
    is_access_flag,
    is_external,
    is_permission,
    is_translation,
)
from arm_vcpu_cli.arch.instructions.loadstore import SP, LoadStore, decode_load_store
from arm_vcpu_cli.arch.registers.el1regs import Sctlr, Tcr
from arm_vcpu_cli.arch.registers.sysreg import decode_system_move, lookup
from arm_vcpu_cli.arch.translation.descriptor import Stage1Leaf
from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.evidence import Evidence, Fault
from arm_vcpu_cli.inspect.postmortem.place_advice import nothing_there
from arm_vcpu_cli.inspect.tables.both_stages import Translated

_NEAR_ZERO: Final = 0x1000
_NEAR_TOP: Final = (1 << 64) - 0x1_0000
_TRANSLATION_FAULTS: Final = 4
"""The fault status codes below are address size faults."""
_SCTLR: Final = lookup("SCTLR_EL1")


def _mmu_switched_on(evidence: Evidence) -> Advice | None:
    fault = evidence.fault
    if fault is None or not fault.is_fetch or not (is_translation(fault.status) or is_permission(fault.status)):
        return None
    moves = [decode_system_move(word) for word in fault.before]
    if not any(move is not None and move.reg == _SCTLR and not move.is_read for move in moves):
        return None
    begin = "The MMU has just been switched on (MSR SCTLR_EL1), and the next instruction cannot be fetched."
    reason = _permission(evidence)
    if reason is not None:
        return Advice(f"{begin} {reason.meaning}", reason.step)
    return Advice(
        f"{begin} Nothing maps {fault.far or 0:#x}.",
        "map the code that switches the MMU on at its own address (VA = IPA), executable at EL1, and mind the barriers",
    )


def _stack(evidence: Evidence) -> Advice | None:
    """A stack that was never set up, and one that has run out: an access through SP that reaches nothing."""
    fault = evidence.fault
    if fault is None or not fault.is_data or not _is_missing(fault) or not _uses_sp(fault):
        return None
    if fault.sp == 0 or fault.sp >= _NEAR_TOP:
        return Advice(
            f"The guest uses its stack before it has set SP (SP is {fault.sp:#x}; it is 0 at reset).",
            "load SP with the end of some memory first of all; at EL1 with SPSel = 1 that is SP_EL1",
        )
    return Advice(
        f"The stack has run out: SP is {fault.sp:#x}, and there is no memory at {fault.far or 0:#x}.",
        "look in the backtrace for a recursion without an end; else make the stack larger",
    )


def _is_missing(fault: Fault) -> bool:
    """Whether nothing is at the address, as far as the access could tell."""
    return is_translation(fault.status) or is_external(fault.status) or fault.status < _TRANSLATION_FAULTS


def _uses_sp(fault: Fault) -> bool:
    """Whether SP is the base register of the load or store."""
    found = None if fault.instruction is None else decode_load_store(fault.instruction)
    return isinstance(found, LoadStore) and found.base == SP and found.offset is not None


def _null_pointer(evidence: Evidence) -> Advice | None:
    fault = evidence.fault
    if fault is None or fault.far is None or fault.far >= _NEAR_ZERO:
        return None
    if not (_is_missing(fault) or is_permission(fault.status)):
        return None
    if fault.is_fetch:
        return Advice(
            f"A call or a return to address {fault.far:#x}: a null function pointer, or a return address that is gone.",
            "x30 usually still says who made the call (backtrace)",
        )
    offset = f", {fault.far:#x} bytes into what it should point to" if fault.far else ""
    return Advice(f"A null pointer: the address is {fault.far:#x}{offset}.", "the code section shows the base register")


def _table_walk(evidence: Evidence) -> Advice | None:
    fault = evidence.fault
    if fault is None or not is_external(fault.status) or fault.status == FSC_EXTERNAL:
        return None
    return Advice(
        "A translation table lies where there is no memory: TTBR0_EL1, TTBR1_EL1 or a table descriptor is wrong.",
        "addresses in them are physical (IPAs): a virtual address of the kernel does not do",
    )


def _external_abort(evidence: Evidence) -> Advice | None:
    fault = evidence.fault
    if fault is None or not is_external(fault.status):
        return None
    ipa = None if fault.translated is None else fault.translated.ipa
    if ipa is None:
        return Advice("The access reached something that answers with an error.", "")
    return nothing_there(evidence.description, ipa, fault.access) or Advice(
        f"The device or memory at IPA {ipa:#x} refuses this access.",
        "a device takes aligned accesses of its registers' width, and no instruction fetches",
    )


def _stage2_refuses(evidence: Evidence) -> Advice | None:
    """A region whose ``on_fault`` is "stop"."""
    fault = evidence.fault
    if fault is None or not fault.at_el2 or fault.translated is None or fault.translated.ipa is None:
        return None
    faulting = fault.translated.faulting
    return (
        None
        if faulting is None or faulting.number == 1
        else nothing_there(evidence.description, fault.translated.ipa, fault.access)
    )


def _alignment(evidence: Evidence) -> Advice | None:
    fault = evidence.fault
    if fault is None or not fault.is_data or fault.status not in (FSC_ALIGNMENT, FSC_UNSUPPORTED_ATOMIC):
        return None
    mmu = bool(Sctlr(evidence.sctlr).M)
    if fault.status == FSC_UNSUPPORTED_ATOMIC:
        return Advice(
            "An exclusive or atomic access to memory that does not support it: a device, or Device memory.",
            "switch the MMU on and map RAM as Normal write-back memory before taking locks",
        )
    if not mmu:
        return Advice(
            "An access that is not aligned, with the MMU off: all data is Device memory then, where alignment counts.",
            "build with -mstrict-align, or switch the MMU on first",
        )
    memory = None if fault.translated is None else fault.translated.memory
    if memory is not None and memory.is_device:
        return Advice(
            f"An access that is not aligned, to {memory.value} memory.",
            "use accesses of the registers' width; is this RAM, map it as Normal memory (AttrIndx, MAIR_EL1)",
        )
    return Advice(
        "An access that is not aligned, with SCTLR_EL1.A set, or one that always has to be (exclusive, atomic, "
        "acquire or release).",
        "build with -mstrict-align, or clear SCTLR_EL1.A",
    )


def _access_flag(evidence: Evidence) -> Advice | None:
    fault = evidence.fault
    if fault is None or not is_access_flag(fault.status):
        return None
    return Advice(
        "The descriptor has its access flag clear, and nothing sets it: TCR_EL1.HA is 0.",
        "set AF (bit 10) in every block and page descriptor that is not meant to fault",
    )


def _permission(evidence: Evidence) -> Advice | None:
    fault = evidence.fault
    if fault is None or not is_permission(fault.status) or fault.far is None:
        return None
    leaf = None if fault.translated is None else _leaf(fault.translated)
    if leaf is None:
        return Advice(f"The page at {fault.far:#x} does not allow this access.", _walk_step(fault))
    if fault.access is Access.EXECUTE:
        return Advice(*_no_execution(evidence, fault, leaf))
    if fault.el == 0 and not leaf.AP & 1:
        return Advice(
            f"EL0 reaches for {fault.far:#x}, a page of the kernel alone (AP[1] = 0).",
            "set AP[1] (bit 6) for what EL0 may reach",
        )
    if fault.el == 1 and evidence.pstate.PAN and leaf.AP & 1:
        return Advice(
            f"EL1 reaches for {fault.far:#x}, a page of EL0, with PSTATE.PAN set.",
            "use LDTR and STTR, or clear PAN for the access, or set SCTLR_EL1.SPAN",
        )
    if fault.access is Access.WRITE and leaf.AP & 2:
        return Advice(
            f"A write to {fault.far:#x}, a read-only page (AP[2] = 1): a constant, code, or a page shared until it is "
            "written.",
            "the symbol of the address says what it is; AP[2] is bit 7 of the descriptor",
        )
    return Advice(f"A table descriptor on the way to {fault.far:#x} forbids it (APTable).", _walk_step(fault))


def _leaf(translated: Translated) -> Stage1Leaf | None:
    stage = translated.stage1
    if stage is None or not stage.steps or stage.steps[-1].kind not in ("block", "page"):
        return None
    return Stage1Leaf(stage.steps[-1].descriptor)


def _no_execution(evidence: Evidence, fault: Fault, leaf: Stage1Leaf) -> tuple[str, str]:
    far = fault.far or 0
    if fault.el == 0:
        bit, name = leaf.UXN, "UXN (bit 54)"
    else:
        bit, name = leaf.PXN, "PXN (bit 53)"
    if bit:
        return f"The page at {far:#x} is not executable at EL{fault.el}: {name} is set.", f"clear {name.split()[0]}"
    if fault.el == 1 and leaf.AP == 0b01:
        return (
            f"EL1 may not execute what EL0 can write, and the page at {far:#x} is such a one (AP = 0b01).",
            "give the kernel's code pages AP = 0b00 or 0b10",
        )
    if Sctlr(evidence.sctlr).WXN and not leaf.AP & 2:
        return (
            f"The page at {far:#x} is writable, and SCTLR_EL1.WXN makes that never executable.",
            "map code read-only (AP[2] = 1), or clear WXN",
        )
    return f"A table descriptor on the way to {far:#x} forbids execution (PXNTable, UXNTable).", _walk_step(fault)


def _translation(evidence: Evidence) -> Advice | None:
    fault = evidence.fault
    if fault is None or not is_translation(fault.status) or fault.far is None:
        return None
    control = Tcr(evidence.tcr)
    upper = fault.far >> 55 & 1
    size = 64 - (control.T1SZ if upper else control.T0SZ)
    top = 56 if (control.TBI1 if upper else control.TBI0) else 64
    above = (fault.far & (1 << top) - 1) >> size
    if above not in (0, (1 << top - size) - 1):
        return Advice(
            f"{fault.far:#x} is no virtual address: with {size} bits it lies in neither half. It looks like data that "
            "was taken for a pointer.",
            "look where the base register was loaded from; a structure that was overwritten or never filled",
        )
    if control.EPD1 if upper else control.EPD0:
        return Advice(
            f"Walks with TTBR{upper}_EL1 are disabled (TCR_EL1.EPD{upper} = 1), and {fault.far:#x} needs one.",
            f"set TTBR{upper}_EL1 and clear EPD{upper}",
        )
    return Advice(
        f"Nothing maps {fault.far:#x}: the descriptor of level {fault.status & 3} is invalid.", _walk_step(fault)
    )


def _address_size(evidence: Evidence) -> Advice | None:
    fault = evidence.fault
    if fault is None or not (fault.is_data or fault.is_fetch) or fault.status > 3:
        return None
    return Advice(
        "A descriptor or TTBR has an address beyond the output size (TCR_EL1.IPS), or with the MMU off the address is "
        "beyond the CPU's physical ones.",
        "set TCR_EL1.IPS from ID_AA64MMFR0_EL1.PARange; else the descriptor is garbage",
    )


def _walk_step(fault: Fault) -> str:
    return f"armvcpu walk GUEST {fault.far:#x} shows every level; the translation is below, too"


ABORTS: Final = (
    _stage2_refuses,
    _mmu_switched_on,
    _stack,
    _null_pointer,
    _table_walk,
    _external_abort,
    _alignment,
    _access_flag,
    _permission,
    _translation,
    _address_size,
)
"""The more particular ones first."""
