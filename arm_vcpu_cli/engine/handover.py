"""Sets up EL3 as firmware does before it hands over a PE to a hypervisor at EL2.

The core resets to EL3. The hypervisor needs EL2 and below to be Non-secure and AArch64, with HVC enabled and no trap to
EL3.
"""

from __future__ import annotations

from typing import Final

from arm_vcpu_cli.arch.registers.el2regs import Cptr, Scr
from arm_vcpu_cli.arch.registers.sysreg import lookup
from arm_vcpu_cli.engine.unicorn_api import Engine

_SCR_EL3: Final = lookup("SCR_EL3")
_CPTR_EL2: Final = lookup("CPTR_EL2")
_CPTR_EL3: Final = lookup("CPTR_EL3")
_ZCR_EL2: Final = lookup("ZCR_EL2")
_ZCR_EL3: Final = lookup("ZCR_EL3")

_CPTR_EL2_NO_TRAPS: Final = int(Cptr.of(RES1_13=1, TSM=1, RES1_9=1, RES1=0xFF))
"""CPTR_EL2 with its RES1 bits and TZ = 0: neither SIMD nor SVE traps to EL2."""
_CPTR_EL3_EZ: Final = 1 << 8
_ZCR_LEN_MAX: Final = 0xF


def hand_over_to_el2(engine: Engine, *, has_sve: bool, has_pauth: bool) -> None:
    """Set EL3's controls as Trusted Firmware does before it enters EL2: SCR_EL3, and the control that permits SVE."""
    pauth = {"APK": 1, "API": 1} if has_pauth else {}
    engine.write_sysreg(_SCR_EL3, int(Scr.of(RES1=3, NS=1, HCE=1, RW=1, **pauth)))
    if has_sve:
        engine.write_sysreg(_CPTR_EL3, _CPTR_EL3_EZ)
        engine.write_sysreg(_CPTR_EL2, _CPTR_EL2_NO_TRAPS)
        engine.write_sysreg(_ZCR_EL3, _ZCR_LEN_MAX)
        engine.write_sysreg(_ZCR_EL2, _ZCR_LEN_MAX)
