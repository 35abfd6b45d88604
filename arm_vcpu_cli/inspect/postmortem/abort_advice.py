"""The usual causes of data and instruction aborts of both stages, by address, kind of access and location."""

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
from arm_vcpu_cli.arch.instructions.loadstore import decode_load_store
from arm_vcpu_cli.arch.instructions.transfers import LoadStore, Unemulated
from arm_vcpu_cli.arch.registers.el1regs import Sctlr, Tcr
from arm_vcpu_cli.arch.registers.sysreg import decode_system_move, lookup
from arm_vcpu_cli.arch.translation.descriptor import Stage1Leaf
from arm_vcpu_cli.arch.translation.memtype import Access
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.evidence import Evidence
from arm_vcpu_cli.inspect.postmortem.fault_facts import Fault, is_missing
from arm_vcpu_cli.inspect.postmortem.output_advice import address_size, as_text
from arm_vcpu_cli.inspect.postmortem.place_advice import nothing_there
from arm_vcpu_cli.inspect.postmortem.stack_advice import stack_used_up
from arm_vcpu_cli.inspect.tables.both_stages import Translated
from arm_vcpu_cli.inspect.tables.ipa_map import nearest

_LEVEL: Final = 0b11
"""The translation level, in fault status codes that contain one."""
_NEAR_ZERO: Final = 0x1000
_BASE_STEP: Final = "check where {} was set, in the code above the line marked =>"
_CODE_STEP: Final = "the line marked => in the code section has the base register"
_SCTLR: Final = lookup("SCTLR_EL1")


def _mmu_switched_on(evidence: Evidence) -> Advice | None:
    fault = evidence.fault
    if fault is None or not fault.is_fetch or not (is_translation(fault.status) or is_permission(fault.status)):
        return None
    moves = [decode_system_move(word) for word in fault.before]
    if not any(move is not None and move.reg == _SCTLR and not move.is_read for move in moves):
        return None
    begin = "The guest has just enabled the MMU by writing SCTLR_EL1, and the next instruction cannot be fetched."
    reason = _permission(evidence) or _no_walk(evidence)
    if reason is not None:
        return Advice(f"{begin} {reason.meaning}", reason.step)
    return Advice(
        f"{begin} Nothing maps {fault.far or 0:#x}: the descriptor of level {fault.status & _LEVEL} is invalid"
        f"{_first_level(fault)}.",
        "identity-map the code that enables the MMU (VA = IPA), executable at EL1, and follow the write with an ISB",
    )


def _null_pointer(evidence: Evidence) -> Advice | None:
    fault = evidence.fault
    if fault is None or fault.far is None or fault.far >= _NEAR_ZERO or fault.stack is not None:
        return None
    if not (is_missing(fault) or is_permission(fault.status)):
        return None
    if fault.is_fetch:
        return Advice(f"The guest has jumped to address {fault.far:#x}.{_by(fault)}", _origin_step(fault))
    into = f", {fault.far:#x} bytes into the object that it should point to" if fault.far else ""
    base = _base(fault)
    if base is None:
        return Advice(f"A null pointer, judging by the address: {fault.far:#x}{into}.", _CODE_STEP)
    name, value = base
    if value:
        return Advice(f"The address is {fault.far:#x}, made from {name} = {value:#x}.", _BASE_STEP.format(name))
    return Advice(f"A null pointer: {name} is 0, and the address is {fault.far:#x}{into}.", _BASE_STEP.format(name))


def _wild_jump(evidence: Evidence) -> Advice | None:
    """An instruction fetch from an unmapped address, reached by a known call."""
    fault = evidence.fault
    if fault is None or not fault.is_fetch or fault.far is None or not fault.caller or not is_missing(fault):
        return None
    return Advice(
        f"The guest has jumped to {fault.far:#x}, from which nothing can be fetched.{_by(fault)}", _origin_step(fault)
    )


def _by(fault: Fault) -> str:
    return f" The guest got there through {fault.caller}." if fault.caller else ""


def _origin_step(fault: Fault) -> str:
    if "BLR" in fault.caller:
        return "check where that register was loaded from"
    return "the backtrace shows the callers, if x29 still holds a frame pointer"


