"""Determines from its ID registers whether a CPU can run guests, which the crate's ``has_hardware_support`` assumes."""

from __future__ import annotations

from arm_vcpu_cli.arch.identification.idregs import Aa64Mmfr1, Aa64Pfr0


def supports_virtualisation(id_aa64pfr0: int, id_aa64mmfr1: int = 0) -> bool:
    """Return whether the ID registers announce a virtualisation extension that AArch64 guests can use.

    ID_AA64PFR0_EL1.EL2 must announce EL2 with AArch64, and so must EL1. ID_AA64MMFR1_EL1.VH alone, which some kernels
    expose without the former, also implies EL2.
    """
    pfr0 = Aa64Pfr0(id_aa64pfr0)
    return bool(pfr0.EL1) and bool(pfr0.EL2 or Aa64Mmfr1(id_aa64mmfr1).VH)
