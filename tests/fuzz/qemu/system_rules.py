"""Where QEMU 7.2 has other system registers than the manual (DDI 0487) or than the modelled CPU; by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from arm_vcpu_cli.arch.registers.sysreg import SysReg
from arm_vcpu_cli.arch.syndrome.esr import undefined_esr

DEBUG_CHANNEL: Final = "debug channel"
IDST: Final = "reads of ID registers"
ANOTHER_CPU: Final = "features of another CPU"
IDENTIFICATION: Final = "identification"
TIME: Final = "time and chance"
OWN: Final = "registers of an implementation"
SET: Final = "set by the program"

RULES: Final[Mapping[str, str]] = MappingProxyType(
    {
        DEBUG_CHANNEL: "QEMU has no registers for an external debugger: the channel, claim tags, power control and "
        "authentication status (D24.3)",
        IDST: "QEMU's max has FEAT_IDST, which reports undefined reads of ID registers, and those from EL0, with EC "
        "0x18 (A2.2.4, FEAT_IDST); the modelled CPU does not announce it",
        ANOTHER_CPU: "the manual asks for something else, because QEMU's ID registers announce other features "
        "(D24.2, ID_AA64*_EL1); QEMU does what it asks for there",
        IDENTIFICATION: "AArch32, EL2, EL3 and the features that the engine has not are hidden in ID registers "
        "(D24.2), and caches, GIC interface and debug registers are those of another implementation",
        TIME: "counters and what depends on them, and random numbers (D12.1, D24.2, RNDR)",
        OWN: "registers of the implementation (D24.2, op0 3, CRn 11 and 15) have the reset values of the CPU's own "
        "manual, where QEMU's are 0; and QEMU's max has those of Cortex-A57",
        SET: "each side has its own vectors, and QEMU's clears the OS lock, which is set at reset (D24.3, OSLSR_EL1)",
    }
)

_CHANNEL: Final = frozenset(
    "OSDTRRX_EL1 OSDTRTX_EL1 OSECCR_EL1 DBGPRCR_EL1 DBGCLAIMSET_EL1 DBGCLAIMCLR_EL1 DBGAUTHSTATUS_EL1 DBGDTR_EL0"
    " DBGDTRRX_EL0 MDCCINT_EL1".split()
)
_IDENTIFIED: Final = frozenset(
    "CLIDR_EL1 CCSIDR_EL1 ICC_CTLR_EL1 MIDR_EL1 REVIDR_EL1 AIDR_EL1 CTR_EL0 PMCR_EL0".split()
)
_TIMES: Final = frozenset("CNTPCT_EL0 CNTVCT_EL0 CNTP_TVAL_EL0 CNTV_TVAL_EL0 RNDR RNDRRS".split())
_SET: Final = frozenset("VBAR_EL1 OSLSR_EL1".split())
EXECUTED: Final = -1
"""In place of a syndrome."""
_OWN_CRN: Final = (11, 15)
_EC: Final = 26
_TRAPPED: Final = 0x18


def of_outcome(reg: SysReg | None, ours: int, wanted_there: int, theirs: int) -> str | None:
    """The rule by which an access may end otherwise; the syndromes are what the manual asks for here and there."""
    is_trapped = theirs >> _EC == _TRAPPED
    if ours != wanted_there and (theirs == wanted_there or is_trapped):
        # A trap from EL0: the controls of performance monitors are not modelled.
        return ANOTHER_CPU
    if reg is None:
        return None
    if reg.name in _CHANNEL and theirs == undefined_esr():
        return DEBUG_CHANNEL
    if _is_own(reg) and ours == undefined_esr() and theirs == EXECUTED:
        return OWN
    is_id = reg.op0 == 3 and reg.crn == 0 and reg.op1 in (0, 1, 3)
    return IDST if is_id and ours == undefined_esr() and is_trapped else None


def of_value(reg: SysReg) -> str | None:
    """The rule by which what a register reads at first may differ."""
    if reg.name in _IDENTIFIED or (reg.op0, reg.crn) == (3, 0):
        return IDENTIFICATION
    for names, rule in ((_TIMES, TIME), (_SET, SET), (_CHANNEL, DEBUG_CHANNEL)):
        if reg.name in names:
            return rule
    return OWN if _is_own(reg) else None


def _is_own(reg: SysReg) -> bool:
    return reg.crn in _OWN_CRN and (reg.op0, reg.op1) == (3, 1)