def _base(fault: Fault) -> tuple[str, int] | None:
    """The base register of the load or store and its value at that time, if still known."""
    found = None if fault.instruction is None else decode_load_store(fault.instruction)
    if fault.registers is None or not isinstance(found, LoadStore) or found.base >= len(fault.registers):
        return None
    return f"x{found.base}", fault.registers[found.base]


def _table_walk(evidence: Evidence) -> Advice | None:
    fault = evidence.fault
    if fault is None or not is_external(fault.status) or fault.status == FSC_EXTERNAL:
        return None
    return Advice(
        f"A translation table is at an address without memory: {_wrong_table(evidence, fault)}.",
        "it has to be a physical address (IPA), not one of the kernel's virtual addresses",
    )


def _wrong_table(evidence: Evidence, fault: Fault) -> str:
    """The register or descriptor with the address of the table, and its value."""
    stage = None if fault.translated is None else fault.translated.stage1
    if stage is None or stage.fault_status != fault.status:
        # The tables have changed since the fault.
        return "TTBR0_EL1, TTBR1_EL1 or a table descriptor is wrong"
    if len(stage.steps) > 1:
        # The last step is the descriptor that cannot be read.
        table = stage.steps[-2]
        return f"the table descriptor of level {table.level} is {table.descriptor:#x}"
    upper = (fault.far or 0) >> 55 & 1
    return f"TTBR{upper}_EL1 is {evidence.ttbr[upper]:#x}"


def _external_abort(evidence: Evidence) -> Advice | None:
    fault = evidence.fault
    ipa = _ipa(fault)
    if fault is None or ipa is None or not is_external(fault.status):
        return None
    there = nothing_there(evidence.description, ipa, fault.access)
    place = nearest(evidence.description, ipa)
    if there is not None and fault.caller:
        return Advice(there.meaning + _by(fault), _origin_step(fault))
    if there is not None or place is None:
        return there
    if fault.is_fetch:
        return Advice(
            f"The guest fetches instructions from {place.name} (IPA {ipa:#x}), which is not memory.{_by(fault)}",
            _origin_step(fault),
        )
    return Advice(
        f"{place.name} refuses this access to its offset {ipa - place.base:#x}.",
        "access devices with aligned loads and stores of general-purpose registers, as wide as the device register",
    )


def _ipa(fault: Fault | None) -> int | None:
    return None if fault is None or fault.translated is None else fault.translated.ipa


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


def _atomic(evidence: Evidence) -> Advice | None:
    fault = evidence.fault
    if fault is None or not fault.is_data or fault.status != FSC_UNSUPPORTED_ATOMIC:
        return None
    ipa = _ipa(fault)
    place = None if ipa is None else nearest(evidence.description, ipa)
    return Advice(
        f"An exclusive or atomic access to {'a device' if place is None else place.name}, but only memory "
        "supports those.",
        "locks and counters must be in RAM; check where the pointer comes from",
    )


def _alignment(evidence: Evidence) -> Advice | None:
    fault = evidence.fault
    if fault is None or not fault.is_data or fault.status != FSC_ALIGNMENT:
        return None
    found = None if fault.instruction is None else decode_load_store(fault.instruction)
    if isinstance(found, Unemulated) and found.kind in ("exclusive", "atomic"):
        return Advice(
            f"The {found.kind} access to {fault.far or 0:#x} is not aligned to its size, which is always required.",
            "align the object; the usual cause is a lock in a packed structure",
        )
    if not isinstance(found, LoadStore):
        return None
    ipa = _ipa(fault)
    place = None if ipa is None else nearest(evidence.description, ipa)
    size = found.transfers[0].size
    return Advice(
        f"The access of {size} bytes to {fault.far or 0:#x} is not aligned to its size, as accesses to "
        f"{'Device memory' if place is None else place.name} have to be.",
        "access it in smaller parts: memcpy() and packed structures are not for devices",
    )


def _access_flag(evidence: Evidence) -> Advice | None:
    fault = evidence.fault
    if fault is None or not is_access_flag(fault.status):
        return None
    why = "TCR_EL1.HA is 0"
    if Tcr(evidence.tcr).HA:
        why = f"TCR_EL1.HA is 1, but {evidence.description.cpu.model} has no FEAT_HAFDBS"
    return Advice(
        f"The descriptor's access flag is clear, and nothing sets it: {why}.",
        "set AF (bit 10) in every block and page descriptor that should not fault",
    )


