"""Advice on addresses that are too large: output addresses beyond TCR_EL1.IPS, and physical addresses."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.identification.idregs import PA_RANGE_BITS
from arm_vcpu_cli.arch.registers.el1regs import Sctlr, Tcr, Ttbr
from arm_vcpu_cli.arch.translation.walk import ADDRESS_SIZE, output_width
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.evidence import Evidence
from arm_vcpu_cli.inspect.postmortem.fault_facts import Fault
from arm_vcpu_cli.inspect.tables.both_stages import Stage
from arm_vcpu_cli.printable import decoded

_LAST_ADDRESS_SIZE: Final = 3
"""The last fault status code of an address size fault, at level 3."""
_LEAST_TEXT: Final = 4
_SPACE, _DELETE = 0x20, 0x7F
_BYTES: Final = 8


def address_size(evidence: Evidence) -> Advice | None:
    """An address size fault: the address that is too large, and the limit that it exceeds."""
    fault = evidence.fault
    if fault is None or fault.far is None or not 0 <= fault.status <= _LAST_ADDRESS_SIZE:
        return None
    if not Sctlr(evidence.sctlr).M:
        return Advice(
            f"With the MMU off, {fault.far:#x} is used as a physical address, which has fewer bits on "
            f"{evidence.description.cpu.model}.{as_text(fault.far)}",
            "check where the base register was loaded from",
        )
    stage = None if fault.translated is None else fault.translated.stage1
    if stage is None or stage.fault_kind != ADDRESS_SIZE:
        # The tables have changed since.
        return None
    ips = Tcr(evidence.tcr).IPS
    what, address = _beyond(evidence, fault, stage)
    meaning = f"{what} is {address:#x}, beyond the {output_width(ips)} bits that TCR_EL1.IPS = {ips:#05b} allows."
    ram = evidence.description.ram
    if not any(region.holds(address, 1) for region in evidence.description.memory):
        return Advice(
            f"{meaning} This machine has no memory there either: its RAM is {ram.base:#x} to {ram.end - 1:#x}.",
            "check how that address was computed",
        )
    needed = next(code for code, bits in enumerate(PA_RANGE_BITS) if not address >> bits)
    return Advice(
        meaning,
        f"set TCR_EL1.IPS to {needed:#05b} ({PA_RANGE_BITS[needed]} bits) or more, up to ID_AA64MMFR0_EL1.PARange",
    )


def _beyond(evidence: Evidence, fault: Fault, stage: Stage) -> tuple[str, int]:
    """The holder of the address that is too large, and the address."""
    if not stage.steps:
        upper = (fault.far or 0) >> 55 & 1
        return f"The first table, in TTBR{upper}_EL1,", Ttbr(evidence.ttbr[upper]).BADDR << 1
    last = stage.steps[-1]
    return f"The address in the {last.kind} descriptor of level {last.level} ({last.descriptor:#x})", last.output or 0


def as_text(address: int) -> str:
    """A sentence, after a space, on an address whose bytes are text; empty for any other."""
    data = address.to_bytes(_BYTES, "little").rstrip(b"\0")
    is_text = len(data) >= _LEAST_TEXT and all(_SPACE <= byte < _DELETE for byte in data)
    return f' Its bytes are text: "{decoded(data)}".' if is_text else ""
