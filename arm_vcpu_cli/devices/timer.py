"""The physical timer of EL1 as a hypervisor emulates it when it traps it: counter, comparator, control.

There is no interrupt behind it yet: a guest sees the condition in CNTP_CTL_EL0.ISTATUS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from arm_vcpu_cli.arch.bitfield import MASK64
from arm_vcpu_cli.arch.regs import CntCtl
from arm_vcpu_cli.arch.sysreg import SysReg, lookup

CNTPCT: Final = lookup("CNTPCT_EL0")
CNTP_CTL: Final = lookup("CNTP_CTL_EL0")
CNTP_CVAL: Final = lookup("CNTP_CVAL_EL0")
CNTP_TVAL: Final = lookup("CNTP_TVAL_EL0")
_MASK32: Final = (1 << 32) - 1
_SIGN32: Final = 1 << 31


class PhysicalTimer:
    """CNTPCT_EL0, CNTP_CTL_EL0, CNTP_CVAL_EL0 and CNTP_TVAL_EL0 over a counter given as a function."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._control = CntCtl(0)
        self._compare = 0

    def read(self, reg: SysReg) -> int | None:
        """The register's value, None for one that is not the timer's."""
        if reg == CNTPCT:
            return self._count() & MASK64
        if reg == CNTP_CTL:
            met = self._count() & MASK64 >= self._compare
            return int(self._control.replace(ISTATUS=int(bool(self._control.ENABLE) and met)))
        if reg == CNTP_CVAL:
            return self._compare
        if reg == CNTP_TVAL:
            # CNTP_TVAL_EL0 is UNKNOWN while disabled; the difference is as good as any.
            return (self._compare - self._count()) & _MASK32
        return None

    def write(self, reg: SysReg, value: int) -> bool:
        """Write a register; False for one that is not the timer's or is read-only."""
        if reg == CNTP_CTL:
            new = CntCtl(value)
            self._control = CntCtl.of(ENABLE=new.ENABLE, IMASK=new.IMASK)
        elif reg == CNTP_CVAL:
            self._compare = value & MASK64
        elif reg == CNTP_TVAL:
            offset = ((value & _MASK32) ^ _SIGN32) - _SIGN32
            self._compare = (self._count() + offset) & MASK64
        else:
            return False
        return True