def _permission(evidence: Evidence) -> Advice | None:
    fault = evidence.fault
    if fault is None or not is_permission(fault.status) or fault.far is None:
        return None
    leaf = None if fault.translated is None else _leaf(fault.translated)
    if leaf is None:
        # The tables have changed since.
        return None
    if fault.access is Access.EXECUTE:
        return Advice(*_no_execution(evidence, fault, leaf))
    if fault.el == 0 and not leaf.AP & 1:
        return Advice(
            f"EL0 accesses {fault.far:#x}, in a page reserved for the kernel (AP[1] = 0).",
            "set AP[1] (bit 6) in the descriptors of pages that EL0 may access",
        )
    if fault.el == 1 and evidence.pstate.PAN and leaf.AP & 1:
        return Advice(
            f"EL1 accesses {fault.far:#x}, in a page of EL0, while PSTATE.PAN is set.",
            "use LDTR and STTR, or clear PAN for the access, or set SCTLR_EL1.SPAN",
        )
    if fault.access is Access.WRITE and leaf.AP & 2:
        return Advice(
            f"The guest writes to {fault.far:#x}, in a read-only page (AP[2] = 1).",
            "if the page should be writable, clear AP[2] (bit 7) in its descriptor",
        )
    return Advice(f"A table descriptor on the way to {fault.far:#x} forbids this access (APTable).", _walk_step(fault))


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
            f"EL1 cannot execute from pages that EL0 can write, such as the one at {far:#x} (AP = 0b01).",
            "give the kernel's code pages AP = 0b00 or 0b10",
        )
    if Sctlr(evidence.sctlr).WXN and not leaf.AP & 2:
        return (
            f"The page at {far:#x} is writable, and SCTLR_EL1.WXN forbids execution from writable pages.",
            "map code read-only (AP[2] = 1), or clear WXN",
        )
    return f"A table descriptor on the way to {far:#x} forbids execution (PXNTable, UXNTable).", _walk_step(fault)


def _translation(evidence: Evidence) -> Advice | None:
    fault = evidence.fault
    if fault is None or not is_translation(fault.status) or fault.far is None:
        return None
    return _no_walk(evidence) or Advice(
        f"Nothing maps {fault.far:#x}: the descriptor of level {fault.status & _LEVEL} is invalid.", _walk_step(fault)
    )


def _no_walk(evidence: Evidence) -> Advice | None:
    """A translation fault before the first table is read: TCR_EL1 allows no walk for the address."""
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
            f"{fault.far:#x} is not a valid virtual address: with {size}-bit addresses (TCR_EL1.T{upper}SZ = "
            f"{64 - size}) it lies in neither half.{as_text(fault.far)}",
            "check where the address came from, and TCR_EL1"
            if fault.is_fetch
            else "check where the base register was loaded from",
        )
    if control.EPD1 if upper else control.EPD0:
        return Advice(
            f"Walks with TTBR{upper}_EL1 are disabled (TCR_EL1.EPD{upper} = 1), and {fault.far:#x} needs one.",
            f"set TTBR{upper}_EL1 and clear EPD{upper}",
        )
    return None


def _first_level(fault: Fault) -> str:
    """A remark on the level at which the walk begins, which depends on TxSZ and TGx."""
    stage = None if fault.translated is None else fault.translated.stage1
    if stage is None or len(stage.steps) != 1 or stage.steps[0].level != fault.status & _LEVEL:
        return ""
    return f", where the walk begins ({stage.controls})"


def _walk_step(fault: Fault) -> str:
    return f"armvcpu walk GUEST {fault.far:#x} shows every level, and so does --report full"


ABORTS: Final = (
    _stage2_refuses,
    _mmu_switched_on,
    stack_used_up,
    _null_pointer,
    _table_walk,
    _external_abort,
    _wild_jump,
    _atomic,
    _alignment,
    _access_flag,
    _permission,
    _translation,
    address_size,
)
"""The most specific patterns first."""
