"""All registers of a stopped guest as lines of text, decoded where a layout is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from arm_vcpu_cli.arch.layouts import layout_of
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.arch.syndrome.esr import describe_esr
from arm_vcpu_cli.errors import EngineError
from arm_vcpu_cli.vm.machine import Machine

EL1_REGISTERS: Final = (
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
)
EL2_REGISTERS: Final = (
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
)
_IN_A_ROW: Final = 4
CHANGED: Final = "*"


def register_dump(machine: Machine, before: Sequence[int] | None = None) -> list[str]:
    """All general-purpose registers, PSTATE decoded, and the EL1 and EL2 system registers, decoded where known.

    ``before`` are x0 to x30 at an earlier time; those that have changed since are marked ``*``.
    """
    frame = machine.current.arch.ctx
    lines = []
    gprs = frame.gprs()
    for first in range(0, len(gprs), _IN_A_ROW):
        row = (_general(n, gprs[n], before) for n in range(first, min(first + _IN_A_ROW, len(gprs))))
        lines.append(" ".join(row).rstrip())
    lines.append(f"sp  {frame.sp:#018x}  SP_EL0 {frame.sp_el0:#x}  SP_EL1 {frame.sp_el1:#x}")
    symbol = machine.image.symbols.format(frame.elr)
    lines.append(f"pc  {frame.elr:#018x}" + (f" <{symbol}>" if symbol else ""))
    pstate = frame.spsr
    lines.append(f"{'PSTATE':<15} {int(pstate):#018x} {pstate.describe()}")
    for name in (*EL1_REGISTERS, *EL2_REGISTERS):
        try:
            value = machine.current.arch.read_sysreg(lookup(name))
        except EngineError:
            continue
        lines.append(f"{name:<15} {value:#018x} {_decoded(name, value)}".rstrip())
    lines.append(_last_exit(machine))
    return lines


def _general(number: int, value: int, before: Sequence[int] | None) -> str:
    changed = before is not None and before[number] != value
    return f"{f'x{number}':<3} {value:#018x}{CHANGED if changed else ' '}"


def _last_exit(machine: Machine) -> str:
    """ESR_EL2 of the last exit. The core's own syndrome may be that of a later exception at EL1."""
    esr = machine.current.arch.last_syndrome
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
