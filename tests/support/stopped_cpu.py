"""A vCPU whose guest is stopped, in a state of the test's choice."""

from __future__ import annotations

from arm_vcpu_cli.arch.registers.el1regs import EL1H_MASKED, Spsr
from arm_vcpu_cli.arch.registers.sysreg import SysReg, lookup
from arm_vcpu_cli.arm_vcpu.context_frame import TrapFrame
from tests.support.fake_core import FakeCore, write_pstate

MODE = Spsr(EL1H_MASKED).M


class StoppedCpu:
    """Has this PSTATE.M and SCTLR_EL1."""

    def __init__(self, mode: int = MODE, sctlr: int = 0) -> None:
        state = FakeCore().new_state()
        write_pstate(state, int(Spsr.of(M=mode)))
        self.ctx = TrapFrame(state)
        self._sctlr = sctlr

    def read_sysreg(self, reg: SysReg) -> int:
        """Return SCTLR_EL1; no other register exists."""
        assert reg == lookup("SCTLR_EL1")
        return self._sctlr
