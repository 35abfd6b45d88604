"""Registers, backtrace and the story of a guest that went wrong, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from arm_vcpu_cli.arch.esr import EC_SHIFT, describe_esr
from arm_vcpu_cli.arch.regs import layout_of
from arm_vcpu_cli.arch.sysreg import lookup
from arm_vcpu_cli.arm_vcpu.inject import El1Exception, sets_far
from arm_vcpu_cli.engine.port import CpuCore
from arm_vcpu_cli.errors import EngineError
from arm_vcpu_cli.machine.builder import Machine
from arm_vcpu_cli.machine.diagnosis import vector_failures
from arm_vcpu_cli.machine.runner import Ending, RunResult

EL1_REGISTERS: Final = [
    "SCTLR_EL1",
    "TCR_EL1",
    "TTBR0_EL1",
    "TTBR1_EL1",
    "MAIR_EL1",
    "VBAR_EL1",
    "ESR_EL1",
    "FAR_EL1",
    "ELR_EL1",
    "SPSR_EL1",
    "PAR_EL1",
    "CPACR_EL1",
    "CONTEXTIDR_EL1",
    "TPIDR_EL0",
    "TPIDRRO_EL0",
    "TPIDR_EL1",
    "CNTKCTL_EL1",
]
EL2_REGISTERS: Final = [
    "HCR_EL2",
    "VTCR_EL2",
    "VTTBR_EL2",
    "VMPIDR_EL2",
    "VPIDR_EL2",
    "CPTR_EL2",
    "MDCR_EL2",
    "CNTHCTL_EL2",
    "CNTVOFF_EL2",
    "VBAR_EL2",
]
_FRAME_POINTER: Final = 29
_LINK_REGISTER: Final = 30
_RECORD_SIZE: Final = 16
_INSTRUCTION_SIZE: Final = 4
_MAX_FRAMES: Final = 64


def _with_symbol(machine: Machine, address: int) -> str:
    symbol = machine.image.symbols.format(address)
    return f"{address:#018x}" + (f" <{symbol}>" if symbol else "")


def register_dump(machine: Machine) -> list[str]:
    """All general-purpose registers, PSTATE decoded, and the EL1 and EL2 system registers, decoded where known."""
    frame = machine.arch_vcpu.ctx
    lines = []
    gprs = frame.gprs()
    for first in range(0, len(gprs), 4):
        row = (f"{f'x{n}':<3} {gprs[n]:#018x}" for n in range(first, min(first + 4, len(gprs))))
        lines.append("  ".join(row))
    lines.append(f"sp  {frame.sp:#018x}  SP_EL0 {frame.sp_el0:#x}  SP_EL1 {frame.sp_el1:#x}")
    lines.append(f"pc  {_with_symbol(machine, frame.elr)}")
    pstate = frame.spsr
    lines.append(f"{'PSTATE':<15} {int(pstate):#018x} {pstate.describe()}")
    for name in (*EL1_REGISTERS, *EL2_REGISTERS):
        try:
            value = machine.arch_vcpu.read_sysreg(lookup(name))
        except EngineError:
            continue
        lines.append(f"{name:<15} {value:#018x} {_decoded(name, value)}".rstrip())
    lines.append(_last_exit(machine))
    return lines


def _last_exit(machine: Machine) -> str:
    """ESR_EL2 of the last exit. What the core calls its syndrome may be that of a later exception at EL1."""
    esr = machine.arch_vcpu.last_syndrome
    if esr is None:
        return f"{'ESR_EL2':<15} (no exit to EL2)"
    return f"{'ESR_EL2':<15} {esr:#018x} last exit: {describe_esr(esr)}"


def _decoded(name: str, value: int) -> str:
    if not value:
        return ""
    if name == "ESR_EL1":
        return describe_esr(value)
    layout = layout_of(name, value)
    return layout(value).describe() if layout is not None else ""


def backtrace(machine: Machine) -> Iterator[str]:
    """The chain of frame records from x29 (AAPCS64, 6.2.3), ending at the first that cannot be one.

    Where the first instruction of a vector could not be executed, what was interrupted stands below it.
    """
    frame = machine.arch_vcpu.ctx
    core = machine.host.core(0)
    exceptions = machine.arch_vcpu.el1_exceptions()
    failures = vector_failures(exceptions, machine.arch_vcpu.read_sysreg(lookup("VBAR_EL1")))
    addresses = []
    if failures and frame.elr == exceptions[-1].pc:
        # The vector has changed no register: the frame pointer is still that of the code below it.
        yield f"    {_with_symbol(machine, frame.elr)} (exception vector)"
        if failures < len(exceptions):
            addresses.append(exceptions[-1 - failures].pc)
    else:
        addresses.append(frame.elr)
    pointer = frame.gpr(_FRAME_POINTER)
    record = _frame_record(core, pointer)
    link = frame.gpr(_LINK_REGISTER)
    if (record is None or record[1] != link) and core.read_virtual(link, _INSTRUCTION_SIZE) is not None:
        # A leaf function has made no record of its own; its caller is only in x30, if that still is an address.
        addresses.append(link)
    while record is not None and len(addresses) < _MAX_FRAMES:
        following, back = record
        if not back:
            break
        addresses.append(back)
        record = _frame_record(core, following) if following > pointer else None
        pointer = following
    for number, address in enumerate(addresses):
        yield f"#{number:<2} {_with_symbol(machine, address)}"


def _frame_record(core: CpuCore, pointer: int) -> tuple[int, int] | None:
    """The frame record at an address: the address of the next one, and the return address."""
    record = core.read_virtual(pointer, _RECORD_SIZE) if pointer and pointer % 8 == 0 else None
    if record is None:
        return None
    return int.from_bytes(record[:8], "little"), int.from_bytes(record[8:], "little")


def _story(machine: Machine, exceptions: list[El1Exception]) -> Iterator[str]:
    for exception in exceptions:
        place = _with_symbol(machine, exception.pc)
        far = f" FAR_EL1={exception.far:#x}" if sets_far(exception.esr >> EC_SHIFT) else ""
        yield f"at {place}: ESR_EL1={exception.esr:#010x}{far} {describe_esr(exception.esr)}"


def death_report(machine: Machine) -> list[str]:
    """What a guest did that did not end by itself, and where: exceptions, backtrace, registers."""
    lines = []
    exceptions = list(machine.arch_vcpu.el1_exceptions())
    if exceptions:
        lines.append("exceptions at EL1 (the latest last, repetitions once, system calls left out):")
        lines.extend(f"  {line}" for line in _story(machine, exceptions))
    lines.append("backtrace:")
    lines.extend(f"  {line}" for line in backtrace(machine))
    lines.append("registers:")
    lines.extend(f"  {line}" for line in register_dump(machine))
    return lines


def wants_report(result: RunResult, *, regs: bool = False) -> bool:
    """Whether the end of a run needs explaining: a fault and a panic always do; with ``regs``, every end but the
    guest's own."""
    if regs and result.ending in (Ending.LIMIT, Ending.NO_PROGRESS, Ending.INTERRUPTED):
        return True
    return result.ending in (Ending.FAULT, Ending.PANIC)
