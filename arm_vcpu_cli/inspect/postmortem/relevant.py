"""The registers relevant to the end, in a few rows: those of the instruction, the exception, or the awaited
interrupt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from arm_vcpu_cli.arch.layouts import layout_of
from arm_vcpu_cli.arch.registers.el1regs import Sctlr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.context_frame import LINK_REGISTER
from arm_vcpu_cli.errors import EngineError
from arm_vcpu_cli.inspect.postmortem.disassembly import Disassembler
from arm_vcpu_cli.inspect.postmortem.evidence import Evidence
from arm_vcpu_cli.inspect.postmortem.fault_facts import Fault
from arm_vcpu_cli.inspect.postmortem.interrupt_registers import (
    Named,
    distributor_registers,
    interface_registers,
    redistributor_registers,
    timer_registers,
)
from arm_vcpu_cli.inspect.postmortem.screen import INDENT, WIDTH
from arm_vcpu_cli.vm.diagnosis import with_symbol
from arm_vcpu_cli.vm.endings import Ending
from arm_vcpu_cli.vm.machine import Machine

_TRANSLATION: Final = ("SCTLR_EL1", "TCR_EL1", "TTBR0_EL1", "TTBR1_EL1")
_EXCEPTION: Final = ("ESR_EL1", "FAR_EL1", "ELR_EL1", "SPSR_EL1")
_TRANSLATION_FAULTS: Final = range(0x10)
"""Fault status codes of address size, translation, access flag and permission faults (DDI 0487, ESR_ELx, DFSC)."""
_DECODED: Final = frozenset({"SPSR_EL1", "SCTLR_EL1", "TCR_EL1"})
"""The syndrome is decoded in the section on what happened."""
_IDLE: Final = frozenset(
    {"GICD_CTLR", "GICR_WAKER", "GICR_ISENABLER0", "GICR_ISPENDR0", "GICR_ISACTIVER0", "GICC_CTLR", "GICC_PMR"}
    | {"GICD_ISENABLER0", "GICD_ISPENDR0", "GICD_ISACTIVER0", "ICC_PMR_EL1", "ICC_RPR_EL1", "ICC_IGRPEN1_EL1"}
)
"""The registers that keep an interrupt from a CPU that waits for one."""
_GAP: Final = "  "


def relevant_registers(machine: Machine, evidence: Evidence, disassembler: Disassembler) -> Iterator[str]:
    """Rows of registers with their decoded values."""
    yield from _packed(_general(machine, evidence, disassembler))
    yield from _packed(_system(machine, evidence))
    if evidence.ending is Ending.NO_PROGRESS:
        pstate = evidence.pstate
        yield f"PSTATE {int(pstate):#x} {pstate.describe()}"
        yield from _packed(_interrupts(machine))


def _packed(entries: Iterable[str]) -> Iterator[str]:
    """The entries, packed into as few rows as possible."""
    row = ""
    for entry in entries:
        if row and len(row) + len(_GAP) + len(entry) > WIDTH - len(INDENT):
            yield row
            row = ""
        row = f"{row}{_GAP}{entry}" if row else entry
    if row:
        yield row


def _general(machine: Machine, evidence: Evidence, disassembler: Disassembler) -> Iterator[str]:
    frame = machine.current.arch.ctx
    yield f"pc {with_symbol(machine, frame.elr)}"
    yield f"sp {frame.sp:#x}"
    yield f"lr {with_symbol(machine, frame.gpr(LINK_REGISTER))}"
    for name in used_registers(evidence, disassembler):
        if name not in ("sp", f"x{LINK_REGISTER}"):
            yield f"{name} {frame.gpr(int(name[1:])):#x}"


def used_registers(evidence: Evidence, disassembler: Disassembler) -> Sequence[str]:
    """The registers that the instruction in question reads, unless they have changed since."""
    fault = evidence.fault
    if fault is None or fault.pc == evidence.pc:
        word, address = evidence.instruction, evidence.pc
    elif evidence.vector is not None:
        # Not even the first instruction of the vector was executed.
        word, address = fault.instruction, fault.pc
    else:
        return ()
    found = None if word is None else disassembler.decode(word, address)
    return () if found is None else found.reads


def _system(machine: Machine, evidence: Evidence) -> Iterator[str]:
    fault = evidence.fault
    names: list[str] = []
    if fault is not None and fault.at_el2:
        yield f"ESR_EL2 {fault.esr:#x}"
        if fault.far is not None:
            yield f"FAR_EL2 {fault.far:#x}"
    if (fault is not None and not fault.at_el2) or evidence.stuck:
        names += _EXCEPTION
    if evidence.stuck:
        names.append("VBAR_EL1")
    if _is_about_translation(evidence, fault):
        names += _TRANSLATION
    for name in names:
        value = _read(machine, name)
        if value is None:
            continue
        layout = layout_of(name, value) if name in _DECODED else None
        said = "" if layout is None else f" {layout(value).describe()}"
        yield f"{name} {value:#x}{said}"


def _is_about_translation(evidence: Evidence, fault: Fault | None) -> bool:
    statuses = [each.status for each in (fault,) if each is not None]
    if evidence.vector is not None:
        statuses.append(evidence.vector.esr & 0x3F if evidence.vector.far or evidence.vector.esr >> 27 == 0x10 else -1)
    return bool(Sctlr(evidence.sctlr).M) and any(status in _TRANSLATION_FAULTS for status in statuses)


def _interrupts(machine: Machine) -> Iterator[str]:
    """The enabled timers, and the GIC registers that keep interrupts from this CPU."""
    cpu = machine.current
    registers = [*timer_registers(cpu), *distributor_registers(cpu)]
    registers += [*redistributor_registers(cpu), *interface_registers(cpu)]
    control = 0
    for named in registers:
        if named.name.endswith("_CTL_EL0"):
            control = named.value
        if named.name.endswith("_CTL_EL0") or (named.name.endswith("_CVAL_EL0") and control) or _is_idle(named):
            yield _short(named)


def _is_idle(named: Named) -> bool:
    before, _, behind = named.name.partition("[")
    return (before + behind.partition("]")[2] if behind else before) in _IDLE


def _short(named: Named) -> str:
    return f"{named.name} {named.value:#x}" + (f" {named.text}" if named.text and named.value else "")


def _read(machine: Machine, name: str) -> int | None:
    try:
        return machine.current.arch.read_sysreg(lookup(name))
    except EngineError:
        return None
