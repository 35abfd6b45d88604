"""Alignment that the guest has checked, and the modelled core does not check."""

from __future__ import annotations

from arm_vcpu_cli.arch.registers.el1regs import Sctlr
from arm_vcpu_cli.inspect.postmortem.advice import Advice
from arm_vcpu_cli.inspect.postmortem.evidence import Evidence


def unchecked_alignment(evidence: Evidence) -> Advice | None:
    """SCTLR_EL1.A is set (DDI 0487, B2.5.2, "Alignment of data accesses"), whatever ended the guest."""
    if not Sctlr(evidence.sctlr).A:
        return None
    return Advice(
        "SCTLR_EL1.A is 1: on hardware every access to memory that is not aligned takes an alignment fault. The "
        "modelled core does not check this, so such accesses go unnoticed here.",
        "build with -mstrict-align, or clear SCTLR_EL1.A",
    )
