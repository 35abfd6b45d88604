"""The address of a stage-2 fault, whose halves are in FAR_EL2 and HPFAR_EL2."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.registers.el2regs import Hpfar
from arm_vcpu_cli.arch.translation.descriptor import PAGE_SHIFT, PAGE_SIZE

PAGE_OFFSET: Final = PAGE_SIZE - 1
FIPA: Final = Hpfar.FIPA.mask << Hpfar.FIPA.lsb
FIPA_TO_ADDRESS: Final = PAGE_SHIFT - Hpfar.FIPA.lsb
"""The shift from HPFAR_EL2.FIPA in place to an address."""


def fault_ipa(hpfar: int, far: int) -> int:
    """Return the IPA of a stage-2 fault: HPFAR_EL2.FIPA has the page, FAR_EL2 the offset. Used on the exit path."""
    return (hpfar & FIPA) << FIPA_TO_ADDRESS | far & PAGE_OFFSET
