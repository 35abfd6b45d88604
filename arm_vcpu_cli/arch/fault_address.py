"""Where a stage-2 fault was: the two registers that hold the halves of the address (D19.2.56, D19.2.65)."""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.el2regs import Hpfar

PAGE_OFFSET: Final = 0xFFF
_FIPA: Final = Hpfar.FIPA.mask << Hpfar.FIPA.lsb
_FIPA_TO_ADDRESS: Final = 12 - Hpfar.FIPA.lsb


def fault_ipa(hpfar: int, far: int) -> int:
    """The IPA of a stage-2 fault: HPFAR_EL2.FIPA has the page, FAR_EL2 the offset. It is on the exit path."""
    return (hpfar & _FIPA) << _FIPA_TO_ADDRESS | far & PAGE_OFFSET
