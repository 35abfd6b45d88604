"""The byte order of a guest's data: SCTLR_EL1.EE at EL1, E0E at EL0. Instructions are always little-endian."""

from __future__ import annotations

from typing import Final, Literal, Protocol

from arm_vcpu_cli.arch.registers.el1regs import Sctlr
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup
from arm_vcpu_cli.arm_vcpu.context_frame import TrapFrame

ByteOrder = Literal["little", "big"]

_SCTLR: Final = lookup("SCTLR_EL1")
_EL: Final = 0b1100
"""In PSTATE.M."""


class StoppedCpu(Protocol):
    """A vCPU whose guest is stopped."""

    ctx: TrapFrame

    def read_sysreg(self, reg: SysReg) -> int:
        """Return a system register."""


def data_order(cpu: StoppedCpu) -> ByteOrder:
    """The byte order of the loads and stores that the stopped guest executes next."""
    sctlr = Sctlr(cpu.read_sysreg(_SCTLR))
    return "big" if (sctlr.EE if cpu.ctx.spsr.M & _EL else sctlr.E0E) else "little"
